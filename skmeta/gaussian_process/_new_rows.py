"""Rows of B for new tasks: a prior from the tasks of training, and its mode given a support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta.gaussian_process._coregionalization import Coregionalization

__all__ = ["Evidence", "RowPrior", "posterior_mode"]

Array = NDArray[np.float64]

_MAX_STEPS = 100
_LEAST_GAIN = 1e-9  # of log density, in one step
_LEAST_STEP = 1e-6
_WIDEST = 12.0  # of log v around its prior mean; exp of more may overflow


@dataclass(frozen=True)
class RowPrior:
    """A normal distribution of ``(ℓ, log v)`` over tasks.

    Parameters
    ----------
    mean : ndarray of shape (rank + 1,)
        Its mean.
    precision : ndarray of shape (rank + 1, rank + 1)
        The inverse of its covariance.
    variance : float
        The mean of ``B[t, t]`` over tasks.
    """

    mean: Array
    precision: Array
    variance: float

    @classmethod
    def of(cls, model: Coregionalization) -> RowPrior:
        """Estimate it from the rows of a model.

        The covariance is that of their tasks and of rank + 2 more, which have the mean variance
        of tasks in ℓ, and variance 1 in log v.
        """
        n_tasks, rank = model.loadings.shape
        variance = float(model.matrix.trace()) / n_tasks
        rows = np.column_stack([model.loadings, np.log(model.own)])
        away = rows - rows.mean(axis=0)
        extra = rank + 2
        broad = extra * np.diag(np.append(np.full(rank, variance / rank), 1.0))
        covariance: NDArray[Any] = (away.T @ away + broad) / (n_tasks - 1 + extra)
        return cls(rows.mean(axis=0), np.linalg.inv(covariance), variance)


@dataclass(frozen=True)
class Evidence:
    """What the supports of tasks say of their rows of B, given the rows of training.

    With ``f = Σ ℓ_r g_r + √v h``, the shared ``g`` have posterior moments on the support and
    ``h`` has the kernel. Padded rows hold zeros, with a noise of one.

    Parameters
    ----------
    mean : ndarray of shape (n_tasks, rank, n_rows, n_outputs)
        Posterior means of g.
    shared : ndarray of shape (n_tasks, rank, rank, n_rows, n_rows)
        Their posterior covariances.
    own : ndarray of shape (n_tasks, n_rows, n_rows)
        The kernel.
    noise : ndarray of shape (n_tasks, n_rows)
        Variances of the noise.
    y : ndarray of shape (n_tasks, n_rows, n_outputs)
        Targets.
    """

    mean: Array
    shared: Array
    own: Array
    noise: Array
    y: Array

    def log_density(self, z: Array, prior: RowPrior) -> Array:
        """Return the log density of ``z = (ℓ, log v)`` given the support, but for a constant."""
        C, error = self._moments(z)
        half = np.linalg.cholesky(C)
        white = np.linalg.solve(half, error)
        log_det = np.log(half.diagonal(axis1=1, axis2=2)).sum(axis=1)
        away = z - prior.mean
        density: Array = (
            -np.square(white).sum(axis=(1, 2)) / 2
            - self.y.shape[2] * log_det
            - np.einsum("ti,ij,tj->t", away, prior.precision, away) / 2
        )
        return density

    def derivatives(self, z: Array, prior: RowPrior) -> tuple[Array, NDArray[Any]]:
        """Return its gradient and the expected negative Hessian (Fisher information)."""
        C, error = self._moments(z)
        n_outputs = self.y.shape[2]
        inverse = np.linalg.inv(C)
        alpha = inverse @ error
        both = self.shared + self.shared.transpose(0, 2, 1, 3, 4)
        of_loadings = np.einsum("ts,trsij->trij", z[:, :-1], both)
        of_own = np.exp(z[:, -1, None, None]) * self.own
        dC = np.concatenate([of_loadings, of_own[:, None]], axis=1)
        W = alpha @ alpha.transpose(0, 2, 1) - n_outputs * inverse
        gradient = np.einsum("tij,tkij->tk", W, dC) / 2 - (z - prior.mean) @ prior.precision
        gradient[:, :-1] += np.einsum("trio,tio->tr", self.mean, alpha)
        white = inverse[:, None] @ dC
        information = n_outputs / 2 * np.einsum("tkij,tlji->tkl", white, white) + prior.precision
        information[:, :-1, :-1] += np.einsum(
            "trio,tij,tsjo->trs", self.mean, inverse, self.mean, optimize=True
        )
        return gradient, information

    def _moments(self, z: Array) -> tuple[Array, Array]:
        loadings, own = z[:, :-1], np.exp(z[:, -1])
        C = np.einsum("tr,ts,trsij->tij", loadings, loadings, self.shared, optimize=True)
        C += own[:, None, None] * self.own
        diagonal = np.arange(C.shape[1])
        C[:, diagonal, diagonal] += self.noise
        return C, self.y - np.einsum("tr,trio->tio", loadings, self.mean)


def posterior_mode(evidence: Evidence, prior: RowPrior) -> tuple[Array, Array]:
    """Climb the density of ``(ℓ, log v)`` of all tasks by Fisher scoring with halved steps.

    Each task has a step length of its own and stops by itself, so that it does not matter which
    others it is adapted with.

    Parameters
    ----------
    evidence : Evidence
        What supports say.
    prior : RowPrior
        Where to start, too.

    Returns
    -------
    mode : ndarray of shape (n_tasks, rank + 1)
    covariance : ndarray of shape (n_tasks, rank + 1, rank + 1)
        That of the normal approximation there.
    """
    n_tasks = len(evidence.y)
    z = np.tile(prior.mean, (n_tasks, 1))
    density = evidence.log_density(z, prior)
    length, climbing = np.ones(n_tasks), np.ones(n_tasks, dtype=bool)
    for _ in range(_MAX_STEPS):
        gradient, information = evidence.derivatives(z, prior)
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        proposed = z + length[:, None] * step
        proposed[:, -1] = np.clip(
            proposed[:, -1], prior.mean[-1] - _WIDEST, prior.mean[-1] + _WIDEST
        )
        gain = evidence.log_density(proposed, prior) - density
        better = climbing & (gain > 0)
        z = np.where(better[:, None], proposed, z)
        density = np.where(better, density + gain, density)
        climbing &= np.where(better, gain > _LEAST_GAIN, length > _LEAST_STEP)
        length = np.where(better, np.minimum(2 * length, 1.0), length / 2)
        if not climbing.any():
            break
    return z, np.linalg.inv(evidence.derivatives(z, prior)[1])
