"""Warnings that skmeta gives."""

__all__ = ["UnseenTaskWarning"]


class UnseenTaskWarning(UserWarning):
    """Rows of a task that the estimator does not know were predicted from the prior.

    Give such a task a few labelled rows through ``adapt``, or set ``unseen="raise"`` to get an
    error instead of this warning.
    """
