"""Empirical Bayes for classes: mixed-effects logistic regression as a meta-learner."""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from skmeta.base import MetaClassifierMixin, State
from skmeta.empirical_bayes._base import BaseEmpiricalBayes
from skmeta.empirical_bayes._laplace import fit_logistic_prior, laplace_posterior
from skmeta.empirical_bayes._variance import variance_components
from skmeta.tasks import EpisodeSampler, TaskData, TaskTable

__all__ = ["EmpiricalBayesClassifier"]

Array = NDArray[np.float64]

_LATENT_NOISE = np.pi**2 / 3  # the variance of the logistic distribution
_CELLS = 1 << 17  # padded rows worked on at once
_LEAST_PROBABILITY = 1e-4  # bounds the logit of an over-confident offset
_VIEWS_PER_CLASS = 20  # in how many drawn tasks a class appears on average, with n_way


class EmpiricalBayesClassifier(MetaClassifierMixin, BaseEmpiricalBayes):
    """Logistic regression whose coefficients vary between tasks around a common mean.

    ``logit P(y = 1 | x) = [1, x]'w`` with a task's coefficients ``w ~ N(w0, Ω)``. `fit` estimates
    w0 and Ω from all tasks by Laplace-EM; a task's few rows then give the mode and the curvature
    of its posterior, and probabilities average over what is left uncertain. A task whose few rows
    show one class only is predicted sensibly too, since the prior knows the other.

    Pick it first, as `EmpiricalBayesRegressor` among regressors.

    Parameters
    ----------
    effects : {"full", "diagonal", "intercept"}, default="full"
        Which coefficients vary between tasks: all of them with any covariance, all of them
        independently, or the level alone.
    offset : scikit-learn classifier, default=None
        A pooled model, for instance `HistGradientBoostingClassifier()`. It is fitted out of fold,
        whole tasks held out, and the tasks' coefficients correct its logits. Only for tasks that
        share a label set.
    n_components : int, default=20
        At most this many principal directions of the features vary between tasks; the others
        share one coefficient.
    n_way : int, default=None
        Learn from tasks of this many classes, drawn at random out of the classes of y.
    n_shots : int, default=5
        Rows of each class in such a drawn task; only with `n_way`.
    label_sets : {"auto", "shared", "own"}, default="auto"
        Whether tasks share one label set (each task has all classes, even those that its few rows
        do not show) or have label sets of their own (a class belongs to a task if the task's rows
        show it). "auto" decides by how many classes the tasks show.
    max_iter : int, default=100
        The largest number of EM steps.
    tol : float, default=1e-4
        EM stops when the logits move by less than this (root mean square over rows).
    task_column : str or int, default=None
        The column of X that holds the task labels; None if they come as `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of a task that neither `fit` nor `adapt` has seen: predict from the
        prior with a warning, or raise.
    random_state : int, RandomState instance or None, default=None
        Draws the tasks of `n_way`; nothing else is random.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    prior_mean_ : ndarray of shape (n_problems, 1 + n_features)
        w0, the intercept first, in the units of X. One problem for two shared classes and for
        label sets of their own, else one for each class.
    prior_covariance_ : ndarray of shape (n_problems, 1 + n_features, 1 + n_features)
        Ω likewise.
    variance_components_ : ndarray of shape (n_problems, 4)
        What adds up to the variance of each problem's latent variable, the logit with logistic
        noise: what all tasks share, the levels of tasks, their slopes, and noise, which is π²/3;
        see `explain_tasks`.
    n_iter_ : int
        The largest number of EM steps that a problem took.
    offset_ : estimator
        The pooled model, fitted on all rows; only with `offset`.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    Notes
    -----
    More than two classes are handled one against the rest. With label sets of their own, classes
    are exchangeable: one prior serves "this class against the task's others".
    Probabilities average the logistic function over the Laplace posterior by MacKay's
    approximation [2]_.

    References
    ----------
    .. [1] N. E. Breslow and D. G. Clayton (1993). Approximate inference in generalized linear
       mixed models. JASA 88, 9-25.
    .. [2] D. J. C. MacKay (1992). The evidence framework applied to classification networks.
       Neural Computation 4, 720-736, equation 10.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(100, 20, random_state=0)
    >>> model = skmeta.EmpiricalBayesClassifier().fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> adapted = model.adapt(tasks.data[:5], tasks.target[:5])
    >>> adapted.predict_proba(tasks.data[5:8]).shape
    (3, 2)
    """

    def __init__(
        self,
        effects: str = "full",
        *,
        offset: Any = None,
        n_components: int = 20,
        n_way: int | None = None,
        n_shots: int = 5,
        label_sets: str = "auto",
        max_iter: int = 100,
        tol: float = 1e-4,
        task_column: Hashable | None = None,
        unseen: str = "prior",
        random_state: Any = None,
    ) -> None:
        self.effects = effects
        self.offset = offset
        self.n_components = n_components
        self.n_way = n_way
        self.n_shots = n_shots
        self.label_sets = label_sets
        self.max_iter = max_iter
        self.tol = tol
        self.task_column = task_column
        self.unseen = unseen
        self.random_state = random_state

    def _fit_prior(self, data: TaskData) -> None:
        self._fit_labels(data, self.n_way)
        if self._own_labels and self.offset is not None:
            raise ValueError(
                "offset needs classes that all tasks share; these have label sets of their own."
            )
        if self.n_way is not None:
            data = self._drawn_tasks(data, self.n_way)
        weight = np.ones(len(data.X)) if data.weight is None else data.weight
        F = self._fit_design(data, weight)
        offset = np.zeros((len(data.X), self._n_problems))
        if self.offset is not None:
            offset = self._out_of_fold(data, self._n_problems)
        table, fits = data.table, []
        if self._own_labels:
            local = self._local(data)[0]
            rows, y, table = _one_against_rest(local)
            problems = [(F[rows], y, np.zeros(len(y)), weight[rows])]
        else:
            problems = [
                (F, y, o, weight) for y, o in zip(self._indicators(data.y), offset.T, strict=True)
            ]
        for problem in problems:
            fits.append(
                fit_logistic_prior(
                    *problem,
                    table,
                    self.design_.n_varying,
                    diagonal=self.effects == "diagonal",
                    max_iter=self.max_iter,
                    tol=self.tol,
                )
            )
        self.priors_ = [prior for prior, _ in fits]
        self.n_iter_ = max(n_iter for _, n_iter in fits)
        self.variance_components_ = np.array(
            [
                variance_components(prior, rows, weights, known, _LATENT_NOISE)
                for (rows, _, known, weights), prior in zip(problems, self.priors_, strict=True)
            ]
        )
        self._describe_prior()

    @property
    def _n_problems(self) -> int:
        return 1 if len(self.classes_) == 2 or self._own_labels else len(self.classes_)

    def _indicators(self, y: NDArray[np.int64]) -> Array:
        """Return the 0/1 target of each problem, shape (n_problems, n_samples)."""
        classes = [1] if self._n_problems == 1 else range(len(self.classes_))
        return np.array([y == number for number in classes], dtype=np.float64)

    def _drawn_tasks(self, data: TaskData, n_way: int) -> TaskData:
        """Make tasks of `n_way` classes out of the classes of y."""
        check_scalar(n_way, "n_way", Integral, min_val=2)
        check_scalar(self.n_shots, "n_shots", Integral, min_val=1)
        if n_way > len(self.classes_):
            raise ValueError(f"n_way={n_way} is above the number of classes, {len(self.classes_)}.")
        seed = check_random_state(self.random_state).randint(2**31)
        sampler = EpisodeSampler(
            data, self.n_shots, 1, n_way=n_way, random=np.random.default_rng(seed)
        )
        n_draws = max(50, _VIEWS_PER_CLASS * len(self.classes_) // n_way)
        drawn = sampler.draw(n_draws)
        rows = drawn.support[drawn.support_mask]
        sizes = drawn.support_mask.sum(axis=1)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        table = TaskTable(np.arange(n_draws), np.arange(len(rows)), offsets)
        weight = None if data.weight is None else data.weight[rows]
        return TaskData(table, data.X[rows], data.y[rows], weight)

    def _adapt_tasks(self, data: TaskData) -> State:
        assert data.n_ways is not None
        n_tasks, q = data.table.n_tasks, self.design_.n_varying
        weight = np.ones(len(data.X)) if data.weight is None else data.weight
        F = self.design_.transform(data.X)
        offset = np.zeros((len(data.X), self._n_problems))
        if self.offset is not None and len(data.X):
            offset = self._offset_values(self.offset_, data.X)
        if self._own_labels:
            width = max(int(data.n_ways.max(initial=0)), 1)
            targets = np.arange(width)[:, None] == data.y
            priors = self.priors_ * width
            offset = np.zeros((len(data.X), width))
        else:
            targets, priors = self._indicators(data.y) > 0, self.priors_
        mean = np.zeros((n_tasks, len(priors), q))
        covariance = np.zeros((n_tasks, len(priors), q, q))
        for tasks in data.table.chunks(_CELLS):
            rows, mask = data.table.padded(tasks)
            for problem, prior in enumerate(priors):
                known = offset[rows, problem] + F[rows] @ prior.mean
                y = targets[problem][rows].astype(np.float64)
                effects = laplace_posterior(F[rows][..., :q], y, known, weight[rows] * mask, prior)
                mean[tasks, problem] = effects.mean
                covariance[tasks, problem] = effects.covariance
        return {"mean": mean, "covariance": covariance}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        logit = self._linear(state, X, codes)
        if self.offset is not None:
            logit += self._offset_values(self.offset_, X)
        logit /= np.sqrt(1 + np.pi / 8 * self._effect_variance(state, X, codes))
        if self._n_problems == 1 and not self._own_labels:
            scores = np.column_stack([np.zeros(len(X)), logit[:, 0]])
        else:
            scores = log_expit(logit)
        return scores.astype(X.dtype)

    def _offset_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        return y

    def _offset_values(self, model: Any, X: NDArray[Any]) -> Array:
        proba = np.full((len(X), len(self.classes_)), _LEAST_PROBABILITY)
        proba[:, model.classes_] = model.predict_proba(X)
        proba = np.clip(proba, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        logit: Array = np.log(proba) - np.log1p(-proba)
        return logit[:, 1:] if self._n_problems == 1 else logit


def _one_against_rest(local: TaskData) -> tuple[NDArray[np.int64], Array, TaskTable]:
    """Make a binary task of each class of each task; also return the rows they consist of."""
    assert local.n_ways is not None
    n_ways = local.n_ways
    task = local.owners
    copies = n_ways[task]
    rows = np.repeat(np.arange(len(local.X)), copies)
    slot = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
    first = np.cumsum(n_ways) - n_ways
    code = first[task[rows]] + slot
    table = TaskTable.from_labels(code)
    rows, slot = rows[table.order], slot[table.order]
    return rows, (local.y[rows] == slot).astype(np.float64), table
