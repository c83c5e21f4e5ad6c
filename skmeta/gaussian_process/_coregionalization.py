"""The intrinsic coregionalization model: its covariance and its marginal likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack
from scipy.optimize import Bounds, minimize

__all__ = [
    "Coregionalization",
    "factor",
    "log_marginal_likelihood",
    "log_prior",
    "maximise_posterior",
]

Array = NDArray[np.float64]

# Of targets of unit variance. Without a least noise a process interpolates, and its likelihood
# has no bound.
_NOISE = (1e-5, 10.0)
_OWN = (1e-6, 1e3)
_SPREAD = 1.0  # of the logarithms of variances of tasks


@dataclass(frozen=True)
class Coregionalization:
    """Parameters of ``Cov[f_t(x), f_t'(x')] = B[t, t'] k(x, x')`` and of the noise.

    Parameters
    ----------
    kernel : scikit-learn kernel
        k.
    loadings : ndarray of shape (n_tasks, rank)
        L.
    own : ndarray of shape (n_tasks,)
        v.
    noise : float
        σ².
    """

    kernel: Any
    loadings: Array
    own: Array
    noise: float

    @property
    def matrix(self) -> Array:
        """``B = LLᵀ + diag(v)``."""
        B: Array = self.loadings @ self.loadings.T + np.diag(self.own)
        return B

    @property
    def vector(self) -> Array:
        """The parameters as the optimiser sees them."""
        own, noise = np.log(self.own), np.log(self.noise)
        return np.concatenate([self.kernel.theta, self.loadings.ravel(), own, [noise]])

    @property
    def bounds(self) -> Array:
        """The least and the largest value of each."""
        free = np.full((self.loadings.size, 2), [-np.inf, np.inf])
        own = np.tile(np.log(_OWN), (len(self.own), 1))
        return np.vstack([self.kernel.bounds.reshape(-1, 2), free, own, np.log([_NOISE])])

    def with_vector(self, vector: Array) -> Coregionalization:
        """Return a model of the same shape with other parameters."""
        ends = np.cumsum([len(self.kernel.theta), self.loadings.size, len(self.own)])
        theta, loadings, own, noise = np.split(vector, ends)
        return Coregionalization(
            self.kernel.clone_with_theta(theta),
            loadings.reshape(self.loadings.shape),
            np.exp(own),
            float(np.exp(noise[0])),
        )


def factor(model: Coregionalization, K: Array, owners: NDArray[np.int64]) -> Array:
    """Return the lower Cholesky factor of ``C = B[t, t'] k(x, x') + σ²I``.

    Parameters
    ----------
    model : Coregionalization
        Parameters.
    K : ndarray of shape (n_samples, n_samples)
        The kernel of the rows.
    owners : ndarray of shape (n_samples,)
        The task of each row.

    Returns
    -------
    factor : ndarray of shape (n_samples, n_samples)
        Zero above the diagonal.
    """
    C: NDArray[Any] = model.matrix[np.ix_(owners, owners)] * K
    # The second term keeps the factorisation alive where the kernel is vast beside the noise.
    C[np.diag_indices_from(C)] += model.noise + 10 * np.finfo(C.dtype).eps * np.trace(C)
    return np.linalg.cholesky(C)


def log_marginal_likelihood(
    model: Coregionalization, X: Array, y: Array, owners: NDArray[np.int64]
) -> tuple[float, Array]:
    """Return the log marginal likelihood of all rows and its gradient.

    With ``α = C⁻¹y`` the gradient in a parameter θ is ``tr((αα' - C⁻¹) ∂C/∂θ) / 2``.

    Parameters
    ----------
    model : Coregionalization
        Parameters.
    X : ndarray of shape (n_samples, n_features)
        Rows, those of a task side by side.
    y : ndarray of shape (n_samples, n_outputs)
        Targets of mean zero. The outputs are independent draws from one model.
    owners : ndarray of shape (n_samples,)
        The task of each row, in ascending order, each with a row at least.

    Returns
    -------
    value : float
    gradient : ndarray of shape (n_parameters,)
        In the parameters of `Coregionalization.vector`.
    """
    K, slopes = model.kernel(X, eval_gradient=True)
    L = factor(model, K, owners)
    alpha: Array = cho_solve((L, True), y)
    n_rows, n_outputs = y.shape
    log_det = 2 * np.log(L.diagonal()).sum()
    value = -(np.vdot(y, alpha) + n_outputs * (log_det + n_rows * math.log(2 * math.pi))) / 2

    inverse = np.tril(lapack.dpotri(L, lower=1)[0])
    inverse += np.tril(inverse, -1).T
    W = (alpha @ alpha.T - n_outputs * inverse) / 2
    starts = np.searchsorted(owners, np.arange(len(model.own)))
    G = np.add.reduceat(np.add.reduceat(W * K, starts, axis=0), starts, axis=1)  # in B
    in_kernel = (W * model.matrix[np.ix_(owners, owners)]).ravel()
    gradient = [
        in_kernel @ slopes.reshape(len(in_kernel), -1),
        2 * (G @ model.loadings).ravel(),
        G.diagonal() * model.own,
        [np.trace(W) * model.noise],
    ]
    return float(value), np.concatenate(gradient)


def log_prior(model: Coregionalization) -> tuple[float, Array]:
    """Return the log density of the variances of tasks, but for a constant, and its gradient.

    The logarithms of ``B[t, t]`` and of v are normal, each around an unknown level. By likelihood
    alone the few rows of a task may make its variance vast, and its v vast or nothing; and that
    would be what new tasks are expected to have.

    Parameters
    ----------
    model : Coregionalization
        Parameters.

    Returns
    -------
    value : float
    gradient : ndarray of shape (n_parameters,)
        In the parameters of `Coregionalization.vector`.
    """
    variance = np.square(model.loadings).sum(axis=1) + model.own
    away = np.log([variance, model.own])
    away -= away.mean(axis=1, keepdims=True)
    in_variance, in_log_own = -away / _SPREAD**2
    in_variance /= variance
    gradient = [
        np.zeros_like(model.kernel.theta),
        2 * (in_variance[:, None] * model.loadings).ravel(),
        in_variance * model.own + in_log_own,
        [0.0],
    ]
    return -float(np.square(away).sum()) / (2 * _SPREAD**2), np.concatenate(gradient)


def maximise_posterior(
    start: Coregionalization, X: Array, y: Array, owners: NDArray[np.int64], max_iter: int
) -> tuple[Coregionalization, float, int]:
    """Climb the log marginal likelihood and the log prior together, by L-BFGS-B.

    Parameters
    ----------
    start : Coregionalization
        Where to start.
    X, y, owners : ndarray
        As `log_marginal_likelihood` takes them.
    max_iter : int
        The largest number of steps.

    Returns
    -------
    model : Coregionalization
    log_likelihood : float
        Without the prior.
    n_iter : int
    """

    def loss(vector: Array) -> tuple[float, Array]:
        model = start.with_vector(vector)
        value, gradient = log_marginal_likelihood(model, X, y, owners)
        density, slope = log_prior(model)
        return -(value + density), -(gradient + slope)

    found = minimize(
        loss,
        start.vector,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(*start.bounds.T),
        options={"maxiter": max_iter},
    )
    model = start.with_vector(found.x)
    return model, -float(found.fun) - log_prior(model)[0], int(found.nit)
