"""The posterior of task effects in the Gaussian mixed model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Posterior", "posterior", "root_of"]

Array = NDArray[np.float64]


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
