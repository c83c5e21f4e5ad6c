"""Learners that make features fit for themselves: of any units, for networks, or not too many.

A pipeline would do the same, but takes `groups` only with metadata routing and passes no
`return_std` on with it, so it would not do for what users find as the chosen learner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta.base import BaseMetaLearner
from skmeta.empirical_bayes import EmpiricalBayesClassifier, EmpiricalBayesRegressor
from skmeta.heads import RidgeHeadClassifier, RidgeHeadRegressor
from skmeta.multitask import MultiHeadClassifier, MultiHeadRegressor
from skmeta.tasks import TaskData

__all__ = [
    "MOST_EFFECTS",
    "ReducedEffectsClassifier",
    "ReducedEffectsRegressor",
    "ScaledMultiHeadClassifier",
    "ScaledMultiHeadRegressor",
    "ScaledRidgeHeadClassifier",
    "ScaledRidgeHeadRegressor",
]

MOST_EFFECTS = 50  # the time of an EM step grows with their third power


class _Scaled(BaseMetaLearner):
    """Standardise features as they are read: by the rows of `fit`, also where it adapts.

    Attributes
    ----------
    scaler_ : transformer
        Fitted to the features of all tasks.
    """

    def _make_scaler(self, X: NDArray[Any]) -> Any:
        return StandardScaler()

    def _read(self, X: Any, y: Any, groups: Any, sample_weight: Any, *, reset: bool) -> TaskData:
        data = super()._read(X, y, groups, sample_weight, reset=reset)
        if reset:
            self.scaler_ = self._make_scaler(data.X).fit(data.X)
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


class _Reduced(_Scaled):
    """Replace many features by their leading principal components."""

    def _make_scaler(self, X: NDArray[Any]) -> Any:
        n_components = min(MOST_EFFECTS, *X.shape)
        return make_pipeline(StandardScaler(), PCA(n_components, random_state=0))

    @property
    def _effect_names(self) -> list[str]:
        """What the effects of tasks are of, instead of features."""
        return [f"component {number}" for number in range(self.scaler_[-1].n_components_)]


class ReducedEffectsRegressor(_Reduced, EmpiricalBayesRegressor):
    """`EmpiricalBayesRegressor` on principal components."""


class ReducedEffectsClassifier(_Reduced, EmpiricalBayesClassifier):
    """`EmpiricalBayesClassifier` on principal components."""
