"""A model of its own for each task, as a meta-learner: tasks share no more than its penalty."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skmeta.base import BaseMetaLearner, MetaClassifierMixin, MetaRegressorMixin, State
from skmeta.base._models import class_scores, fit_models, run_models, shows_classes
from skmeta.model_selection._separate import SeparateModels
from skmeta.tasks import TaskData

__all__ = ["PerTaskClassifier", "PerTaskRegressor"]


class _PerTask(BaseMetaLearner):
    """Base of learners that fit a model to the scaled rows of each task alone.

    Of the candidates a task takes the one that does best on training tasks of which about as many
    rows are known. A task without rows, or of one class, is predicted by a model of all rows.
    """

    estimators: Sequence[Any]
    _pooled: Any

    def _learn(self, data: TaskData, y: NDArray[Any]) -> None:
        self.scaler_ = StandardScaler().fit(data.X.astype(np.float64))
        Z = self._scale(data.X)
        separate = SeparateModels(self.estimators, support="random").fit(Z, y, groups=data.owners)
        # For 1, 2, 4, 8 ... known rows, so that tuning costs a fit and not each new task.
        doublings = range(int(data.sizes.max()).bit_length())
        self.chosen_ = [separate.choose(1 << number) for number in doublings]

    def _scale(self, X: NDArray[Any]) -> NDArray[np.float64]:
        Z: NDArray[np.float64] = self.scaler_.transform(X.astype(np.float64))
        return Z

    def _fit_models(self, data: TaskData, y: NDArray[Any]) -> State:
        def model_for(size: int) -> Any:
            return self.chosen_[min(size.bit_length(), len(self.chosen_)) - 1]

        Z = self._scale(data.X)
        return {"model": fit_models(model_for, Z, y, data.table, self._can_fit)}

    def _can_fit(self, y: NDArray[Any]) -> bool:
        return len(y) > 0

    def _run(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64], width: int
    ) -> NDArray[Any]:
        Z = self._scale(X)
        outputs = run_models(state["model"], self._pooled, Z, codes, width, self._values)
        return outputs.astype(X.dtype)

    def _values(self, model: Any, Z: NDArray[Any], width: int) -> NDArray[Any]:
        raise NotImplementedError


class PerTaskRegressor(MetaRegressorMixin, _PerTask):
    """Fit a regressor to the scaled rows of each task alone.

    Parameters
    ----------
    estimators : sequence of scikit-learn regressors
        The candidates, such as penalties; the first is taken where they cannot be compared.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of unknown tasks.
    """

    def __init__(
        self,
        estimators: Sequence[Any],
        *,
        task_column: Hashable | None = None,
        unseen: str = "prior",
    ) -> None:
        self.estimators = estimators
        self.task_column = task_column
        self.unseen = unseen

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags

    def _fit_prior(self, data: TaskData) -> None:
        self._learn(data, data.y[:, 0])
        Z = self._scale(data.X)
        self._pooled = clone(self.estimators[0]).fit(Z, data.y[:, 0])

    def _adapt_tasks(self, data: TaskData) -> State:
        return self._fit_models(data, data.y[:, 0])

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        return self._run(state, X, codes, 1)

    def _values(self, model: Any, Z: NDArray[Any], width: int) -> NDArray[Any]:
        values: NDArray[Any] = model.predict(Z)[:, None]
        return values


class PerTaskClassifier(MetaClassifierMixin, _PerTask):
    """Fit a classifier to the scaled rows of each task alone.

    Parameters
    ----------
    estimators : sequence of scikit-learn classifiers
        The candidates, such as penalties, with `predict_proba`; the first is taken where they
        cannot be compared.
    label_sets : {"auto", "shared", "own"}, default="auto"
        Whether tasks share one label set.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of unknown tasks.
    """

    def __init__(
        self,
        estimators: Sequence[Any],
        *,
        label_sets: str = "auto",
        task_column: Hashable | None = None,
        unseen: str = "prior",
    ) -> None:
        self.estimators = estimators
        self.label_sets = label_sets
        self.task_column = task_column
        self.unseen = unseen

    def _fit_prior(self, data: TaskData) -> None:
        self._fit_labels(data, None)
        self._learn(data, data.y)
        self._pooled = None
        if not self._own_labels:
            self._pooled = clone(self.estimators[0]).fit(self._scale(data.X), data.y)

    def _can_fit(self, y: NDArray[Any]) -> bool:
        return shows_classes(y)

    def _adapt_tasks(self, data: TaskData) -> State:
        return self._fit_models(data, data.y)

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        width = state["ways"].shape[1] if self._own_labels else len(self.classes_)
        return self._run(state, X, codes, width)

    def _values(self, model: Any, Z: NDArray[Any], width: int) -> NDArray[Any]:
        return class_scores(model, Z, width)
