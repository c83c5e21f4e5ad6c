"""The process given all rows of training: what it says of rows of these and other tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

from skmeta.gaussian_process._coregionalization import Coregionalization, factor
from skmeta.gaussian_process._new_rows import Evidence, RowPrior, posterior_mode

__all__ = ["AdaptedTasks", "ConditionedProcess"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class AdaptedTasks:
    """What is kept of tasks; supports are padded to the largest.

    Parameters
    ----------
    cross : ndarray of shape (n_tasks, n_training_tasks)
        ``B[new, t]``.
    variance : ndarray of shape (n_tasks,)
        ``B[new, new]``.
    X : ndarray of shape (n_tasks, n_rows, n_features)
        Support rows that are not among those of training.
    mask : ndarray of shape (n_tasks, n_rows)
        True where there is one.
    training : ndarray of shape (n_tasks, n_samples, n_outputs)
        The weights of ``k(x, x_j)`` in predictive means, for the training rows x_j.
    support : ndarray of shape (n_tasks, n_rows, n_outputs)
        Those of ``k(x, x_s)``, for the support rows x_s; 0 where there is none.
    """

    cross: Array
    variance: Array
    X: Array
    mask: Mask
    training: Array
    support: Array


@dataclass(frozen=True)
class ConditionedProcess:
    """A coregionalization model given rows of its tasks.

    Parameters
    ----------
    model : Coregionalization
        Parameters.
    X : ndarray of shape (n_samples, n_features)
        Training rows.
    owners : ndarray of shape (n_samples,)
        The task of each.
    half : ndarray of shape (n_samples, n_samples)
        The Cholesky factor of the covariance C of their targets.
    alpha : ndarray of shape (n_samples, n_outputs)
        ``C⁻¹y``.
    prior : RowPrior
        Of the rows of B of new tasks.
    """

    model: Coregionalization
    X: Array
    owners: NDArray[np.int64]
    half: Array
    alpha: Array
    prior: RowPrior

    @classmethod
    def given(
        cls, model: Coregionalization, X: Array, y: Array, owners: NDArray[np.int64]
    ) -> ConditionedProcess:
        """Condition a model on rows."""
        half = factor(model, model.kernel(X), owners)
        return cls(model, X, owners, half, cho_solve((half, True), y), RowPrior.of(model))

    def rows_of(self, known: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the rows of B of training tasks, and for -1 the mean over tasks.

        Parameters
        ----------
        known : ndarray of shape (n_tasks,)
            Numbers of training tasks, or -1.

        Returns
        -------
        cross : ndarray of shape (n_tasks, n_training_tasks)
        variance : ndarray of shape (n_tasks,)
        """
        B, new = self.model.matrix, known < 0
        mean = self.model.loadings @ self.prior.mean[:-1]
        variance = np.where(new, self.prior.variance, B[known, known])
        return np.where(new[:, None], mean, B[known]), variance

    def choose_rows(self, X: Array, y: Array, mask: Mask) -> tuple[Array, Array]:
        """Return rows of B for tasks, each from its support.

        ℓ is at its posterior mode. What stays uncertain of it, ``δ``, adds ``δ'g`` to a task,
        whose variance is about ``E[δ'δ] k``: it counts as the task's own process. So a task of
        which little is known is predicted much as one of which nothing is.

        Parameters
        ----------
        X : ndarray of shape (n_tasks, n_rows, n_features)
            Supports, padded.
        y : ndarray of shape (n_tasks, n_rows, n_outputs)
            Targets.
        mask : ndarray of shape (n_tasks, n_rows)
            True where there is a row.

        Returns
        -------
        cross : ndarray of shape (n_tasks, n_training_tasks)
        variance : ndarray of shape (n_tasks,)
        """
        mode, spread = posterior_mode(self._evidence(X, y, mask), self.prior)
        loadings = mode[:, :-1]
        own = np.exp(mode[:, -1] + spread[:, -1, -1] / 2)
        own += np.trace(spread[:, :-1, :-1], axis1=1, axis2=2)
        return loadings @ self.model.loadings.T, np.square(loadings).sum(axis=1) + own

    def adapt(self, cross: Array, variance: Array, X: Array, y: Array, mask: Mask) -> AdaptedTasks:
        """Condition on supports too, given the rows of B of their tasks.

        Parameters
        ----------
        cross, variance : ndarray
            As `AdaptedTasks` has them.
        X, y, mask : ndarray
            As `choose_rows` takes them.

        Returns
        -------
        tasks : AdaptedTasks
        """
        covariance, white, C = self._supports(cross, variance, X, mask)
        error = (y - covariance @ self.alpha) * mask[..., None]
        weights = np.linalg.solve(C, error)
        known = np.einsum("tin,tio->nto", white, weights, optimize=True)
        flat = solve_triangular(self.half, known.reshape(len(known), -1), lower=True, trans="T")
        moved = flat.reshape(known.shape).transpose(1, 0, 2)
        training = cross[:, self.owners, None] * (self.alpha - moved)
        return AdaptedTasks(cross, variance, X, mask, training, variance[:, None, None] * weights)

    def mean(self, X: Array, local: NDArray[np.int64], tasks: AdaptedTasks) -> Array:
        """Return posterior means.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
            Rows.
        local : ndarray of shape (n_queries,)
            The number of each row's task.
        tasks : AdaptedTasks
            The tasks.

        Returns
        -------
        mean : ndarray of shape (n_queries, n_outputs)
        """
        mean = np.einsum("in,ino->io", self._kernel(X), tasks.training[local])
        near = self._near(X, tasks)[np.arange(len(X)), local]
        mean += np.einsum("is,iso->io", near, tasks.support[local])
        return mean

    def variance(self, X: Array, local: NDArray[np.int64], tasks: AdaptedTasks) -> Array:
        """Return the variances of new observations, noise included.

        Parameters
        ----------
        X, local, tasks
            As `mean` takes them.

        Returns
        -------
        variance : ndarray of shape (n_queries,)
        """
        _, support, C = self._supports(tasks.cross, tasks.variance, tasks.X, tasks.mask)
        white = self._whiten(self._kernel(X) * tasks.cross[local][:, self.owners])
        left = tasks.variance[:, None] * self._near(X, tasks)
        left -= (white @ support.reshape(-1, len(self.X)).T).reshape(left.shape)
        left = np.linalg.solve(np.linalg.cholesky(C), (left * tasks.mask).transpose(1, 2, 0))
        left = left[local, :, np.arange(len(X))]
        variance = tasks.variance[local] * self.model.kernel.diag(X)
        variance -= np.square(white).sum(axis=1) + np.square(left).sum(axis=1)
        noisy: Array = np.maximum(variance, 0.0) + self.model.noise
        return noisy

    def _evidence(self, X: Array, y: Array, mask: Mask) -> Evidence:
        n_tasks, n_rows = mask.shape
        rank = self.model.loadings.shape[1]
        K = self._kernel(X.reshape(n_tasks * n_rows, -1)).reshape(n_tasks, 1, n_rows, -1)
        # Covariances of each g_r on the support with the targets of training.
        cross = K * self.model.loadings.T[:, None, self.owners] * mask[:, None, :, None]
        white = self._whiten(cross).reshape(n_tasks, rank * n_rows, -1)
        known = (white @ white.transpose(0, 2, 1)).reshape(n_tasks, rank, n_rows, rank, n_rows)
        own = self._within(X, mask)
        shared = np.eye(rank)[:, :, None, None] * own[:, None, None]
        shared = shared - known.transpose(0, 1, 3, 2, 4)
        noise = np.where(mask, self.model.noise, 1.0)
        return Evidence(cross @ self.alpha, shared, own, noise, y * mask[..., None])

    def _supports(
        self, cross: Array, variance: Array, X: Array, mask: Mask
    ) -> tuple[Array, Array, Array]:
        """Return covariances of supports with training rows, these whitened, and within supports.

        The last are given the training rows; a padded row is independent, of variance 1.
        """
        n_tasks, n_rows = mask.shape
        K = self._kernel(X.reshape(n_tasks * n_rows, -1)).reshape(n_tasks, n_rows, -1)
        covariance = K * cross[:, None, self.owners] * mask[..., None]
        white = self._whiten(covariance)
        C = variance[:, None, None] * self._within(X, mask) - white @ white.transpose(0, 2, 1)
        diagonal = np.arange(n_rows)
        C[:, diagonal, diagonal] += np.where(mask, self.model.noise, 1.0)
        return covariance, white, C

    def _kernel(self, X: Array) -> Array:
        """Return ``k(x, x_j)`` of rows and the training rows."""
        K: Array = self.model.kernel(X, self.X)
        return K

    def _near(self, X: Array, tasks: AdaptedTasks) -> Array:
        """Return ``k(x, x_s)`` of rows and the supports of all tasks."""
        K: Array = self.model.kernel(X, tasks.X.reshape(tasks.mask.size, -1))
        return K.reshape(len(X), *tasks.mask.shape)

    def _within(self, X: Array, mask: Mask) -> Array:
        """Return the kernel within each support, 0 where there is no row."""
        n_tasks, n_rows = mask.shape
        K = self.model.kernel(X.reshape(n_tasks * n_rows, -1))
        each = np.arange(n_tasks)
        blocks: Array = K.reshape(n_tasks, n_rows, n_tasks, n_rows)[each, :, each]
        return blocks * (mask[:, :, None] & mask[:, None])

    def _whiten(self, cross: Array) -> Array:
        """Solve for the factor of the training rows, which are the last dimension."""
        flat = cross.reshape(-1, len(self.X))
        white: Array = solve_triangular(self.half, flat.T, lower=True).T
        return white.reshape(cross.shape)
