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

from skmeta.tasks import TaskTable

__all__ = [
    "Moments",
    "Posterior",
    "Prior",
    "em_step",
    "fit_prior",
    "posterior",
    "root_of",
    "starting_prior",
]

Array = NDArray[np.float64]

_CELLS = 1 << 18  # padded rows worked on at once
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


@dataclass(frozen=True)
class Moments:
    """Weighted second moments of each task, which are all that EM needs of the rows.

    Parameters
    ----------
    zf, zy : ndarray of shape (n_tasks, q, d) and (n_tasks, q)
        ``Z'AF`` and ``Z'Ay`` of each task.
    ff, fy : ndarray of shape (d, d) and (d,)
        ``F'AF`` and ``F'Ay`` over all rows.
    yy, n : float
        ``y'Ay`` and the sum of the weights.
    """

    zf: Array
    zy: Array
    ff: Array
    fy: Array
    yy: float
    n: float

    @classmethod
    def of(cls, F: Array, y: Array, weight: Array, table: TaskTable, q: int) -> Moments:
        """Sum over the rows of each task; the rows are sorted as in `table`."""
        zf = np.zeros((table.n_tasks, q, F.shape[1]))
        zy = np.zeros((table.n_tasks, q))
        if q and len(F):
            for tasks in table.chunks(_CELLS):
                rows, mask = table.padded(tasks)
                f = F[rows]
                az = (f[..., :q] * (weight[rows] * mask)[..., None]).swapaxes(1, 2)
                zf[tasks] = az @ f
                zy[tasks] = (az @ y[rows][..., None])[..., 0]
        af = F * weight[:, None]
        return cls(zf, zy, af.T @ F, af.T @ y, float(weight @ y**2), float(weight.sum()))

    @property
    def mean(self) -> float:
        """The weighted mean of y."""
        return float(self.fy[0]) / self.n

    @property
    def variance(self) -> float:
        """The weighted variance of y."""
        return max(self.yy / self.n - self.mean**2, 0.0)

    @property
    def zz(self) -> Array:
        """``Z'AZ`` of each task."""
        return self.zf[..., : self.zf.shape[1]]


@dataclass(frozen=True)
class Posterior:
    """Task effects: means (n_tasks, q), covariances (n_tasks, q, q), and log determinants."""

    mean: Array
    covariance: Array
    log_det: Array


def root_of(covariance: Array) -> Array:
    """Return R with ``RR' = Ω``, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def posterior(zz: Array, residual: Array, covariance: Array, noise: float) -> Posterior:
    """Return the exact posterior of the effects of each task.

    ``S = (Ω⁻¹ + Z'AZ/σ²)⁻¹`` and ``m = S Z'A(y - Fβ)/σ²``, computed without an inverse of Ω, so
    that Ω may be singular.

    Parameters
    ----------
    zz : ndarray of shape (n_tasks, q, q)
        ``Z'AZ``.
    residual : ndarray of shape (n_tasks, q)
        ``Z'A(y - Fβ)``.
    covariance : ndarray of shape (q, q)
        Ω.
    noise : float
        σ².

    Returns
    -------
    posterior : Posterior
        `log_det` is ``log|I + Ω Z'AZ/σ²|``, the task's share of the marginal likelihood.
    """
    root = root_of(covariance)
    inner = root.T @ (zz @ root) / noise
    inner += np.eye(len(covariance))
    spread = root @ np.linalg.inv(inner) @ root.T
    mean = (spread @ residual[..., None])[..., 0] / noise
    return Posterior(mean, spread, np.linalg.slogdet(inner)[1])


def fit_prior(
    moments: Moments,
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
    moments : Moments
        Sums over the rows of each task.
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
        prior, value, _ = em_step(moments, prior, diagonal=diagonal)
        history.append(value)
        if len(history) > 1 and history[-1] - history[-2] < tol * moments.n:
            break
    return prior, history


def em_step(
    moments: Moments, prior: Prior, *, diagonal: bool, learn_noise: bool = True
) -> tuple[Prior, float, Array]:
    """Take one step of EM.

    Parameters
    ----------
    moments : Moments
        Sums over the rows of each task.
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
    n_tasks, q = moments.zy.shape
    noise = prior.noise
    spread = posterior(moments.zz, moments.zy, prior.covariance, noise)
    pulled = spread.covariance @ moments.zf  # S Z'AF
    flat = moments.zf.reshape(n_tasks * q, -1)
    precision = (moments.ff - flat.T @ pulled.reshape(n_tasks * q, -1) / noise) / noise
    target = (moments.fy - np.einsum("tqd,tq->d", pulled, moments.zy) / noise) / noise
    covariance_of_mean = pinvh(precision + np.diag(prior.precision), rtol=1e-12)
    beta = covariance_of_mean @ target
    residual = moments.zy - moments.zf @ beta
    mean = (spread.covariance @ residual[..., None])[..., 0] / noise
    squares = moments.yy - 2 * moments.fy @ beta + beta @ moments.ff @ beta
    value = -0.5 * (
        moments.n * np.log(2 * np.pi * noise)
        + spread.log_det.sum()
        + (squares - np.vdot(residual, mean)) / noise
        + beta @ (prior.precision * beta)
    )

    covariance = prior.covariance
    explained = np.vdot(residual, mean)
    if n_tasks and q:
        covariance = (spread.covariance.sum(axis=0) + mean.T @ mean) / n_tasks
        if diagonal:
            covariance = np.diag(np.diag(covariance))
        fitted = np.einsum("tq,tqr,tr->", mean, moments.zz, mean)
        leftover = np.einsum("tqr,tqr->", moments.zz, spread.covariance)
        squares = squares - 2 * explained + fitted + leftover
    if learn_noise:
        least = max(_LEAST_SHARE * moments.variance, _LEAST_NOISE)
        noise = max(float(squares) / moments.n, least)
    shrinkage = prior.shrinkage
    if shrinkage > 0 and len(beta) > 1:
        size = beta[1:] @ beta[1:] + np.trace(covariance_of_mean[1:, 1:])
        shrinkage = float((len(beta) - 1) / max(size, np.finfo(float).tiny))
    return Prior(beta, covariance, noise, shrinkage), float(value), mean


def starting_prior(moments: Moments, *, shrink: bool, varying: bool) -> Prior:
    """Return a prior that gives each part of the model an equal share of the variance.

    Parameters
    ----------
    moments : Moments
        Sums over the rows of each task.
    shrink : bool
        Whether β has a prior too.
    varying : bool
        Whether tasks differ.

    Returns
    -------
    prior : Prior
        Its mean is 0, for EM starts with the best one given the rest.
    """
    d, q = len(moments.fy), moments.zy.shape[1]
    size = np.maximum(np.diag(moments.ff) / moments.n, np.finfo(float).tiny)
    variance = moments.variance
    if not shrink:
        beta = pinvh(moments.ff, rtol=1e-12) @ moments.fy
        variance -= float(beta @ moments.ff @ beta) / moments.n - moments.mean**2
    share = max(variance, _LEAST_SHARE * moments.variance, _LEAST_NOISE) / (1 + shrink + varying)
    covariance = np.diag(share / q / size[:q]) if varying else np.zeros((q, q))
    shrinkage = float(size[1:].sum() / share) if shrink and d > 1 else 0.0
    return Prior(np.zeros(d), covariance, share, shrinkage)
