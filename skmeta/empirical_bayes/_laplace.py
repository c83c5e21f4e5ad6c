"""The logistic mixed model of many tasks, fitted by Laplace-EM.

``logit P(y = 1) = o + f'β + z'u_t`` with ``u_t ~ N(0, Ω)``. Around the current prediction the
log-likelihood is a weighted Gaussian one (iteratively reweighted least squares), so each step is
an EM step of the Gaussian mixed model with noise 1, and its posterior is Laplace's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from skmeta.empirical_bayes._mixed_model import Prior, em_step
from skmeta.empirical_bayes._posterior import Posterior, posterior, root_of
from skmeta.empirical_bayes._statistics import summarise
from skmeta.tasks import TaskTable

__all__ = ["fit_logistic_prior", "laplace_posterior"]

Array = NDArray[np.float64]

_LEAST_WEIGHT = 1e-4  # of a row in the weighted Gaussian problem: bounds its working response
_LARGEST_STEP = 1.0  # of a row's logit: Newton's method overshoots where the curvature is small
_LEAST_SHRINKAGE = 1e-2  # keeps β finite on separable classes
_NEWTON_STEPS = 50
_HALVINGS = 8


def fit_logistic_prior(
    F: Array,
    y: Array,
    offset: Array,
    weight: Array,
    table: TaskTable,
    q: int,
    *,
    diagonal: bool,
    max_iter: int,
    tol: float,
) -> tuple[Prior, int]:
    """Estimate β and Ω over tasks; rows are sorted as in `table`.

    Parameters
    ----------
    F : ndarray of shape (n_samples, d)
        Design matrix; its first `q` columns vary between tasks.
    y : ndarray of shape (n_samples,)
        0 or 1.
    offset : ndarray of shape (n_samples,)
        Known part of the logit.
    weight : ndarray of shape (n_samples,)
        Weights of the rows.
    table : TaskTable
        The tasks.
    q : int
        The number of varying directions.
    diagonal : bool
        Whether Ω is diagonal.
    max_iter : int
        The largest number of steps.
    tol : float
        Stop when no prediction's logit moves by more than this (root mean square over rows).

    Returns
    -------
    prior : Prior
        The estimate; its noise is 1.
    n_iter : int
        The number of steps taken.
    """
    codes = table.owners
    logit = np.zeros(len(y))
    varying = float(table.n_tasks > 1)
    prior = Prior(np.zeros(F.shape[1]), varying * np.eye(q) / max(q, 1), 1.0, 1.0)
    for n_iter in range(1, max_iter + 1):  # noqa: B007
        mean = expit(offset + logit)
        curvature = np.maximum(mean * (1 - mean), _LEAST_WEIGHT)
        working = logit + (y - mean) / curvature
        statistics = summarise(F, working, weight * curvature, table, q)
        prior, _, effects = em_step(statistics, prior, diagonal=diagonal, learn_noise=False)
        if prior.shrinkage < _LEAST_SHRINKAGE:
            prior = Prior(prior.mean, prior.covariance, 1.0, _LEAST_SHRINKAGE)
        step = F @ prior.mean + np.einsum("nq,nq->n", F[:, :q], effects[codes]) - logit
        if np.sqrt(np.average(step**2, weights=weight)) < tol:
            break
        logit += np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
    return prior, n_iter


def laplace_posterior(Z: Array, y: Array, offset: Array, weight: Array, prior: Prior) -> Posterior:
    """Return the mode and the Laplace covariance of each task's effects.

    Damped Newton steps on all tasks at once, in coordinates ``u = Lv`` with ``Ω = LL'``, in
    which the prior is standard normal and Ω may be singular.

    Parameters
    ----------
    Z : ndarray of shape (n_tasks, n_rows, q)
        Padded design rows.
    y, offset, weight : ndarray of shape (n_tasks, n_rows)
        Targets 0 or 1, known logits (``o + f'β``), and weights, 0 where a cell is padding.
    prior : Prior
        The fitted prior.

    Returns
    -------
    posterior : Posterior
        The Laplace approximation.
    """
    root = root_of(prior.covariance)
    ZL = Z @ root
    identity = np.eye(len(root))

    def objective(v: Array) -> Array:
        logit = offset + (ZL @ v[..., None])[..., 0]
        log_likelihood = (weight * (log_expit(logit) - (1 - y) * logit)).sum(axis=1)
        value: Array = log_likelihood - 0.5 * (v**2).sum(axis=1)
        return value

    v = np.zeros((len(Z), len(root)))
    value = objective(v)
    for _ in range(_NEWTON_STEPS):
        mean = expit(offset + (ZL @ v[..., None])[..., 0])
        gradient = (ZL.swapaxes(1, 2) @ (weight * (y - mean))[..., None])[..., 0] - v
        curvature = (weight * mean * (1 - mean))[..., None]
        step = np.linalg.solve(ZL.swapaxes(1, 2) @ (ZL * curvature) + identity, gradient[..., None])
        step = step[..., 0]
        for _ in range(_HALVINGS):
            trial = objective(v + step)
            worse = trial < value - 1e-12 * np.abs(value)
            if not worse.any():
                break
            step[worse] *= 0.5
        v, value = v + step, objective(v + step)
        if np.abs(step).max(initial=0.0) < 1e-8:
            break
    mode = v @ root.T
    mean = expit(offset + (Z @ mode[..., None])[..., 0])
    curvature = (weight * mean * (1 - mean))[..., None]
    spread = posterior(Z.swapaxes(1, 2) @ (Z * curvature), np.zeros_like(v), prior.covariance, 1.0)
    return Posterior(mode, spread.covariance, spread.log_det)
