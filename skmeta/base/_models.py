"""A scikit-learn model for each task, fitted and run one task after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skmeta.tasks import TaskTable

__all__ = ["LEAST_PROBABILITY", "class_scores", "fit_models", "run_models", "shows_classes"]

LEAST_PROBABILITY = 1e-12


def fit_models(
    model_for: Callable[[int], Any],
    X: NDArray[Any],
    y: NDArray[Any],
    table: TaskTable,
    can_fit: Callable[[NDArray[Any]], bool],
) -> NDArray[Any]:
    """Fit a clone of a model to the rows of each task that allow it.

    Parameters
    ----------
    model_for : callable
        The model to clone, by the number of rows.
    X, y : ndarray
        Rows in the order of the table, and their targets.
    table : TaskTable
        Which rows belong to which task.
    can_fit : callable
        Whether a task with such targets can be fitted.

    Returns
    -------
    models : ndarray of shape (n_tasks,)
        None where a task cannot be fitted.
    """
    models = np.full(table.n_tasks, None, dtype=object)
    for task, size in enumerate(table.sizes.tolist()):
        rows = slice(table.offsets[task], table.offsets[task + 1])
        if can_fit(y[rows]):
            models[task] = clone(model_for(size)).fit(X[rows], y[rows])
    return models


def run_models(
    models: NDArray[Any],
    pooled: Any,
    X: NDArray[Any],
    codes: NDArray[np.int64],
    width: int,
    values: Callable[[Any, NDArray[Any], int], NDArray[Any]],
) -> NDArray[np.float64]:
    """Predict rows by the models of their tasks.

    Parameters
    ----------
    models : ndarray of shape (n_tasks,)
        As `fit_models` returns them.
    pooled : estimator or None
        What predicts tasks without a model; None predicts 0.
    X : ndarray of shape (n_samples, n_features)
        Rows.
    codes : ndarray of shape (n_samples,)
        The task of each.
    width : int
        The number of outputs.
    values : callable
        From a model, rows and the width to outputs.

    Returns
    -------
    outputs : ndarray of shape (n_samples, width)
    """
    table = TaskTable.from_labels(codes)
    outputs = np.zeros((len(X), width))
    for task in range(table.n_tasks):
        rows = table.order[table.offsets[task] : table.offsets[task + 1]]
        model = models[table.labels[task]]
        model = pooled if model is None else model
        if model is not None:
            outputs[rows] = values(model, X[rows], width)
    return outputs


def shows_classes(y: NDArray[Any]) -> bool:
    """Return whether a classifier can be fitted: there are two classes at least."""
    return len(y) > 0 and bool((y != y[0]).any())


def class_scores(model: Any, X: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Return logarithms of probabilities; classes that the model does not know have next to none.

    Parameters
    ----------
    model : classifier
        Its classes are numbers below the width. Without `predict_proba`, its decision function is
        taken for such logarithms.
    X : ndarray of shape (n_samples, n_features)
        Rows.
    width : int
        The number of classes.

    Returns
    -------
    scores : ndarray of shape (n_samples, width)
    """
    values = np.full((len(X), width), np.log(LEAST_PROBABILITY))
    if hasattr(model, "predict_proba"):
        scores = np.log(np.maximum(model.predict_proba(X), LEAST_PROBABILITY))
    else:
        scores = model.decision_function(X)
        if scores.ndim == 1:
            scores = np.column_stack([np.zeros(len(X)), scores])
    values[:, model.classes_] = scores
    return values
