"""Predictions and errors by task, for the displays that show tasks as points."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer, root_mean_squared_error, zero_one_loss
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import get_routing_for_object

from skmeta.tasks import TaskTable, separate_tasks

__all__ = [
    "Metric",
    "as_metric",
    "by_routing",
    "errors_by_task",
    "is_score",
    "metric_label",
    "task_table",
]

Metric = Callable[[Any, Any], float]


def task_table(X: Any, groups: Any, task_column: Hashable | None) -> TaskTable:
    """Return which rows each task has.

    Raises
    ------
    ValueError
        If there is no task information, or it comes twice.
    """
    labels = separate_tasks(X, groups, task_column)[1]
    if labels is None:
        raise ValueError(
            "Tasks are needed to show them: set task_column to the column of X that holds them, "
            "or pass groups, one task label per row."
        )
    return TaskTable.from_labels(labels)


def by_routing(estimator: Any, method: str, X: Any, groups: Any) -> Any:
    """Call a method of a fitted estimator, with the groups if it or a step of it requests them."""
    requested = get_routing_for_object(estimator).consumes(method, ["groups"])
    if groups is None or not requested:
        return getattr(estimator, method)(X)
    with config_context(enable_metadata_routing=True):
        return getattr(estimator, method)(X, groups=groups)


def as_metric(metric: Metric | str | None, classification: bool) -> Metric:
    """Return the metric to compute: the error of most use for None, that of a scorer by its name.

    Raises
    ------
    ValueError
        If there is no scorer of that name.
    """
    if metric is None:
        return zero_one_loss if classification else root_mean_squared_error
    if not isinstance(metric, str):
        return metric
    scorer = get_scorer(metric)
    sign = -1.0 if metric.startswith("neg_") else 1.0

    def named(y_true: Any, y_pred: Any) -> float:
        try:
            return sign * float(scorer(_Predicted(y_pred), None, y_true))
        except AttributeError as error:
            raise ValueError(
                f"metric={metric!r} is not computed from predictions alone; take another, or a "
                "function of y_true and y_pred."
            ) from error

    named.__name__ = metric.removeprefix("neg_")
    return named


class _Predicted(BaseEstimator):
    """What a scorer asks for predictions that there are already."""

    def __init__(self, y_pred: Any) -> None:
        self.y_pred = y_pred

    def predict(self, X: Any) -> Any:
        return self.y_pred


def is_score(metric: Metric, y_true: Any, y_pred: Any) -> bool:
    """Tell whether greater is better, by what the metric makes of targets that are predicted."""
    try:
        return bool(metric(y_true, y_true) > metric(y_true, y_pred))
    except Exception:  # such as an error of probabilities, which targets are not
        return False


def errors_by_task(
    metric: Metric, y_true: Any, y_pred: Any, table: TaskTable
) -> NDArray[np.float64]:
    """Return the error of each task, in the order of the table."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    check_consistent_length(y_true, y_pred, table.order)
    parts = np.split(table.order, table.offsets[1:-1])
    return np.array([metric(y_true[rows], y_pred[rows]) for rows in parts], dtype=np.float64)


def metric_label(metric: Metric) -> str:
    """Return what to write beside errors."""
    if metric is zero_one_loss:
        return "Error rate"
    return getattr(metric, "__name__", "error").replace("_", " ").capitalize()
