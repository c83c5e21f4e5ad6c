"""Warnings that skmeta gives."""

__all__ = ["DivergenceWarning", "UnseenTaskWarning"]


class UnseenTaskWarning(UserWarning):
    """Rows of a task that the estimator does not know were predicted from the prior.

    Give such a task a few labelled rows through ``adapt``, or set ``unseen="raise"`` to get an
    error instead of this warning.
    """


class DivergenceWarning(UserWarning):
    """Gradient steps made some tasks worse, which therefore took fewer of them.

    A smaller ``inner_lr``, a smaller ``n_adapt_steps`` or ``max_inner_norm`` avoids it.
    """
