"""A model of all rows that ignores tasks, as a meta-learner."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import get_tags

from skmeta.base import BaseMetaLearner, MetaClassifierMixin, MetaRegressorMixin, State
from skmeta.base._models import LEAST_PROBABILITY
from skmeta.tasks import TaskData

__all__ = ["PooledClassifier", "PooledRegressor"]


class _Pooled(BaseMetaLearner):
    """Base of learners to whom the rows of a new task say nothing."""

    estimator: Any

    def _adapt_tasks(self, data: TaskData) -> State:
        return {}


class PooledRegressor(MetaRegressorMixin, _Pooled):
    """Fit one regressor to the rows of all tasks; adapting changes nothing.

    Parameters
    ----------
    estimator : scikit-learn regressor
        It is cloned.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of unknown tasks.

    Attributes
    ----------
    model_ : estimator
        The fitted regressor.
    """

    def __init__(
        self, estimator: Any, *, task_column: Hashable | None = None, unseen: str = "prior"
    ) -> None:
        self.estimator = estimator
        self.task_column = task_column
        self.unseen = unseen

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = get_tags(self.estimator).target_tags.multi_output
        return tags

    def _fit_prior(self, data: TaskData) -> None:
        self.model_ = clone(self.estimator).fit(data.X, self._shape(data.y))

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        return np.asarray(self.model_.predict(X)).reshape(len(X), -1).astype(X.dtype)


class PooledClassifier(MetaClassifierMixin, _Pooled):
    """Fit one classifier to the rows of all tasks; adapting changes nothing.

    Parameters
    ----------
    estimator : scikit-learn classifier
        One with `predict_proba`. It is cloned.
    label_sets : {"auto", "shared", "own"}, default="auto"
        Whether tasks share one label set, which a pooled model needs.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of unknown tasks.

    Attributes
    ----------
    model_ : estimator
        The fitted classifier, of classes by number.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        label_sets: str = "auto",
        task_column: Hashable | None = None,
        unseen: str = "prior",
    ) -> None:
        self.estimator = estimator
        self.label_sets = label_sets
        self.task_column = task_column
        self.unseen = unseen

    def _fit_prior(self, data: TaskData) -> None:
        self._fit_labels(data, None)
        if self._own_labels:
            raise ValueError(
                "A pooled classifier needs classes that all tasks share; these tasks have label "
                "sets of their own."
            )
        self.model_ = clone(self.estimator).fit(data.X, data.y)

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        proba = np.maximum(self.model_.predict_proba(X), LEAST_PROBABILITY)
        scores: NDArray[Any] = np.log(proba).astype(X.dtype)
        return scores
