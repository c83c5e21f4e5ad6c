"""Empirical Bayes for real targets: mixed-effects regression as a meta-learner."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import get_tags

from skmeta.base import ErrorBarsMixin, State
from skmeta.empirical_bayes._base import BaseEmpiricalBayes
from skmeta.empirical_bayes._mixed_model import fit_prior, starting_prior
from skmeta.empirical_bayes._posterior import posterior
from skmeta.empirical_bayes._statistics import Moments, summarise
from skmeta.empirical_bayes._variance import variance_components
from skmeta.tasks import TaskData

__all__ = ["EmpiricalBayesRegressor"]

Array = NDArray[np.float64]

_ROWS_PER_COEFFICIENT = 4  # with fewer, the pooled coefficients are shrunk as well


class EmpiricalBayesRegressor(ErrorBarsMixin, BaseEmpiricalBayes):
    """Linear regression whose coefficients vary between tasks around a common mean.

    The coefficients of a task are a draw ``w ~ N(w0, Ω)``, its targets ``y = [1, x]'w + ε`` with
    ``ε ~ N(0, σ²)``. `fit` estimates w0, Ω and σ² from all tasks by maximum likelihood (EM);
    a task's few rows then give the exact posterior of its coefficients. A task without rows is
    predicted by w0, one with many rows by nearly its own least squares, all others in between:
    it is the mixed-effects model (BLUP), and with `offset` the tree-boosted one, as an estimator
    that clones, searches and meets new tasks.

    Pick it first: it trains in seconds, has nothing to tune, tells how sure it is, and is hard to
    beat on small noisy tables. Deep learners have to earn their place against it.

    Parameters
    ----------
    effects : {"full", "diagonal", "intercept"}, default="full"
        Which coefficients vary between tasks: all of them with any covariance, all of them
        independently, or the level alone. "full" does not depend on how the features are
        expressed; "diagonal" needs fewer tasks; "intercept" is a shrunk task mean.
    offset : scikit-learn regressor, default=None
        A pooled model, for instance `HistGradientBoostingRegressor()`. It is fitted out of fold,
        whole tasks held out, and its residuals are what the tasks' coefficients explain.
    n_components : int, default=20
        At most this many principal directions of the features vary between tasks; the others
        share one coefficient.
    max_iter : int, default=200
        The largest number of EM steps.
    tol : float, default=1e-6
        EM stops when a step gains less log-likelihood than this per row.
    task_column : str or int, default=None
        The column of X that holds the task labels; None if they come as `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of a task that neither `fit` nor `adapt` has seen: predict from the
        prior with a warning, or raise.

    Attributes
    ----------
    prior_mean_ : ndarray of shape (n_outputs, 1 + n_features)
        w0 of each output, the intercept first, in the units of X.
    prior_covariance_ : ndarray of shape (n_outputs, 1 + n_features, 1 + n_features)
        Ω likewise.
    noise_variance_ : ndarray of shape (n_outputs,)
        σ².
    variance_components_ : ndarray of shape (n_outputs, 4)
        What adds up to the variance of each output: what all tasks share, the levels of tasks,
        their slopes, and noise; see `explain_tasks`.
    log_likelihood_ : list of list of float
        For each output, the marginal log-likelihood by EM step.
    n_iter_ : int
        The largest number of EM steps that an output took.
    offset_ : estimator
        The pooled model, fitted on all rows; only with `offset`.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    Notes
    -----
    β is maximised exactly given Ω and σ² (ECM), so the likelihood never decreases. Where rows are
    few for the number of features, w0 has a normal prior whose variance EM learns too.

    References
    ----------
    .. [1] N. M. Laird and J. H. Ware (1982). Random-effects models for longitudinal data.
       Biometrics 38, 963-974.
    .. [2] F. Sigrist (2022). Gaussian process boosting. JMLR 23 (232), for `offset`.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(200, 10, noise=0.1, random_state=0)
    >>> model = skmeta.EmpiricalBayesRegressor().fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_linear_tasks(1, 20, noise=0.1, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> mean.shape, std.shape
    ((15,), (15,))
    """

    _variance_is_label_free = True

    def __init__(
        self,
        effects: str = "full",
        *,
        offset: Any = None,
        n_components: int = 20,
        max_iter: int = 200,
        tol: float = 1e-6,
        task_column: Hashable | None = None,
        unseen: str = "prior",
    ) -> None:
        self.effects = effects
        self.offset = offset
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.task_column = task_column
        self.unseen = unseen

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.offset is not None:
            tags.target_tags.multi_output = get_tags(self.offset).target_tags.multi_output
        return tags

    def _mean_and_std(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        mean = self._predict_rows(state, X, codes)
        std = np.sqrt(self._effect_variance(state, X, codes) + self.noise_variance_)
        return np.stack([mean, std.astype(mean.dtype)], axis=1)

    def _fit_prior(self, data: TaskData) -> None:
        weight = np.ones(len(data.X)) if data.weight is None else data.weight
        F = self._fit_design(data, weight)
        pooled = np.zeros_like(data.y)
        if self.offset is not None:
            pooled = self._out_of_fold(data, data.y.shape[1])
        residual = data.y - pooled
        varying = data.table.n_tasks > 1
        plenty = _ROWS_PER_COEFFICIENT * self.design_.n_directions <= weight.sum()
        shrink = not plenty or self.design_.n_directions > 1 + self.n_components
        self.priors_, self.log_likelihood_ = [], []
        for y in residual.T:
            center = np.average(y, weights=weight)  # large targets would lose their digits
            q = self.design_.n_varying
            statistics = summarise(F, y - center, weight, data.table, q)
            start = starting_prior(statistics, q=q, shrink=shrink, varying=varying)
            prior, history = fit_prior(
                statistics,
                start,
                diagonal=self.effects == "diagonal",
                max_iter=self.max_iter,
                tol=self.tol,
            )
            mean = prior.mean + center * (np.arange(len(prior.mean)) == 0)
            self.priors_.append(replace(prior, mean=mean))
            self.log_likelihood_.append(history)
        self.n_iter_ = max(map(len, self.log_likelihood_))
        self.noise_variance_ = np.array([prior.noise for prior in self.priors_])
        self.variance_components_ = np.array(
            [
                variance_components(prior, F, weight, known, prior.noise)
                for prior, known in zip(self.priors_, pooled.T, strict=True)
            ]
        )
        self._describe_prior()

    def _adapt_tasks(self, data: TaskData) -> State:
        weight = np.ones(len(data.X)) if data.weight is None else data.weight
        F = self.design_.transform(data.X)
        y = data.y
        if self.offset is not None and len(data.X):
            y = y - self._offset_values(self.offset_, data.X)
        means, covariances = [], []
        for column, prior in zip(y.T, self.priors_, strict=True):
            moments = Moments.of(F, column, weight, data.table, self.design_.n_varying)
            residual = moments.zy - moments.zf @ prior.mean
            effects = posterior(moments.zz, residual, prior.covariance, prior.noise)
            means.append(effects.mean)
            covariances.append(effects.covariance)
        return {"mean": np.stack(means, axis=1), "covariance": np.stack(covariances, axis=1)}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        outputs = self._linear(state, X, codes)
        if self.offset is not None:
            outputs += self._offset_values(self.offset_, X)
        return outputs.astype(X.dtype)

    def _offset_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        return y[:, 0] if self.n_outputs_ == 1 else y

    def _offset_values(self, model: Any, X: NDArray[Any]) -> Array:
        values: Array = np.asarray(model.predict(X), dtype=np.float64).reshape(len(X), -1)
        return values
