"""The Gaussian mixed model of many tasks, fitted by EM in batched linear algebra.

Row `i` of task `t` is ``y = f'β + z'u_t + ε`` with ``u_t ~ N(0, Ω)``, ``ε ~ N(0, σ²/a)`` for a
row of weight `a`, and `z` the first `q` entries of `f`. So a task's coefficients are
``w_t = β + u_t`` in the first `q` directions and β in the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import pinvh

from skmeta.empirical_bayes._statistics import Moments, Rows, Totals

__all__ = ["Prior", "em_step", "fit_prior", "starting_prior"]

Array = NDArray[np.float64]

_LEAST_SHARE = 1e-6  # of the variance that is noise: with less, rounding would rule EM
_LEAST_NOISE = 1e-100  # where nothing is left to explain: small, and its square no denormal


@dataclass(frozen=True)
class Prior:
    """What tasks share: fixed coefficients β, covariance Ω of the task effects, noise σ²."""

    mean: Array
    covariance: Array
    noise: float
    shrinkage: float = 0.0  # prior precision of β but for the intercept; 0 is a flat prior

    @property
    def precision(self) -> Array:
        """Prior precision of each fixed coefficient."""
        precision = np.full(len(self.mean), self.shrinkage)
        precision[0] = 0.0
        return precision


def fit_prior(
    statistics: Moments | Rows,
    start: Prior,
    *,
    diagonal: bool,
    max_iter: int,
    tol: float,
) -> tuple[Prior, list[float]]:
    """Maximise the marginal likelihood of (β, Ω, σ²) by EM.

    β is maximised exactly for the current Ω and σ² (generalised least squares), then Ω and σ²
    take their EM step: an ECM scheme, in which the likelihood never decreases.

    Parameters
    ----------
    statistics : Moments or Rows
        What is needed of the rows of each task.
    start : Prior
        Where to start; its `shrinkage`, if positive, is learned too.
    diagonal : bool
        Whether Ω is diagonal.
    max_iter : int
        The largest number of steps.
    tol : float
        Stop when a step gains less than this per row.

    Returns
    -------
    prior : Prior
        The estimate.
    log_likelihood : list of float
        The marginal log-likelihood before each step (penalised where β has a prior).
    """
    prior, history = start, list[float]()
    for _ in range(max_iter):
        prior, value, _ = em_step(statistics, prior, diagonal=diagonal)
        history.append(value)
        if len(history) > 1 and history[-1] - history[-2] < tol * statistics.n:
            break
    return prior, history


def em_step(
    statistics: Moments | Rows, prior: Prior, *, diagonal: bool, learn_noise: bool = True
) -> tuple[Prior, float, Array]:
    """Take one step of EM.

    Parameters
    ----------
    statistics : Moments or Rows
        What is needed of the rows of each task.
    prior : Prior
        The current estimate.
    diagonal : bool
        Whether Ω is diagonal.
    learn_noise : bool, default=True
        Whether σ² is learned; otherwise it stays.

    Returns
    -------
    prior : Prior
        The next estimate.
    log_likelihood : float
        The marginal log-likelihood at the current Ω and σ² and the new β.
    effects : ndarray of shape (n_tasks, q)
        The posterior means that the step used.
    """
    n_tasks, q = statistics.shape
    noise = prior.noise
    given = statistics.given(prior.covariance, noise)
    covariance_of_mean = pinvh(given.precision + np.diag(prior.precision), rtol=1e-12)
    beta = covariance_of_mean @ given.target
    effects, misfit, squares = given.effects(beta)
    value = -0.5 * (
        statistics.n * np.log(2 * np.pi * noise)
        + given.log_det
        + misfit
        + beta @ (prior.precision * beta)
    )

    covariance = prior.covariance
    if n_tasks and q:
        covariance = (given.spread + effects.T @ effects) / n_tasks
        if diagonal:
            covariance = np.diag(np.diag(covariance))
    if learn_noise:
        least = max(_LEAST_SHARE * statistics.variance, _LEAST_NOISE)
        noise = max(squares / statistics.n, least)
    shrinkage = prior.shrinkage
    if shrinkage > 0 and len(beta) > 1:
        size = beta[1:] @ beta[1:] + np.trace(covariance_of_mean[1:, 1:])
        shrinkage = float((len(beta) - 1) / max(size, np.finfo(float).tiny))
    return Prior(beta, covariance, noise, shrinkage), float(value), effects


def starting_prior(totals: Totals, *, q: int, shrink: bool, varying: bool) -> Prior:
    """Return a prior that gives each part of the model an equal share of the variance.

    Parameters
    ----------
    totals : Totals
        Sums over all rows.
    q : int
        The number of effects of a task.
    shrink : bool
        Whether β has a prior too.
    varying : bool
        Whether tasks differ.

    Returns
    -------
    prior : Prior
        Its mean is 0, for EM starts with the best one given the rest.
    """
    d = len(totals.fy)
    size = np.maximum(np.diag(totals.ff) / totals.n, np.finfo(float).tiny)
    variance = totals.variance
    if not shrink:
        beta = pinvh(totals.ff, rtol=1e-12) @ totals.fy
        variance -= float(beta @ totals.ff @ beta) / totals.n - totals.mean**2
    share = max(variance, _LEAST_SHARE * totals.variance, _LEAST_NOISE) / (1 + shrink + varying)
    covariance = np.diag(share / q / size[:q]) if varying else np.zeros((q, q))
    shrinkage = float(size[1:].sum() / share) if shrink and d > 1 else 0.0
    return Prior(np.zeros(d), covariance, share, shrinkage)
