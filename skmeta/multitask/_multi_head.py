"""Multi-task training of shared features; a new task fits only a head."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from skmeta.base import State
from skmeta.base._params import meta_learner
from skmeta.inner import JointHeads
from skmeta.multitask._base import (
    FeatureHeads,
    FeatureHeadsClassifier,
    FeatureHeadsRegressor,
    spread,
)
from skmeta.multitask._bayes_head import EM_STEPS, BayesHead
from skmeta.tasks import TaskData

__all__ = ["MultiHeadClassifier", "MultiHeadRegressor"]

Array = NDArray[np.float64]

_PRIOR_TASKS = 2000  # plenty to learn a covariance from
_QUICK_STEPS = 3  # of EM; without any, early heads make a prior that is far too sure


@meta_learner
class _MultiHead(FeatureHeads):
    n_queries: int | None = 32

    def _wrapper(self, data: TaskData) -> Any:
        by_class = self._class_way is not None
        return partial(
            JointHeads,
            n_features_in=data.X.shape[1],
            n_heads=len(self.classes_) if by_class else data.table.n_tasks,
            n_outputs=self._n_net_outputs,
            by_class=by_class,
            unit_norm=self._unit_norm,
        )


@meta_learner
class MultiHeadRegressor(FeatureHeadsRegressor, _MultiHead):
    """Features trained on all tasks at once, one linear head each; a new task fits a head.

    The multi-task route to few-shot regression: one network body is trained together with one
    linear head for each training task, by plain first-order gradient descent. The fitted heads
    then are data: ``head="bayes"`` learns from them the prior ``w ~ N(w0, Ω)`` of a head, and a
    new task takes its exact posterior, with error bars. There is no bi-level optimisation, so it
    trains fast, and the posterior does not depend on how the body happens to scale or mix its
    features.

    Pick it as the first deep learner: when `EmpiricalBayesRegressor` is too linear, and training
    tasks have some ten rows or more.

    Parameters
    ----------
    head : "bayes" or scikit-learn regressor, default="bayes"
        What a task fits on the features. An estimator, such as `Ridge()`, is cloned and fitted for
        each task; tasks without rows are predicted by a clone fitted on all rows.
    n_queries : int or None, default=32
        At most this many rows of each task in a meta-update; None for all.
    {shared}

    Attributes
    ----------
    bayes_head_ : BayesHead
        The prior over heads, in the units of the normalised targets; only with ``head="bayes"``.
    variance_components_ : ndarray of shape (n_outputs, 4)
        What adds up to the variance of each output: what all tasks share, the levels of tasks,
        their slopes in the learned features, and noise; see `explain_tasks`. Only with
        ``head="bayes"``.
    {attributes}

    Notes
    -----
    After joint training, the prior starts at the mean and the covariance of the trained heads and
    is refined on the rows by EM (as in `EmpiricalBayesRegressor`), which takes out of Ω what is
    only noise of the heads. With more than 2000 training tasks EM sees 2000 of them. With
    `validation_fraction`, the loss of an epoch is that of a prior after 3 steps of EM on 50 tasks.

    References
    ----------
    .. [1] H. Wang, H. Zhao, B. Li (2021). Bridging multi-task learning and meta-learning. ICML;
       arXiv:2106.09017, equation 2 for joint training.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.MultiHeadRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> mean.shape, std.shape
    ((15,), (15,))
    """

    head: Any = "bayes"

    _named_heads = ("bayes",)

    def predict(self, X: Any, groups: Any = None, return_std: bool = False) -> Any:
        """Predict each row by the head of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        return_std : bool, default=False
            Whether to return the standard deviation of a new observation too; only with
            ``head="bayes"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        std : ndarray of the same shape
            Standard deviations, noise included; only with `return_std`.
        """
        if not return_std:
            return super().predict(X, groups)
        if not self._is_bayes:
            raise ValueError(f"return_std needs head='bayes', got head={self.head!r}.")
        features, codes = self._read_queries(X, groups)
        needed, codes = np.unique(codes, return_inverse=True)
        support = self._support.take(needed)
        F, y = self._design(support.X), self._encode(support)
        rows = self._design(features)
        effects = self.bayes_head_.effects(F, y, support.table)
        mean = self._decode(self.bayes_head_.predict(rows, effects, codes))
        variance = self.bayes_head_.variance(F, y, support.table, rows, codes)
        std = np.sqrt(variance) * self._y_scale
        return self._shape(mean.astype(features.dtype)), self._shape(std.astype(features.dtype))

    @property
    def _variance_is_label_free(self) -> bool:  # type: ignore[override]
        return self._is_bayes

    def _design(self, X: NDArray[Any]) -> Array:
        F = self._features(X)
        return np.column_stack([np.ones(len(F)), F])

    def _learn_heads(self, data: TaskData, tasks: NDArray[np.int64], quick: bool) -> None:
        if not self._is_bayes:
            super()._learn_heads(data, tasks, quick)
            return
        joint = cast(JointHeads, self.net_.module_)
        heads = joint.heads.detach().cpu().numpy().astype(np.float64)
        chosen = spread(tasks, _PRIOR_TASKS)
        some = data.take(chosen)
        F = self._design(some.X)
        self.bayes_head_ = BayesHead.learn(
            F,
            self._encode(some),
            some.table,
            heads[chosen],
            n_steps=_QUICK_STEPS if quick else EM_STEPS,
        )
        components = self.bayes_head_.variance_components(F)
        self.variance_components_ = components * self._y_scale[:, None] ** 2

    def _movement(self, data: TaskData, state: State) -> tuple[Array, Array]:
        """Return how far tasks are from the prior, and how many coefficients they determine."""
        return self.bayes_head_.movement(self._design(data.X), self._encode(data), data.table)

    def _adapt_tasks(self, data: TaskData) -> State:
        if not self._is_bayes:
            return super()._adapt_tasks(data)
        y = self._encode(data)
        return {"effects": self.bayes_head_.effects(self._design(data.X), y, data.table)}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        if not self._is_bayes:
            return super()._predict_rows(state, X, codes)
        outputs = self.bayes_head_.predict(self._design(X), state["effects"], codes)
        return self._decode(outputs).astype(X.dtype)


@meta_learner
class MultiHeadClassifier(FeatureHeadsClassifier, _MultiHead):
    """Features trained on all tasks at once, one linear head each; a new task fits a head.

    The multi-task route to few-shot classification: a network body with features of length 1 is
    trained with one linear head for each training task, by plain first-order gradient descent. A
    new task fits `head` on the features of its rows. With `n_way`, episodes of classes are trained
    instead, and one matrix with a row for each class, 0 at first, serves as the heads of all.

    Pick it for classes that change from task to task, where new tasks show different numbers of
    rows: one training serves them all, and costs no more than that of a closed-form head for one
    number. Where names of classes hold across tasks, pass rows without tasks and a large `n_way`,
    such as 100, for heads learn from many classes at once; `GoodEmbeddingClassifier` takes all.
    ``head="bayes"`` is worth the most with one row of a class. Where tasks share a label set and
    show few rows, `EmpiricalBayesClassifier` is the better choice.

    Parameters
    ----------
    head : "bayes" or scikit-learn classifier, default=None
        What a task fits on the features; None is ``LogisticRegression(C=3)``, fitted for all
        tasks at once where features are normalised. "bayes" takes classes for Gaussian, with a
        covariance and a prior of their means that are learned from the classes of training tasks
        (see the notes).
    n_queries : int or None, default=32
        At most this many rows of each task in a meta-update, with `n_way` or `stratify` of each
        of its classes; None for all.
    normalize_features : bool, default=True
        Whether features are scaled to length 1, in training and in use. The authors do so on all
        of their data sets but one.
    {shared}

    Attributes
    ----------
    bayes_head_ : BayesClasses
        The prior over classes; only with ``head="bayes"``.
    {attributes}

    Notes
    -----
    A task of a shared label set whose rows show one class only, or no row at all, is predicted by
    a head fitted on the rows of all training tasks.

    With ``head="bayes"``, features of a class are ``f ~ N(m, W)`` and its mean in a task is
    ``m ~ N(μ, B)``, with μ of each class where tasks share them: the two-covariance form of
    probabilistic linear discriminant analysis [2]_. W and B are estimated by moments, W with
    shrinkage (Ledoit-Wolf). A task's rows give the posterior of its means, and a new row has the
    probability ``p(y | f) ∝ π_y N(f; E[m_y], W + Cov[m_y])``; π_y counts the rows of the class in
    the task, and as many more as there are classes, shared out by the frequencies of a shared
    label set, or equally. A class that a task has not shown keeps its prior, so that no other head
    is needed. Where features are not Gaussian, such probabilities are too sure: log densities are
    divided by the temperature at which one half of the training rows makes the classes of the
    other half most probable. That takes away most of it, not all, for the network knows both.

    References
    ----------
    .. [1] H. Wang, H. Zhao, B. Li (2021). Bridging multi-task learning and meta-learning. ICML;
       arXiv:2106.09017, equation 2 for joint training and section 4 for the heads.
    .. [2] S. Ioffe (2006). Probabilistic linear discriminant analysis. ECCV.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.MultiHeadClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _strength = 3.0

    def _prepare(self, data: TaskData) -> TaskData:
        prepared = super()._prepare(data)
        # Each training task has a head of its own, so its classes keep their numbers.
        return prepared if prepared.n_ways is None else replace(prepared, n_ways=None)
