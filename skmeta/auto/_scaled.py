"""A learner with a scaler before it, which unlike a pipeline adapts and takes groups by itself."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

__all__ = ["Scaled"]


class Scaled(MetaEstimatorMixin, BaseEstimator):
    """Standardise features over all rows for a meta-learner.

    Parameters
    ----------
    estimator : meta-learner
        It is cloned. Its tasks come as `groups`.

    Attributes
    ----------
    scaler_ : StandardScaler
        Fitted to the rows of `fit`.
    estimator_ : meta-learner
        The fitted learner.
    """

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__predict: ClassVar = {"groups": True}
    __metadata_request__predict_proba: ClassVar = {"groups": True}

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the scaler, then the learner."""
        self.scaler_ = StandardScaler().fit(X)
        self.estimator_ = clone(self.estimator).fit(self.scaler_.transform(X), y, groups=groups)
        return self

    def adapt(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Adapt the learner; the scaler stays."""
        adapted = copy.copy(self)
        adapted.estimator_ = self.estimator_.adapt(self.scaler_.transform(X), y, groups=groups)
        return adapted

    def predict(self, X: Any, groups: Any = None, **options: Any) -> Any:
        """Predict by the learner; options such as `return_std` are passed on."""
        return self.estimator_.predict(self.scaler_.transform(X), groups=groups, **options)

    def predict_proba(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return class probabilities, in the order of `classes_`."""
        proba: NDArray[Any] = self.estimator_.predict_proba(self.scaler_.transform(X), groups)
        return proba

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, of a classifier."""
        classes: NDArray[Any] = self.estimator_.classes_
        return classes

    @property
    def tasks_(self) -> NDArray[Any]:
        """Labels of the tasks that the learner knows."""
        tasks: NDArray[Any] = self.estimator_.tasks_
        return tasks
