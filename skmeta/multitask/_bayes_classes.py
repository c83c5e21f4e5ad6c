"""Gaussian classes of each task, with a prior that is learned from the classes of training tasks.

S. Ioffe (2006). Probabilistic linear discriminant analysis. ECCV; N. Brümmer, E. de Villiers
(2010). The speaker partitioning problem. Odyssey, for its form with two covariances; C. Guo, G.
Pleiss, Y. Sun, K. Q. Weinberger (2017). On calibration of modern neural networks. ICML, section 4,
for the temperature.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import log_softmax
from sklearn.covariance import ledoit_wolf

from skmeta.tasks import TaskData, TaskTable, local_classes

__all__ = ["BayesClasses"]

Array = NDArray[np.float64]

_LEAST_SHARE = 1e-3  # of the variance of features that is within classes at least, in any direction
_HELD_OUT = 2000  # rows, plenty for one number
_HOTTEST = 20.0


@dataclass(frozen=True)
class BayesClasses:
    """Rows ``f ~ N(m, W)`` around the mean of their class, and these means ``m ~ N(μ, B)``.

    Parameters
    ----------
    axes : ndarray of shape (width, width)
        The matrix V with ``V' W V = I`` and ``V' B V`` diagonal: in these coordinates features
        are independent.
    between : ndarray of shape (width,)
        That diagonal.
    centers : ndarray of shape (n_classes, width)
        μ of each class in these coordinates; of all alike where classes are the tasks' own.
    pseudocounts : ndarray of shape (n_classes,)
        Rows that a task is taken to have of each class before it has shown any.
    temperature : float, default=1.0
        What divides log densities: above 1 where features are not Gaussian and densities too sure.
    """

    axes: Array
    between: Array
    centers: Array
    pseudocounts: Array
    temperature: float = 1.0

    @classmethod
    def learn(
        cls, F: Array, y: NDArray[np.int64], table: TaskTable, n_classes: int, *, shared: bool
    ) -> BayesClasses:
        """Learn the prior by moments.

        W is the covariance of rows around the mean of their class in their task, shrunk where rows
        are few (Ledoit-Wolf); B the covariance of these means, less what rows of variance W
        scatter them. With these, one half of the rows tells at which temperature the classes of
        the other half are most probable.

        Parameters
        ----------
        F : ndarray of shape (n_samples, width)
            Features of the training rows, sorted as in `table`.
        y : ndarray of shape (n_samples,)
            Their classes.
        table : TaskTable
            The training tasks.
        n_classes : int
            The number of classes of any task.
        shared : bool
            Whether a class is the same one in all tasks.

        Returns
        -------
        classes : BayesClasses
        """
        cells, cell = np.unique(np.column_stack([table.owners, y]), axis=0, return_inverse=True)
        sizes = np.bincount(cell)
        means = _sums(F, cell, len(sizes)) / sizes[:, None]
        kind = cells[:, 1] if shared else np.zeros(len(cells), dtype=np.int64)
        n_kinds = np.bincount(kind, minlength=n_classes if shared else 1)
        centers = _sums(means, kind, len(n_kinds)) / np.maximum(n_kinds, 1)[:, None]

        within = ledoit_wolf(F - means[cell], assume_centered=True)[0]
        within = within * (len(F) / max(len(F) - len(cells), 1))
        within += _LEAST_SHARE * (F.var(axis=0).mean() or 1.0) * np.eye(len(within))
        scattered = means - centers[kind]
        free = max(len(cells) - int(np.count_nonzero(n_kinds)), 1)
        spread = scattered.T @ scattered / free
        variances, axes = eigh(spread, within)
        counts = np.ones(n_classes)
        if shared:
            counts = np.maximum(np.bincount(y, minlength=n_classes), 1)
        model = cls(
            axes,
            np.maximum(variances - np.mean(1 / sizes), 0.0),
            np.broadcast_to(centers @ axes, (n_classes, len(axes))),
            n_classes * counts / counts.sum(),
        )
        data, there = TaskData(table, F, y), np.ones((table.n_tasks, n_classes), dtype=bool)
        if not shared:
            data, ways = local_classes(data, int(y.max()) + 1)
            there = ways >= 0
        return replace(model, temperature=model._best_temperature(data, cell, there))

    def posterior(
        self, F: Array, y: NDArray[np.int64], table: TaskTable, n_classes: int
    ) -> tuple[Array, Array]:
        """Return the posterior mean of each class of each task, and the rows that it has seen.

        Parameters
        ----------
        F : ndarray of shape (n_samples, width)
            Features of the support, sorted as in `table`.
        y : ndarray of shape (n_samples,)
            Their classes.
        table : TaskTable
            The tasks.
        n_classes : int
            The number of classes of any of them.

        Returns
        -------
        means : ndarray of shape (n_tasks, n_classes, width)
            Of the classes, in the coordinates V.
        counts : ndarray of shape (n_tasks, n_classes)
            Rows.
        """
        owners, shape = table.owners, (table.n_tasks, n_classes)
        n = len(owners)  # without any rows there is one to pad with
        cell = owners * n_classes + y[:n]
        counts = np.bincount(cell, minlength=shape[0] * n_classes).astype(np.float64)
        sums = _sums(F[:n] @ self.axes, cell, len(counts)).reshape(*shape, -1)
        counts = counts.reshape(shape)
        centers = self._of(self.centers, n_classes)
        seen = counts[..., None]
        means = centers + self.between * (sums - seen * centers) / (1 + seen * self.between)
        return means, counts

    def scores(self, F: Array, codes: NDArray[np.int64], means: Array, counts: Array) -> Array:
        """Return ``log p(y) + log N(f; E[m], W + Cov[m])`` given the support of the row's task.

        Parameters
        ----------
        F : ndarray of shape (n_samples, width)
            Features of rows.
        codes : ndarray of shape (n_samples,)
            The task of each.
        means, counts : ndarray
            As `posterior` returns them.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
            Up to what all classes of a row have in common.
        """
        frequency, density = self._terms(F, codes, means, counts)
        return frequency + density / self.temperature

    def _terms(
        self, F: Array, codes: NDArray[np.int64], means: Array, counts: Array
    ) -> tuple[Array, Array]:
        """Return both terms of `scores`, at temperature 1."""
        Z, n_classes = F @ self.axes, counts.shape[1]
        density = np.empty((len(Z), n_classes))
        for k in range(n_classes):
            seen = counts[codes, k, None]
            variance = 1 + self.between / (1 + seen * self.between)
            distance = (Z - means[codes, k]) ** 2 / variance + np.log(variance)
            density[:, k] = -distance.sum(axis=1) / 2
        frequency = np.log(counts + self._of(self.pseudocounts, n_classes))
        return frequency[codes], density

    def _best_temperature(
        self, data: TaskData, cell: NDArray[np.int64], there: NDArray[np.bool_]
    ) -> float:
        """Return that at which every second row of a cell is most probable given the others."""
        order = np.argsort(cell, kind="stable")
        number = np.empty(len(cell), dtype=np.int64)
        number[order] = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order])
        known, held = data.keep(number % 2 == 0), data.keep(number % 2 == 1)
        state = self.posterior(known.X, known.y, known.table, there.shape[1])
        rows = np.flatnonzero(there[held.owners].sum(axis=1) > 1)
        if not len(rows):
            return 1.0
        rows = rows[:: -(-len(rows) // _HELD_OUT)]
        owners, truth = held.owners[rows], held.y[rows]
        frequency, density = self._terms(held.X[rows], owners, *state)
        frequency = np.where(there[owners], frequency, -np.inf)

        def loss(sharpness: float) -> float:
            said = log_softmax(frequency + sharpness * density, axis=1)
            return -float(said[np.arange(len(rows)), truth].mean())

        return 1 / float(minimize_scalar(loss, bounds=(1 / _HOTTEST, 1.0), method="bounded").x)

    def _of(self, values: Array, n_classes: int) -> Array:
        """Return values for so many classes; new tasks may have more of their own than any yet."""
        return values if len(values) == n_classes else np.repeat(values[:1], n_classes, axis=0)


def _sums(values: Array, cell: NDArray[np.int64], n_cells: int) -> Array:
    """Return the sum of the rows of each cell."""
    ones = np.ones(len(cell))
    indicator = csr_array((ones, (cell, np.arange(len(cell)))), shape=(n_cells, len(cell)))
    return np.asarray(indicator @ values)
