"""Multi-task training of shared features; a new task fits only a head."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skmeta.base import State
from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.inner import JointHeads
from skmeta.multitask._bayes_head import BayesHead
from skmeta.tasks import TaskData, TaskTable

__all__ = ["MultiHeadClassifier", "MultiHeadRegressor"]

Array = NDArray[np.float64]

_PRIOR_TASKS = 2000  # plenty to learn a covariance from
_LEAST_PROBABILITY = 1e-12


@meta_learner
class _MultiHead(BaseDeepLearner):
    head: Any = None
    n_queries: int | None = 32

    _unit_norm = False
    _pooled_head = None

    @property
    def _tasks_per_pass(self) -> int:
        return 1 << 17

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

    def _fit_heads(self, head: Any, F: Array, y: NDArray[Any], table: TaskTable) -> State:
        """Fit a clone of `head` for each task whose rows allow it."""
        heads = np.full(table.n_tasks, None, dtype=object)
        for task in range(table.n_tasks):
            rows = slice(table.offsets[task], table.offsets[task + 1])
            if self._can_fit(y[rows]):
                heads[task] = clone(head).fit(F[rows], y[rows])
        return {"head": heads}

    def _can_fit(self, y: NDArray[Any]) -> bool:
        return len(y) > 0

    def _run_heads(self, state: State, F: Array, codes: NDArray[np.int64], width: int) -> Array:
        """Predict rows by the heads of their tasks, or by the pooled one where there is none."""
        table = TaskTable.from_labels(codes)
        outputs = np.zeros((len(F), width))
        for task in range(table.n_tasks):
            rows = table.order[table.offsets[task] : table.offsets[task + 1]]
            head = state["head"][table.labels[task]]
            head = self._pooled_head if head is None else head
            if head is not None:
                outputs[rows] = self._head_values(head, F[rows], width)
        return outputs

    def _head_values(self, head: Any, F: Array, width: int) -> Array:
        raise NotImplementedError


@meta_learner
class MultiHeadRegressor(DeepRegressorMixin, _MultiHead):
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
    net_ : skorch NeuralNet
        The trained net: `net_.history`, `net_.module_`.
    bayes_head_ : BayesHead
        The prior over heads, in the units of the normalised targets; only with ``head="bayes"``.
    n_iter_ : int
        Meta-updates done.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    Notes
    -----
    After joint training, the prior starts at the mean and the covariance of the trained heads and
    is refined on the rows by EM (as in `EmpiricalBayesRegressor`), which takes out of Ω what is
    only noise of the heads. With more than 2000 training tasks EM sees 2000 of them.

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
    def _is_bayes(self) -> bool:
        return isinstance(self.head, str)

    def _design(self, X: NDArray[Any]) -> Array:
        F = self._represent(X).astype(np.float64)
        return np.column_stack([np.ones(len(F)), F])

    def _fit_prior(self, data: TaskData) -> None:
        if self._is_bayes and self.head != "bayes":
            raise ValueError(f"head={self.head!r} must be 'bayes' or a scikit-learn regressor.")
        super()._fit_prior(data)
        if not self._is_bayes:
            F = self._represent(data.X).astype(np.float64)
            self._pooled_head = clone(self.head).fit(F, self._shape(self._encode(data)))
            return
        joint = cast(JointHeads, self.net_.module_)
        heads = joint.heads.detach().cpu().numpy().astype(np.float64)
        n_tasks = data.table.n_tasks
        chosen = np.unique(np.linspace(0, n_tasks - 1, _PRIOR_TASKS).astype(np.int64))
        some = data.take(chosen)
        self.bayes_head_ = BayesHead.learn(
            self._design(some.X), self._encode(some), some.table, heads[chosen]
        )

    def _adapt_tasks(self, data: TaskData) -> State:
        y = self._encode(data)
        if not self._is_bayes:
            F = self._represent(data.X).astype(np.float64)
            return self._fit_heads(self.head, F, self._shape(y), data.table)
        return {"effects": self.bayes_head_.effects(self._design(data.X), y, data.table)}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        if self._is_bayes:
            outputs = self.bayes_head_.predict(self._design(X), state["effects"], codes)
        else:
            F = self._represent(X).astype(np.float64)
            outputs = self._run_heads(state, F, codes, self._n_net_outputs)
        return self._decode(outputs).astype(X.dtype)

    def _head_values(self, head: Any, F: Array, width: int) -> Array:
        values: Array = head.predict(F).reshape(len(F), width)
        return values


@meta_learner
class MultiHeadClassifier(DeepClassifierMixin, _MultiHead):
    """Features trained on all tasks at once, one linear head each; a new task fits a head.

    The multi-task route to few-shot classification: a network body with features of length 1 is
    trained with one linear head for each training task, by plain first-order gradient descent. A
    new task fits `head` on the features of its rows. With `n_way`, episodes of classes are trained
    instead, and one matrix with a row for each class serves as the heads of all of them.

    Pick it for classes that change from task to task, before the bi-level learners: it trains at a
    fraction of their cost. Where tasks share a label set and show few rows, the default head has
    no prior to lean on, and `EmpiricalBayesClassifier` is the better choice.

    Parameters
    ----------
    head : scikit-learn classifier, default=None
        What a task fits on the features; None is ``LogisticRegression(C=3)``.
    n_queries : int or None, default=32
        At most this many rows of each task in a meta-update, with `n_way` or `stratify` of each
        of its classes; None for all.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    A task of a shared label set whose rows show one class only, or no row at all, is predicted by
    a head fitted on the rows of all training tasks.

    References
    ----------
    .. [1] H. Wang, H. Zhao, B. Li (2021). Bridging multi-task learning and meta-learning. ICML;
       arXiv:2106.09017, equation 2 for joint training and section 4 for the heads.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.MultiHeadClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _unit_norm = True

    @property
    def _head(self) -> Any:
        return LogisticRegression(C=3, max_iter=1000) if self.head is None else self.head

    def _fit_prior(self, data: TaskData) -> None:
        super()._fit_prior(data)
        self._pooled_head = None
        if not self._own_labels:
            F = self._represent(data.X).astype(np.float64)
            self._pooled_head = clone(self._head).fit(F, data.y)

    def _prepare(self, data: TaskData) -> TaskData:
        prepared = super()._prepare(data)
        # Each training task has a head of its own, so its classes keep their numbers.
        return prepared if prepared.n_ways is None else replace(prepared, n_ways=None)

    def _can_fit(self, y: NDArray[Any]) -> bool:
        return len(y) > 0 and bool((y != y[0]).any())

    def _adapt_tasks(self, data: TaskData) -> State:
        F = self._represent(data.X).astype(np.float64)
        return self._fit_heads(self._head, F, data.y, data.table)

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        F = self._represent(X).astype(np.float64)
        width = state["ways"].shape[1] if self._own_labels else len(self.classes_)
        return self._run_heads(state, F, codes, width).astype(X.dtype)

    def _head_values(self, head: Any, F: Array, width: int) -> Array:
        values = np.full((len(F), width), np.log(_LEAST_PROBABILITY))
        if hasattr(head, "predict_proba"):
            scores = np.log(np.maximum(head.predict_proba(F), _LEAST_PROBABILITY))
        else:
            scores = head.decision_function(F)
            if scores.ndim == 1:
                scores = np.column_stack([np.zeros(len(F)), scores])
        values[:, head.classes_] = scores
        return values
