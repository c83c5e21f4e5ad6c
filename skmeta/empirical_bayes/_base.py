"""What the empirical-Bayes regressor and classifier share."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_scalar, has_fit_parameter

from skmeta.base import BaseMetaLearner, State
from skmeta.empirical_bayes._design import Design
from skmeta.empirical_bayes._mixed_model import Prior
from skmeta.empirical_bayes._posterior import Posterior
from skmeta.empirical_bayes._variance import movement
from skmeta.tasks import TaskData, row_keys

__all__ = ["BaseEmpiricalBayes"]

Array = NDArray[np.float64]

_FOLDS = 5
_BLOCK = 1 << 14  # rows whose variances are computed at once


class BaseEmpiricalBayes(BaseMetaLearner):
    """Linear predictors with coefficients ``w_t ~ N(w0, Ω)`` around an optional pooled model."""

    effects: str
    offset: Any
    n_components: int
    max_iter: int
    tol: float

    design_: Design
    priors_: list[Prior]

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the prior over tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, all rows are one task.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight 2 counts as two rows.

        Returns
        -------
        self : estimator
            The fitted estimator.
        """
        return self._fit(X, y, groups, sample_weight)

    def adapt(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Condition the prior on the labelled rows of one or many new tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Support rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, they are one task.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        adapted : estimator
            A fitted estimator that knows these tasks alone.
        """
        return self._adapt(X, y, groups, sample_weight)

    def _fit_design(self, data: TaskData, weight: Array) -> Array:
        """Check parameters, choose directions and return the design matrix."""
        if self.effects not in ("full", "diagonal", "intercept"):
            raise ValueError(f"effects={self.effects!r} must be 'full', 'diagonal' or 'intercept'.")
        check_scalar(self.n_components, "n_components", Integral, min_val=1)
        check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        check_scalar(self.tol, "tol", Real, min_val=0)
        X = data.X.astype(np.float64)
        self.design_ = Design.of(X, weight, self.effects, self.n_components)
        return self.design_.transform(X)

    def _out_of_fold(self, data: TaskData, n_problems: int) -> Array:
        """Fit the offset, and return its values on rows that it has not seen.

        Whole tasks are held out, since new tasks are what the residuals stand for; of a single
        task, rows.
        """
        fold = _folds(data)
        values = np.empty((len(data.X), n_problems))
        for number in range(fold.max() + 1):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            values[test] = self._offset_values(self._fit_offset(data, train), data.X[test])
        self.offset_ = self._fit_offset(data, np.arange(len(data.X)))
        return values

    def _fit_offset(self, data: TaskData, rows: NDArray[Any]) -> Any:
        model = clone(self.offset)
        weighted = {}
        if data.weight is not None:
            if not has_fit_parameter(model, "sample_weight"):
                raise ValueError(f"offset={model!r} does not take sample_weight.")
            weighted["sample_weight"] = data.weight[rows]
        return model.fit(data.X[rows], self._offset_targets(data.y[rows]), **weighted)

    @abstractmethod
    def _offset_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return targets in the shape that the offset takes."""

    @abstractmethod
    def _offset_values(self, model: Any, X: NDArray[Any]) -> Array:
        """Return what the offset adds to each problem, shape (n_samples, n_problems)."""

    def _describe_prior(self) -> None:
        """Express the prior in the units of X."""
        matrix = self.design_.to_features()
        varying = matrix[:, : self.design_.n_varying]
        self.prior_mean_ = np.array([matrix @ prior.mean for prior in self.priors_])
        self.prior_covariance_ = np.array(
            [varying @ prior.covariance @ varying.T for prior in self.priors_]
        )

    def _movement(self, data: TaskData, state: State) -> tuple[Array, Array]:
        """Return how far tasks are from the prior, and how many coefficients they determine."""
        there = np.ones(state["mean"].shape[:2], dtype=bool)
        if "ways" in state:  # a class that the task does not have is no problem of it
            there[:] = state["ways"] >= 0
        squares, learned = np.zeros(len(there)), np.zeros(len(there))
        for problem in range(there.shape[1]):
            effects = Posterior(
                state["mean"][:, problem], state["covariance"][:, problem], np.zeros(len(there))
            )
            prior = self.priors_[min(problem, len(self.priors_) - 1)]
            far, much = movement(effects, prior.covariance)
            squares += far * there[:, problem]
            learned += much * there[:, problem]
        return np.sqrt(squares), learned

    def _linear(self, state: State, X: NDArray[Any], codes: NDArray[np.int64]) -> Array:
        """Return ``f'β + z'u`` for each row and problem, shape (n_samples, n_problems)."""
        F = self.design_.transform(X)
        fixed = np.array([prior.mean for prior in self.priors_])
        Z = F[:, : state["mean"].shape[-1]]
        effects = np.stack(
            [
                np.einsum("nq,nq->n", Z, state["mean"][codes, problem])
                for problem in range(state["mean"].shape[1])
            ],
            axis=1,
        )
        linear: Array = F @ fixed.T + effects  # one prior may serve several problems
        return linear

    def _effect_variance(self, state: State, X: NDArray[Any], codes: NDArray[np.int64]) -> Array:
        """Return ``z'Sz`` for each row and problem."""
        q = state["mean"].shape[-1]
        Z = self.design_.transform(X)[:, :q]
        variance = np.empty((len(Z), state["mean"].shape[1]))
        for start in range(0, len(Z), _BLOCK):
            rows = slice(start, start + _BLOCK)
            spread = state["covariance"][codes[rows]]
            variance[rows] = np.einsum("nq,npqr,nr->np", Z[rows], spread, Z[rows], optimize=True)
        return variance


def _folds(data: TaskData) -> NDArray[np.int64]:
    """Return the fold of each row.

    It depends on content alone, so that a repeated or weighted row is where it would be once.
    """
    n_tasks = data.table.n_tasks
    codes = data.owners
    keys = row_keys(data.X, data.y)
    order = np.lexsort((keys, codes))
    new = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    new |= np.diff(codes[order], prepend=-1) != 0
    if n_tasks > 1:
        totals = np.zeros(n_tasks, dtype=np.uint64)
        np.add.at(totals, codes[order[new]], row_keys(keys[order[new]]))
        rank = np.argsort(np.argsort(totals, kind="stable"))
        return rank[codes] % _FOLDS
    fold = np.empty(len(keys), dtype=np.int64)
    fold[order] = (np.cumsum(new) - 1) % _FOLDS
    if fold.max() == 0:
        raise ValueError(
            "offset is fitted out of fold and needs at least 2 different rows, got n_samples=1."
        )
    return fold
