"""Linear heads with a Gaussian prior that is learned from the heads of training tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmeta.empirical_bayes._mixed_model import Prior, fit_prior
from skmeta.empirical_bayes._posterior import Posterior, posterior, root_of
from skmeta.empirical_bayes._statistics import Moments, summarise
from skmeta.empirical_bayes._variance import movement, variance_components
from skmeta.tasks import TaskTable

__all__ = ["EM_STEPS", "BayesHead"]

Array = NDArray[np.float64]

EM_STEPS = 100
_TOLERANCE = 1e-4  # gain of log-likelihood per row: more steps change no prediction
_ENTRIES = 1 << 22  # of covariance matrices held at once


@dataclass(frozen=True)
class BayesHead:
    """A prior ``w ~ N(w0, Ω)`` over heads and the noise σ², for each output.

    Parameters
    ----------
    priors : list of Prior
        One for each output.
    """

    priors: list[Prior]

    @classmethod
    def learn(
        cls, F: Array, y: Array, table: TaskTable, heads: Array, *, n_steps: int = EM_STEPS
    ) -> BayesHead:
        """Learn the prior from fitted heads.

        Mean and covariance of the heads, and their residuals, are where EM starts on the rows:
        so the noise of the heads themselves does not stay in Ω.

        Parameters
        ----------
        F : ndarray of shape (n_samples, width)
            Features of the training rows with a column of ones, sorted as in `table`.
        y : ndarray of shape (n_samples, n_outputs)
            Their targets.
        table : TaskTable
            The training tasks.
        heads : ndarray of shape (n_tasks, width, n_outputs)
            The head of each.
        n_steps : int, default=EM_STEPS
            Steps of EM, if it does not converge before.

        Returns
        -------
        head : BayesHead
        """
        codes = table.owners
        weight = np.ones(len(F))
        priors = []
        for output in range(y.shape[1]):
            fitted = heads[..., output]
            residual = y[:, output] - np.einsum("nd,nd->n", F, fitted[codes])
            noise = max(float(np.mean(residual**2)), 1e-10)
            spread = np.zeros((F.shape[1], F.shape[1]))
            if table.n_tasks > 1:
                spread = np.cov(fitted.T, ddof=0).reshape(spread.shape)
            start = Prior(fitted.mean(axis=0), spread, noise)
            rows = summarise(F, y[:, output], weight, table, F.shape[1])
            prior, _ = fit_prior(rows, start, diagonal=False, max_iter=n_steps, tol=_TOLERANCE)
            priors.append(prior)
        return cls(priors)

    def effects(self, F: Array, y: Array, table: TaskTable) -> Array:
        """Return posterior means of heads minus w0, shape (n_tasks, n_outputs, width)."""
        means = np.zeros((table.n_tasks, len(self.priors), F.shape[1]))
        roots = [root_of(prior.covariance) for prior in self.priors]
        for tasks in table.chunks(_ENTRIES // F.shape[1] + 1):
            rows, mask = table.padded(tasks)
            Z = F[rows] * mask[..., None]
            for output, (prior, root) in enumerate(zip(self.priors, roots, strict=True)):
                residual = mask * y[rows, output] - Z @ prior.mean
                means[tasks, output] = _ridge(Z @ root, residual, prior.noise) @ root.T
        return means

    def movement(self, F: Array, y: Array, table: TaskTable) -> tuple[Array, Array]:
        """Return how far tasks are from the prior, and how many coefficients they determine."""
        squares, learned = np.zeros(table.n_tasks), np.zeros(table.n_tasks)
        for tasks, rows, part in self._chunks(table, F.shape[1]):
            for output, prior in enumerate(self.priors):
                effects = self._posterior(F[rows], y[rows], part, output)
                far, much = movement(effects, prior.covariance)
                squares[tasks] += far
                learned[tasks] += much
        return np.sqrt(squares), learned

    def variance_components(self, F: Array) -> Array:
        """Return the components of the variance of each output, shape (n_outputs, 4)."""
        weight = np.ones(len(F))
        return np.array(
            [variance_components(prior, F, weight, 0.0, prior.noise) for prior in self.priors]
        )

    def predict(self, F: Array, effects: Array, codes: NDArray[np.int64]) -> Array:
        """Return predictions of rows, shape (n_samples, n_outputs)."""
        columns = [
            F @ prior.mean + np.einsum("nd,nd->n", F, effects[codes, output])
            for output, prior in enumerate(self.priors)
        ]
        return np.stack(columns, axis=1)

    def variance(
        self, F: Array, y: Array, table: TaskTable, rows: Array, codes: NDArray[np.int64]
    ) -> Array:
        """Return predictive variances of rows, noise included, given the support of tasks.

        Covariances are made anew from the support, a chunk of tasks at a time: kept, they would
        be the largest thing that a task leaves.
        """
        variance = np.empty((len(rows), len(self.priors)))
        order = np.argsort(codes, kind="stable")
        first = np.searchsorted(codes[order], np.arange(table.n_tasks + 1))
        for tasks, support, part in self._chunks(table, F.shape[1]):
            mine = order[first[tasks.start] : first[tasks.stop]]
            local = codes[mine] - tasks.start
            for output, prior in enumerate(self.priors):
                spread = self._posterior(F[support], y[support], part, output).covariance
                for start in range(0, len(mine), max(1, _ENTRIES // spread[0].size)):
                    some = slice(start, start + max(1, _ENTRIES // spread[0].size))
                    z = rows[mine[some]]
                    variance[mine[some], output] = prior.noise + np.einsum(
                        "nd,nde,ne->n", z, spread[local[some]], z, optimize=True
                    )
        return variance

    def _chunks(self, table: TaskTable, width: int) -> Iterator[tuple[slice, slice, TaskTable]]:
        """Yield runs of tasks, their rows, and the table of these rows."""
        step = max(1, _ENTRIES // width**2)
        for start in range(0, table.n_tasks, step):
            stop = min(start + step, table.n_tasks)
            offsets = table.offsets[start : stop + 1]
            rows = slice(int(offsets[0]), int(offsets[-1]))
            order = np.arange(rows.stop - rows.start)
            yield (
                slice(start, stop),
                rows,
                TaskTable(table.labels[start:stop], order, offsets - offsets[0]),
            )

    def _posterior(self, F: Array, y: Array, table: TaskTable, output: int) -> Posterior:
        prior = self.priors[output]
        weight = np.ones(len(F))
        moments = Moments.of(F, y[:, output], weight, table, F.shape[1])
        residual = moments.zy - moments.zf @ prior.mean
        return posterior(moments.zz, residual, prior.covariance, prior.noise)


def _ridge(X: Array, y: Array, penalty: float) -> Array:
    """Return ``(X'X + λI)⁻¹ X'y = X' (XX' + λI)⁻¹ y`` of each task, in the smaller space."""
    identity = np.eye(min(X.shape[1:]))
    if X.shape[1] < X.shape[2]:
        found = X.mT @ np.linalg.solve(X @ X.mT + penalty * identity, y[..., None])
    else:
        found = np.linalg.solve(X.mT @ X + penalty * identity, X.mT @ y[..., None])
    coefficients: Array = found[..., 0]
    return coefficients
