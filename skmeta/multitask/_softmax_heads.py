"""Logistic regression for all tasks at once.

D. Böhning (1992). Multinomial logistic regression algorithm. Annals of the Institute of Statistical
Mathematics 44, for the bound of the curvature; B. O'Donoghue, E. Candès (2015). Adaptive restart
for accelerated gradient schemes. Foundations of Computational Mathematics 15, for the momentum.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning

from skmeta.base._models import LEAST_PROBABILITY
from skmeta.tasks import TaskTable

__all__ = ["fit_softmax_heads", "softmax_scores"]

Array = NDArray[np.float64]

_ENTRIES = 1 << 21  # of features, or of heads, at once
_TOLERANCE = 1e-6  # of the gradient for a row
_MOST_STEPS = 1000


def fit_softmax_heads(
    X: Array, y: NDArray[np.int64], table: TaskTable, n_classes: int, strength: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Fit ``LogisticRegression(C=strength)`` for each task, on the classes that it shows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows sorted as in `table`.
    y : ndarray of shape (n_samples,)
        Their classes, numbers below `n_classes`.
    table : TaskTable
        The tasks.
    n_classes : int
        The number of classes of any task.
    strength : float
        C, how much the rows count beside the penalty.

    Returns
    -------
    heads : ndarray of shape (n_tasks, n_features + 1, n_classes)
        Coefficients, the intercept last.
    shown : ndarray of shape (n_tasks, n_classes)
        Which classes the rows of a task show; with fewer than two its head is 0.

    Warns
    -----
    ConvergenceWarning
        If some heads are not at their minimum after 1000 steps.
    """
    width = X.shape[1] + 1
    heads = np.zeros((table.n_tasks, width, n_classes))
    shown = np.zeros((table.n_tasks, n_classes), dtype=bool)
    shown[table.owners, y] = True
    open_ended = 0
    for tasks in table.chunks(_ENTRIES // width + 1, _ENTRIES // (width * n_classes) + 1):
        tasks = tasks[shown[tasks].sum(axis=1) > 1]
        if len(tasks):
            rows, mask = table.padded(tasks)
            there = mask[..., None]
            truth = there * (y[rows][..., None] == np.arange(n_classes))
            heads[tasks], n_left = _minimise(X[rows] * there, truth, shown[tasks], strength)
            open_ended += n_left
    if open_ended:
        warnings.warn(
            f"The logistic heads of {open_ended} tasks did not converge in {_MOST_STEPS} steps; "
            "with head=LogisticRegression(max_iter=...) scikit-learn fits them one by one.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return heads, shown


def _minimise(
    X: Array, Y: NDArray[np.bool_], shown: NDArray[np.bool_], strength: float
) -> tuple[Array, int]:
    """Minimise ``C Σ ℓ(y, xW + b) + ‖W‖² / 2`` of padded tasks; count those that did not end.

    The curvature of ``ℓ`` in the logits of a row is at most 1/2, so that M, ``C/2`` times the
    Gram matrix of the rows plus the penalty, bounds that of the objective everywhere. Steps
    ``W - M⁻¹ ∇`` never overshoot, and need one factorisation in all. They have Nesterov's
    momentum, which starts anew where it leads uphill.
    """
    n_tasks, n_rows, n_features = X.shape
    basis = None
    if n_rows < n_features:  # heads are combinations of rows, so these are all directions needed
        basis, coordinates = np.linalg.qr(X.mT)
        X = coordinates.mT
    there = Y.any(axis=2, keepdims=True)
    X = np.concatenate([X, there], axis=2)  # the intercept
    # scikit-learn has one vector for two classes, half the penalty of a vector and its opposite.
    penalty = np.where(shown.sum(axis=1) == 2, 2.0, 1.0)[:, None, None] * np.ones((X.shape[2], 1))
    penalty[:, -1] = 0
    inverse = np.linalg.inv(strength / 2 * X.mT @ X + penalty * np.eye(X.shape[2]))
    limit = _TOLERANCE * strength * there.sum(axis=(1, 2))
    absent = np.where(shown, 0.0, -np.inf)[:, None]

    W = np.zeros((n_tasks, X.shape[2], Y.shape[2]))
    left = np.arange(n_tasks)
    ahead, momentum = W, np.ones(n_tasks)
    for _ in range(_MOST_STEPS):
        logits = X @ ahead + absent
        P = np.exp(logits - logits.max(axis=2, keepdims=True))
        P /= P.sum(axis=2, keepdims=True)
        P *= X[..., -1:]
        gradient = strength * X.mT @ (P - Y) + penalty * ahead
        moved = ahead - inverse @ gradient
        step = moved - W[left]
        W[left] = moved
        uphill = (gradient * step).sum(axis=(1, 2)) > 0
        momentum[uphill] = 1
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        factor = np.where(uphill, 0, (momentum - 1) / following)
        ahead, momentum = moved + factor[:, None, None] * step, following

        open_ = np.abs(gradient).max(axis=(1, 2)) > limit
        if not open_.all():
            left, ahead, momentum, X, Y = (part[open_] for part in (left, ahead, momentum, X, Y))
            penalty, inverse, absent, limit = (
                part[open_] for part in (penalty, inverse, absent, limit)
            )
        if not len(left):
            break
    if basis is not None:
        W = np.concatenate([basis @ W[:, :-1], W[:, -1:]], axis=1)
    return W, len(left)


def softmax_scores(
    X: Array, codes: NDArray[np.int64], heads: Array, shown: NDArray[np.bool_]
) -> Array:
    """Return logarithms of probabilities; classes that a task did not show have next to none.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.
    codes : ndarray of shape (n_samples,)
        The task of each.
    heads, shown : ndarray
        As `fit_softmax_heads` returns them.

    Returns
    -------
    scores : ndarray of shape (n_samples, n_classes)
    """
    table = TaskTable.from_labels(codes)
    scores = np.empty((len(X), heads.shape[2]))
    for tasks in table.chunks(_ENTRIES // heads.shape[1] + 1):
        positions, mask = table.padded(tasks)
        rows = table.order[positions]
        head = heads[table.labels[tasks]]
        scores[rows[mask]] = (X[rows] @ head[:, :-1] + head[:, -1:])[mask]
    floor = np.log(LEAST_PROBABILITY)
    known = shown[codes]
    scores = log_softmax(np.where(known, scores, np.finfo(np.float64).min), axis=1)
    return np.where(known, np.maximum(scores, floor), floor)
