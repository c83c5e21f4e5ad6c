"""What learners of shared features with scikit-learn heads have in common."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge

from skmeta.base import State
from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._models import class_scores, fit_models, run_models, shows_classes
from skmeta.base._params import meta_learner
from skmeta.multitask._bayes_classes import BayesClasses
from skmeta.multitask._softmax_heads import fit_softmax_heads, softmax_scores
from skmeta.tasks import TaskData, TaskTable
from skmeta.training import MeanOverTasks

__all__ = ["FeatureHeads", "FeatureHeadsClassifier", "FeatureHeadsRegressor", "spread"]

Array = NDArray[np.float64]

_QUICK_TASKS = 50  # from which heads of an epoch are learned


@meta_learner
class FeatureHeads(BaseDeepLearner):
    """Base of learners that train features once, and fit a clone of `head` on them for a task."""

    head: Any = None

    _named_heads = tuple[str, ...]()  # those that skmeta brings
    _pooled_head = None
    _n_validation_episodes = 16, 64  # a head is fitted for each

    @property
    def _unit_norm(self) -> bool:
        """Whether features are scaled to length 1."""
        return False

    @property
    def _is_bayes(self) -> bool:
        """Whether heads have a prior that is learned, rather than being scikit-learn's."""
        return isinstance(self.head, str)

    @property
    def _tasks_per_pass(self) -> int:
        return 1 << 17

    def _check_params(self) -> None:
        super()._check_params()
        if isinstance(self.head, str) and self.head not in self._named_heads:
            allowed = " or ".join([*map(repr, self._named_heads), "a scikit-learn estimator"])
            raise ValueError(f"head={self.head!r} must be {allowed}.")

    def _finish(self, data: TaskData, quick: bool = False) -> None:
        tasks = cast(MeanOverTasks, self.net_.criterion_).trusted(data.table.n_tasks)
        tasks = tasks[data.sizes[tasks] > 0]
        self._learn_heads(data, spread(tasks, _QUICK_TASKS) if quick else tasks, quick)

    def _learn_heads(self, data: TaskData, tasks: NDArray[np.int64], quick: bool) -> None:
        """Learn from some training tasks what heads need, the features being final."""
        raise NotImplementedError

    def _features(self, X: NDArray[Any]) -> Array:
        return self._represent(X).astype(np.float64)

    def _fit_heads(self, head: Any, F: Array, y: NDArray[Any], table: TaskTable) -> State:
        """Fit a clone of `head` for each task whose rows allow it."""
        return {"head": fit_models(lambda size: head, F, y, table, self._can_fit)}

    def _can_fit(self, y: NDArray[Any]) -> bool:
        return len(y) > 0

    def _run_heads(self, state: State, F: Array, codes: NDArray[np.int64], width: int) -> Array:
        """Predict rows by the heads of their tasks, or by the pooled one where there is none."""
        return run_models(state["head"], self._pooled_head, F, codes, width, self._head_values)

    def _head_values(self, head: Any, F: Array, width: int) -> Array:
        raise NotImplementedError


def spread(tasks: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of some tasks, evenly spaced."""
    return tasks[np.unique(np.linspace(0, len(tasks) - 1, most).astype(np.int64))]


@meta_learner
class FeatureHeadsRegressor(DeepRegressorMixin, FeatureHeads):
    """Regressors as heads; tasks without rows are predicted by one fitted on all rows."""

    @property
    def _head(self) -> Any:
        return Ridge() if self.head is None else self.head

    def _learn_heads(self, data: TaskData, tasks: NDArray[np.int64], quick: bool) -> None:
        data = data.take(tasks)
        y = self._shape(self._encode(data))
        self._pooled_head = clone(self._head).fit(self._features(data.X), y)

    def _adapt_tasks(self, data: TaskData) -> State:
        y = self._shape(self._encode(data))
        return self._fit_heads(self._head, self._features(data.X), y, data.table)

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        outputs = self._run_heads(state, self._features(X), codes, int(self.n_outputs_))
        return self._decode(outputs).astype(X.dtype)

    def _head_values(self, head: Any, F: Array, width: int) -> Array:
        values: Array = head.predict(F).reshape(len(F), width)
        return values


@meta_learner
class FeatureHeadsClassifier(DeepClassifierMixin, FeatureHeads):
    """Classifiers as heads; one fitted on all rows where a shared label set allows no other."""

    normalize_features: bool = True

    _named_heads = ("bayes",)
    _strength = 1.0  # C of the logistic regression that is the head by default

    @property
    def _unit_norm(self) -> bool:
        return self.normalize_features

    @property
    def _head(self) -> Any:
        return (
            LogisticRegression(C=self._strength, max_iter=1000) if self.head is None else self.head
        )

    @property
    def _fits_at_once(self) -> bool:
        # Only with short features few steps suffice, whose curvature is bounded beforehand.
        return self.head is None and self.normalize_features

    def _learn_heads(self, data: TaskData, tasks: NDArray[np.int64], quick: bool) -> None:
        self._pooled_head = None
        data = data.take(tasks)
        if self._is_bayes:
            shared = not self._own_labels
            n_classes = len(self.classes_) if shared else 1
            F = self._features(data.X)
            self.bayes_head_ = BayesClasses.learn(F, data.y, data.table, n_classes, shared=shared)
            return
        if not self._own_labels and self._can_fit(data.y):
            self._pooled_head = clone(self._head).fit(self._features(data.X), data.y)

    def _can_fit(self, y: NDArray[Any]) -> bool:
        return shows_classes(y)

    def _adapt_tasks(self, data: TaskData) -> State:
        F = self._features(data.X)
        assert data.n_ways is not None
        width = int(data.n_ways.max(initial=1))
        if self._is_bayes:
            means, counts = self.bayes_head_.posterior(F, data.y, data.table, width)
            return {"means": means, "counts": counts}
        if not self._fits_at_once:
            return self._fit_heads(self._head, F, data.y, data.table)
        heads, shown = fit_softmax_heads(F, data.y, data.table, width, self._strength)
        return {"head": heads, "shown": shown}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        F = self._features(X)
        if self._is_bayes:
            scores = self.bayes_head_.scores(F, codes, state["means"], state["counts"])
            return scores.astype(X.dtype)
        if not self._fits_at_once:
            width = state["ways"].shape[1] if self._own_labels else len(self.classes_)
            return self._run_heads(state, F, codes, width).astype(X.dtype)
        scores = softmax_scores(F, codes, state["head"], state["shown"])
        without = state["shown"][codes].sum(axis=1) < 2
        if self._pooled_head is not None and without.any():
            scores[without] = self._head_values(self._pooled_head, F[without], scores.shape[1])
        return scores.astype(X.dtype)

    def _head_values(self, head: Any, F: Array, width: int) -> Array:
        return class_scores(head, F, width)
