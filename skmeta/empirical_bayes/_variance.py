"""What a fitted prior says of tasks: shares of the variance, and how far a task has moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skmeta.empirical_bayes._mixed_model import Prior
from skmeta.empirical_bayes._posterior import Posterior

__all__ = ["movement", "variance_components"]

Array = NDArray[np.float64]

_LEAST_SHARE = 1e-10  # of the largest variance of a prior: below, it is rounding


def variance_components(
    prior: Prior, F: Array, weight: Array, pooled: Array | float, noise: float
) -> Array:
    """Return what adds up to the variance of y, over rows and tasks.

    Parameters
    ----------
    prior : Prior
        β and Ω.
    F : ndarray of shape (n_samples, d)
        Design matrix; its first `q` columns vary between tasks.
    weight : ndarray of shape (n_samples,)
        Weights of the rows.
    pooled : ndarray of shape (n_samples,) or float
        What a pooled model adds to ``f'β``.
    noise : float
        The variance of a row within its task.

    Returns
    -------
    components : ndarray of shape (4,)
        The variance of ``f'β`` with the pooled model; of the effect of tasks on the mean row,
        ``z̄'Ωz̄``; what the mean of ``z'Ωz`` is above that; and the noise.
    """
    shared = F @ prior.mean + pooled
    Z = F[:, : len(prior.covariance)]
    middle = np.average(Z, axis=0, weights=weight)
    spread = np.cov(Z.T, aweights=weight, ddof=0).reshape(prior.covariance.shape)
    return np.array(
        [
            np.average((shared - np.average(shared, weights=weight)) ** 2, weights=weight),
            middle @ prior.covariance @ middle,
            np.vdot(prior.covariance, spread),
            noise,
        ]
    )


def movement(effects: Posterior, covariance: Array) -> tuple[Array, Array]:
    """Return how far tasks are from the prior mean.

    Parameters
    ----------
    effects : Posterior
        Means m and covariances S of the effects of tasks.
    covariance : ndarray of shape (q, q)
        Ω.

    Returns
    -------
    squares : ndarray of shape (n_tasks,)
        ``m'Ω⁻¹m``, in the directions in which tasks vary at all.
    learned : ndarray of shape (n_tasks,)
        Its mean for tasks drawn from the prior, ``tr(I - Ω⁻¹S)``: the effective number of
        coefficients that the rows of the task have determined.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > _LEAST_SHARE * values.max(initial=0.0)
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    squares = ((effects.mean @ whiten) ** 2).sum(axis=1)
    left = np.einsum("qk,tqr,rk->t", whiten, effects.covariance, whiten, optimize=True)
    return squares, np.maximum(kept.sum() - left, 0.0)
