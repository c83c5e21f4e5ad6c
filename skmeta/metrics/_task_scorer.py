"""A metric computed task by task, as a scikit-learn scorer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import MetadataRequest

from skmeta.metrics._by_task import scores_by_task
from skmeta.tasks import TaskTable, separate_tasks

__all__ = ["task_scorer"]

_AGGREGATES: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median, "worst": np.min}


def task_scorer(
    metric: str | Callable[..., float],
    *,
    aggregate: str = "mean",
    task_column: Hashable | None = None,
) -> Callable[..., float]:
    """Make a scorer that computes a metric for each task and aggregates over tasks.

    A metric over all rows lets the tasks with many rows decide, and R2 over all rows mostly
    rewards knowing which task is which. This scorer counts every task once. Pick
    ``aggregate="mean"`` for the usual report, "median" where a few tasks are hopeless, "worst"
    where the model has to serve every task.

    Parameters
    ----------
    metric : str or callable
        The name of a scikit-learn scorer, such as "r2", "neg_root_mean_squared_error",
        "accuracy", "roc_auc" or "neg_log_loss"; or a scorer from `make_scorer`.
    aggregate : {"mean", "median", "worst"}, default="mean"
        How to make one number of the scores of the tasks. "worst" is the smallest one, as
        greater is better for every scorer.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`, which the scorer
        requests by itself where metadata routing is enabled.

    Returns
    -------
    scorer : callable
        For any ``scoring=``; called as ``scorer(estimator, X, y, groups=None)``. It predicts
        all rows in one call and passes `groups` on to estimators that request it.

    Raises
    ------
    ValueError
        If the metric or the aggregate is unknown; from the scorer, if it finds no task
        information or finds it twice.

    Warns
    -----
    UndefinedMetricWarning
        If the metric is undefined (NaN) for some tasks, such as R2 of a single row, or ROC AUC
        and D2 of a single class. They are left out of the aggregate, which is NaN if no task is
        left.
        Where scikit-learn itself puts a number on such a case (a precision of 0 without
        predicted positives, an R2 of 0 or 1 on a constant target), that number counts.

    See Also
    --------
    EpisodicKFold : Leaves a few rows of each held-out task in train.

    Notes
    -----
    The probability metrics (log loss, Brier, multi-class ROC AUC and their like) are told all
    classes of the estimator, so that a task need not have a row of each. A scorer of your own
    can be told the same: ``make_scorer(log_loss, labels=..., ...)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmeta.metrics import task_scorer
    >>> X = np.array([[0, 0.0], [0, 1.0], [1, 0.0], [1, 1.0]])
    >>> y = np.array([0.0, 1.0, 0.0, 3.0])
    >>> model = LinearRegression().fit(X, y)
    >>> scorer = task_scorer("neg_mean_absolute_error", aggregate="worst", task_column=0)
    >>> round(scorer(model, X, y), 2)
    -0.5
    """
    if aggregate not in _AGGREGATES:
        raise ValueError(f"aggregate={aggregate!r} must be one of {', '.join(_AGGREGATES)}.")
    get_scorer(metric)
    return _TaskScorer(metric, aggregate, task_column)


class _TaskScorer:
    """What `task_scorer` returns; a class, so that it pickles and requests groups."""

    def __init__(
        self, metric: str | Callable[..., float], aggregate: str, task_column: Hashable | None
    ) -> None:
        self.metric = metric
        self.aggregate = aggregate
        self.task_column = task_column

    def __repr__(self) -> str:
        return (
            f"task_scorer({self.metric!r}, aggregate={self.aggregate!r}, "
            f"task_column={self.task_column!r})"
        )

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what the scorer requests of scikit-learn's metadata routing: groups."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="groups", alias=True)
        return request

    def __call__(self, estimator: Any, X: Any, y: Any, groups: Any = None) -> float:
        labels = separate_tasks(X, groups, self.task_column)[1]
        if labels is None:
            raise ValueError(
                f"{self!r} needs to know the task of each row: set its task_column, or enable "
                "metadata routing and pass groups."
            )
        check_consistent_length(X, y)
        scores = scores_by_task(self.metric, estimator, X, y, TaskTable.from_labels(labels), groups)
        defined = scores[~np.isnan(scores)]
        if len(defined) < len(scores):
            warnings.warn(
                f"{self.metric} is undefined for {len(scores) - len(defined)} of {len(scores)} "
                f"tasks; they are left out of the {self.aggregate}.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
        return float(_AGGREGATES[self.aggregate](defined)) if len(defined) else np.nan
