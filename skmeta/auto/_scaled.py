"""Network learners that standardise features themselves, so that they take tables of any units.

A pipeline would do the same, but takes `groups` only with metadata routing and passes no
`return_std` on with it, so it would not do for what users find as the chosen learner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from skmeta.base import BaseMetaLearner
from skmeta.heads import RidgeHeadClassifier, RidgeHeadRegressor
from skmeta.multitask import MultiHeadClassifier, MultiHeadRegressor
from skmeta.tasks import TaskData

__all__ = [
    "ScaledMultiHeadClassifier",
    "ScaledMultiHeadRegressor",
    "ScaledRidgeHeadClassifier",
    "ScaledRidgeHeadRegressor",
]


class _Scaled(BaseMetaLearner):
    """Standardise features as they are read: by the rows of `fit`, also where it adapts.

    Attributes
    ----------
    scaler_ : StandardScaler
        Fitted to the features of all tasks.
    """

    def _read(self, X: Any, y: Any, groups: Any, sample_weight: Any, *, reset: bool) -> TaskData:
        data = super()._read(X, y, groups, sample_weight, reset=reset)
        if reset:
            self.scaler_ = StandardScaler().fit(data.X)
        return replace(data, X=self.scaler_.transform(data.X))

    def _read_features(self, X: Any, groups: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        features, labels = super()._read_features(X, groups)
        return self.scaler_.transform(features), labels


class ScaledMultiHeadRegressor(_Scaled, MultiHeadRegressor):
    """`MultiHeadRegressor` on standardised features."""


class ScaledMultiHeadClassifier(_Scaled, MultiHeadClassifier):
    """`MultiHeadClassifier` on standardised features."""


class ScaledRidgeHeadRegressor(_Scaled, RidgeHeadRegressor):
    """`RidgeHeadRegressor` on standardised features."""


class ScaledRidgeHeadClassifier(_Scaled, RidgeHeadClassifier):
    """`RidgeHeadClassifier` on standardised features."""
