"""A metric on the rows of each task, from one prediction of all rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer

from skmeta.metrics._recorded import RecordedEstimator
from skmeta.tasks import TaskTable

__all__ = ["scores_by_task"]

_SCORES_ALL_CLASSES = frozenset(
    {
        "d2_brier_score",
        "d2_log_loss_score",
        "neg_brier_score",
        "neg_log_loss",
        "roc_auc_ovo",
        "roc_auc_ovo_weighted",
        "roc_auc_ovr",
        "roc_auc_ovr_weighted",
        "top_k_accuracy",
    }
)

_COMPARES_CLASSES = _SCORES_ALL_CLASSES - {"neg_brier_score", "neg_log_loss", "top_k_accuracy"}


def scores_by_task(
    metric: str | Callable[..., float],
    estimator: Any,
    X: Any,
    y: Any,
    table: TaskTable,
    groups: Any = None,
) -> NDArray[np.float64]:
    """Score each task by itself.

    Parameters
    ----------
    metric : str or callable
        The name of a scikit-learn scorer, or a scorer.
    estimator : estimator
        A fitted estimator; it predicts all rows in one call.
    X, y : array-like of shape (n_samples, ...)
        Rows and their targets.
    table : TaskTable
        Which rows each task has.
    groups : array-like of shape (n_samples,), default=None
        Passed on to an estimator that requests it.

    Returns
    -------
    scores : ndarray of shape (n_tasks,)
        In the order of the table; NaN where the metric is undefined.
    """
    recorded, y = RecordedEstimator(estimator, X, groups), np.asarray(y)
    scorer = get_scorer(metric)
    params = {"labels": recorded.classes_} if metric in _SCORES_ALL_CLASSES else {}
    scores = np.empty(table.n_tasks)
    # Routing lets a scorer take labels; the estimator predicts under the caller's settings.
    with (
        warnings.catch_warnings(),
        config_context(enable_metadata_routing=True, skip_parameter_validation=True),
    ):
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for task, rows in enumerate(np.split(table.order, table.offsets[1:-1])):
            # Without a second class scikit-learn gives NaN, divides by zero or raises.
            undefined = metric in _COMPARES_CLASSES and len(np.unique(y[rows])) < 2
            scores[task] = np.nan if undefined else scorer(recorded, rows, y[rows], **params)
    return scores
