"""The best that any learner can do on linear tasks with a known prior."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar

__all__ = ["bayes_linear_mse", "bayes_linear_predict"]

_CELLS = 1_000_000  # entries of the simulated designs held at once


def bayes_linear_predict(
    X_support: ArrayLike,
    y_support: ArrayLike,
    X: ArrayLike,
    *,
    prior_mean: ArrayLike,
    prior_covariance: ArrayLike,
    noise: float,
) -> NDArray[np.float64]:
    """Predict with the exact posterior of a linear task, which no learner can beat on average.

    All arrays may have leading dimensions, one entry per task.

    Parameters
    ----------
    X_support : array-like of shape (..., n_shots, n_features)
        Support rows, without a column for the intercept.
    y_support : array-like of shape (..., n_shots)
        Their targets.
    X : array-like of shape (..., n_samples, n_features)
        The rows to predict.
    prior_mean : array-like of shape (n_features + 1,)
        Mean of the coefficients over tasks, the intercept first.
    prior_covariance : array-like of shape (n_features + 1, n_features + 1)
        Covariance of the coefficients over tasks.
    noise : float
        Standard deviation of the noise.

    Returns
    -------
    y : ndarray of shape (..., n_samples)
        The posterior mean.

    Examples
    --------
    >>> from skmeta.datasets import bayes_linear_predict
    >>> prior = {"prior_mean": [0.0, 1.0], "prior_covariance": [[4.0, 0.0], [0.0, 0.0]]}
    >>> bayes_linear_predict([[2.0]], [7.0], [[0.0], [1.0]], noise=1.0, **prior)
    array([4., 5.])
    """
    A, Q = _with_intercept(X_support), _with_intercept(X)
    mean = np.asarray(prior_mean, dtype=np.float64)
    covariance = np.asarray(prior_covariance, dtype=np.float64)
    gain = _gain(A, covariance, noise)
    residual = np.asarray(y_support, dtype=np.float64) - A @ mean
    coef = mean + np.einsum("...ij,...j->...i", gain, residual)
    return np.asarray(np.einsum("...ij,...j->...i", Q, coef))


def bayes_linear_mse(
    n_shots: int,
    *,
    prior_covariance: ArrayLike,
    noise: float,
    n_designs: int = 2000,
    random_state: int | RandomState | None = None,
) -> float:
    r"""Return the expected squared error of the best predictor after some support rows.

    For the features of :func:`make_linear_tasks`, standard normal and independent, it is
    :math:`\sigma^2 + E\,\mathrm{tr}(\Omega^{-1} + \sigma^{-2} A^\top A)^{-1}` with the support
    rows and a column of ones in :math:`A`. The expectation over supports is simulated; without
    support it is exact.

    Parameters
    ----------
    n_shots : int
        Number of support rows.
    prior_covariance : array-like of shape (n_features + 1, n_features + 1)
        Covariance of the coefficients over tasks, the intercept first.
    noise : float
        Standard deviation of the noise.
    n_designs : int, default=2000
        Number of supports to average over.
    random_state : int, RandomState instance or None, default=None
        Seed of the supports.

    Returns
    -------
    mse : float
        The mean squared error on new rows of a new task, the noise included.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.datasets import bayes_linear_mse
    >>> bayes_linear_mse(0, prior_covariance=np.eye(3), noise=0.5)
    3.25
    """
    check_scalar(n_shots, "n_shots", Integral, min_val=0)
    check_scalar(n_designs, "n_designs", Integral, min_val=1)
    rng = check_random_state(random_state)
    covariance = np.asarray(prior_covariance, dtype=np.float64)
    total = np.trace(covariance)
    if n_shots == 0:
        return float(noise**2 + total)
    explained = 0.0
    size = max(1, _CELLS // (n_shots * len(covariance)))
    for start in range(0, n_designs, size):
        n = min(size, n_designs - start)
        A = _with_intercept(rng.standard_normal((n, n_shots, len(covariance) - 1)))
        gain = _gain(A, covariance, noise)
        explained += float(np.einsum("nij,nji->", gain, A @ covariance))
    return float(noise**2 + total - explained / n_designs)


def _with_intercept(X: ArrayLike) -> NDArray[np.float64]:
    X = np.asarray(X, dtype=np.float64)
    return np.concatenate([np.ones((*X.shape[:-1], 1)), X], axis=-1)


def _gain(
    A: NDArray[np.float64], covariance: NDArray[np.float64], noise: float
) -> NDArray[np.float64]:
    """How far each residual of the support moves each coefficient.

    Coefficients are whitened by a root of the prior, which may be singular, and a pseudo-inverse
    allows no noise.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    B = A @ root
    B_T = np.swapaxes(B, -1, -2)
    precision = B_T @ B + noise**2 * np.eye(len(root))
    return np.asarray(root @ np.linalg.pinv(precision, rcond=1e-10, hermitian=True) @ B_T)
