"""Gradients of functions that can only be evaluated."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state, check_scalar, gen_batches

__all__ = ["zero_order_gradient"]

ROWS_PER_CALL = 10_000


def zero_order_gradient(
    function: Callable[[np.ndarray], Any],
    X: Any,
    *,
    n_directions: int | None = None,
    smoothing: float = 0.005,
    random_state: Any = None,
) -> np.ndarray:
    """Estimate at each row the gradient of a function that can only be evaluated.

    For models without derivatives, as a forest or one behind a service: which features a
    prediction hangs on, or which way to move a row that a loss may fall. A black-box model is
    queried so in data-free meta-learning [1]_. Where a model is made of torch's operations,
    its own derivatives are exact and cost less.

    Parameters
    ----------
    function : callable
        Takes rows of shape (n, n_features) and returns one number for each, of shape (n,):
        ``model.predict``, or a loss of what it returns. Should be smooth on the scale of
        `smoothing`; a forest is a step function and needs a wide one.
    X : array-like of shape (n_samples, n_features)
        Rows to find the gradient at.
    n_directions : int, default=None
        Random unit directions to try for each row; None tries the axes. The axes need n_features
        evaluations of each row and give the gradient but for a bias proportional to
        `smoothing`. Random directions need fewer, for a variance proportional to
        n_features / n_directions.
    smoothing : float, default=0.005
        How far to step, in units of the features. To be well above the rounding of `function`.
    random_state : int, RandomState instance or None, default=None
        Draws the directions, anew for each row.

    Returns
    -------
    gradient : ndarray of shape (n_samples, n_features)
        ``(d / q) Σ_u u (function(x + μ u) - function(x)) / μ`` over q directions u of d features,
        where μ is `smoothing`.

    Raises
    ------
    ValueError
        If a number is out of range, `X` holds NaN or infinity, or `function` does not return one
        finite number for each row.

    References
    ----------
    .. [1] Z. Hu, L. Shen, Z. Wang, B. Wu, C. Yuan, D. Tao (2023). Learning to learn from APIs:
       black-box data-free meta-learning. ICML; arXiv:2305.18413.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import SVR
    >>> import skmeta
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = SVR(C=100).fit(X, np.sin(X[:, 0]) - X[:, 1])
    >>> skmeta.zero_order_gradient(model.predict, [[0.0, 0.0]]).round(1)
    array([[ 0.9, -0.8]])
    """
    check_scalar(smoothing, "smoothing", Real, min_val=0, include_boundaries="neither")
    if n_directions is not None:
        check_scalar(n_directions, "n_directions", Integral, min_val=1)
    X = check_array(X, dtype=[np.float64, np.float32])
    n_samples, n_features = X.shape
    random_state = check_random_state(random_state)
    n_tried = n_features if n_directions is None else n_directions
    before = _evaluate(function, X)
    gradient = np.zeros_like(X)
    for part in gen_batches(n_tried, max(1, ROWS_PER_CALL // n_samples)):
        shape = (part.stop - part.start, n_samples, n_features)
        if n_directions is None:
            axes = np.eye(shape[0], n_features, k=part.start)
            directions = np.broadcast_to(axes[:, None], shape)
        else:
            directions = random_state.normal(size=shape)
            directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        moved = (X + smoothing * directions).astype(X.dtype).reshape(-1, n_features)
        slopes = (_evaluate(function, moved).reshape(shape[:2]) - before) / smoothing
        gradient += np.einsum("qn,qnd->nd", slopes, directions)
    return gradient * (n_features / n_tried)


def _evaluate(function: Callable[[np.ndarray], Any], X: np.ndarray) -> np.ndarray:
    values = np.asarray(function(X))
    if values.shape != (len(X),) or not np.isfinite(values).all():
        raise ValueError(
            f"function must return one finite number for each of {len(X)} rows; got an array of "
            f"shape {values.shape}{'' if np.isfinite(values).all() else ' with other values'}."
        )
    return values
