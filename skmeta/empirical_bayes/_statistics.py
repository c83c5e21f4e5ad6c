"""What EM takes from the rows of tasks, in the smaller of the spaces of effects and of rows.

In the notation of the mixed model, let ``V = ZΩZ' + σ²A⁻¹`` be the covariance of a task's rows.
Each step of EM needs ``F'V⁻¹F`` and ``F'V⁻¹y``, and the posterior ``N(m, S)`` of the effects. By
Woodbury's identity these come from matrices with a row for each effect, or for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmeta.empirical_bayes._posterior import posterior
from skmeta.tasks import TaskTable

__all__ = ["Moments", "Rows", "Totals", "summarise"]

Array = NDArray[np.float64]

_CELLS = 1 << 18  # padded rows worked on at once


@dataclass(frozen=True)
class Given:
    """What the rows say once Ω and σ² are given, summed over tasks.

    Parameters
    ----------
    precision, target : ndarray of shape (d, d) and (d,)
        ``F'V⁻¹F`` and ``F'V⁻¹y``.
    log_det : float
        ``log|AV/σ²|``.
    spread : ndarray of shape (q, q)
        The sum of S.
    effects : callable
        Takes β and returns the means m of shape (n_tasks, q), ``(y - Fβ)'V⁻¹(y - Fβ)``, and the
        expected square ``E (y - Fβ - Zu)'A(y - Fβ - Zu)``.
    """

    precision: Array
    target: Array
    log_det: float
    spread: Array
    effects: Callable[[Array], tuple[Array, float, float]]


@dataclass(frozen=True)
class Totals:
    """Sums over all rows.

    Parameters
    ----------
    ff, fy : ndarray of shape (d, d) and (d,)
        ``F'AF`` and ``F'Ay``.
    yy, n : float
        ``y'Ay`` and the sum of the weights.
    """

    ff: Array
    fy: Array
    yy: float
    n: float

    @property
    def mean(self) -> float:
        """The weighted mean of y."""
        return float(self.fy[0]) / self.n

    @property
    def variance(self) -> float:
        """The weighted variance of y."""
        return max(self.yy / self.n - self.mean**2, 0.0)


@dataclass(frozen=True)
class Moments(Totals):
    """Weighted second moments of each task: all that is needed of many rows.

    Parameters
    ----------
    zf, zy : ndarray of shape (n_tasks, q, d) and (n_tasks, q)
        ``Z'AF`` and ``Z'Ay`` of each task.
    """

    zf: Array
    zy: Array

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
        return cls(*_totals(F, y, weight), zf, zy)

    @property
    def zz(self) -> Array:
        """``Z'AZ`` of each task."""
        return self.zf[..., : self.zf.shape[1]]

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of tasks and of effects of each."""
        n_tasks, q = self.zy.shape
        return n_tasks, q

    def given(self, covariance: Array, noise: float) -> Given:
        """Return what the rows say of β and of tasks."""
        d = len(self.fy)
        known = posterior(self.zz, self.zy, covariance, noise)
        pulled = known.covariance @ self.zf  # S Z'AF
        precision = (self.ff - self.zf.reshape(-1, d).T @ pulled.reshape(-1, d) / noise) / noise
        target = (self.fy - np.einsum("tqd,tq->d", pulled, self.zy) / noise) / noise

        def effects(beta: Array) -> tuple[Array, float, float]:
            residual = self.zy - self.zf @ beta
            mean = (known.covariance @ residual[..., None])[..., 0] / noise
            squares = self.yy - 2 * self.fy @ beta + beta @ self.ff @ beta
            explained = np.vdot(residual, mean)
            fitted = np.einsum("tq,tqr,tr->", mean, self.zz, mean)
            leftover = np.einsum("tqr,tqr->", self.zz, known.covariance)
            misfit = (squares - explained) / noise
            return mean, float(misfit), float(squares - 2 * explained + fitted + leftover)

        log_det = float(known.log_det.sum())
        return Given(precision, target, log_det, known.covariance.sum(axis=0), effects)


@dataclass(frozen=True)
class Rows(Totals):
    """The rows themselves, times the roots of their weights: less than moments where few.

    Parameters
    ----------
    F, y : ndarray of shape (n_tasks, n_rows, d) and (n_tasks, n_rows)
        Padded with zeros.
    q : int
        The number of effects of a task.
    """

    F: Array
    y: Array
    q: int

    @classmethod
    def of(cls, F: Array, y: Array, weight: Array, table: TaskTable, q: int) -> Rows:
        """Lay out the rows of each task; they are sorted as in `table`."""
        rows, mask = table.padded(np.arange(table.n_tasks))
        root = np.sqrt(weight)[rows] * mask
        return cls(*_totals(F, y, weight), F[rows] * root[..., None], y[rows] * root, q)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of tasks and of effects of each."""
        return len(self.F), self.q

    def given(self, covariance: Array, noise: float) -> Given:
        """Return what the rows say of β and of tasks."""
        F, y, (n_tasks, q) = self.F, self.y, self.shape
        reach = F[..., :q] @ covariance
        inner = reach @ F[..., :q].mT / noise + np.eye(F.shape[1])
        share = np.linalg.inv(inner)  # σ²V⁻¹: what is left of a residual as noise
        left = (share @ F).reshape(-1, F.shape[2])
        precision = F.reshape(left.shape).T @ left / noise
        target = left.T @ y.ravel() / noise

        def effects(beta: Array) -> tuple[Array, float, float]:
            residual = y - F @ beta
            rest = (share @ residual[..., None])[..., 0]
            mean = (rest[:, None] @ reach)[:, 0] / noise
            left_over = noise * (y.size - np.einsum("tii->", share))
            misfit = np.vdot(residual, rest) / noise
            return mean, float(misfit), float(np.vdot(rest, rest) + left_over)

        log_det = float(np.linalg.slogdet(inner)[1].sum())
        spread = n_tasks * covariance - covariance @ precision[:q, :q] @ covariance
        return Given(precision, target, log_det, spread, effects)


def summarise(F: Array, y: Array, weight: Array, table: TaskTable, q: int) -> Moments | Rows:
    """Return what EM needs of all rows, sorted as in `table`, in the smaller space.

    Parameters
    ----------
    F : ndarray of shape (n_samples, d)
        Design matrix; its first `q` columns vary between tasks.
    y, weight : ndarray of shape (n_samples,)
        Targets, and the weight of each row.
    table : TaskTable
        The tasks.
    q : int
        The number of effects of a task.

    Returns
    -------
    statistics : Moments or Rows
    """
    few = table.sizes.max(initial=0) < q
    return (Rows if few else Moments).of(F, y, weight, table, q)


def _totals(F: Array, y: Array, weight: Array) -> tuple[Array, Array, float, float]:
    af = F * weight[:, None]
    return af.T @ F, af.T @ y, float(weight @ y**2), float(weight.sum())
