"""The learners that are tried by default: simple and cheap ones first."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta.auto._per_task import PerTaskClassifier, PerTaskRegressor
from skmeta.auto._pooled import PooledClassifier, PooledRegressor
from skmeta.auto._scaled import (
    MOST_EFFECTS,
    ReducedEffectsClassifier,
    ReducedEffectsRegressor,
    ScaledMultiHeadClassifier,
    ScaledMultiHeadRegressor,
    ScaledRidgeHeadClassifier,
    ScaledRidgeHeadRegressor,
)
from skmeta.empirical_bayes import EmpiricalBayesClassifier, EmpiricalBayesRegressor

__all__ = ["default_classifiers", "default_regressors"]

_BOOSTING: dict[str, Any] = {"max_leaf_nodes": 15, "learning_rate": 0.05}  # tables are small
_NETWORK: dict[str, Any] = {"max_iter": 300, "lr": 5e-3}  # as good as 1000 slower updates
_PENALTIES = (1.0, 0.01, 0.1, 10.0, 100.0)


def default_regressors(shots: tuple[int, int], n_features: int, seed: int) -> dict[str, Any]:
    """Return regressors by name.

    Parameters
    ----------
    shots : (int, int)
        The smallest and largest number of rows that a new task is expected to have.
    n_features : int
        The number of features; of very many, mixed effects take principal components.
    seed : int
        For what they draw.

    Returns
    -------
    candidates : dict of str to meta-learner
    """
    boosting = HistGradientBoostingRegressor(**_BOOSTING, random_state=seed)
    mixed = ReducedEffectsRegressor if n_features > MOST_EFFECTS else EmpiricalBayesRegressor
    return {
        "pooled linear": PooledRegressor(make_pipeline(StandardScaler(), Ridge())),
        "pooled boosting": PooledRegressor(boosting),
        "mixed intercepts": mixed("intercept"),
        "mixed effects": mixed(),
        "per-task linear": PerTaskRegressor([Ridge(penalty) for penalty in _PENALTIES]),
        "mixed intercepts on boosting": mixed("intercept", offset=boosting),
        "mixed effects on boosting": mixed(offset=boosting),
        "multi-head network": ScaledMultiHeadRegressor(random_state=seed, **_NETWORK),
        "ridge-head network": ScaledRidgeHeadRegressor(
            n_shots=shots, random_state=seed, **_NETWORK
        ),
    }


def default_classifiers(
    shots: tuple[int, int], n_features: int, seed: int, *, own_label_sets: bool
) -> dict[str, Any]:
    """Return classifiers by name.

    Parameters
    ----------
    shots : (int, int)
        The smallest and largest number of rows that a new task is expected to have; of each class
        with `own_label_sets`.
    n_features : int
        The number of features; of very many, mixed effects take principal components.
    seed : int
        For what they draw.
    own_label_sets : bool
        Whether tasks have label sets of their own. Pooled models and intercepts,
        which cannot tell classes never seen apart, are left out then.

    Returns
    -------
    candidates : dict of str to meta-learner
    """
    label_sets: dict[str, Any] = {"label_sets": "own" if own_label_sets else "shared"}
    network = {"random_state": seed, **_NETWORK, **label_sets}
    linear = [LogisticRegression(C=C, max_iter=1000) for C in (1.0, 0.1, 10.0)]
    boosting = HistGradientBoostingClassifier(**_BOOSTING, random_state=seed)
    pooled_linear = make_pipeline(StandardScaler(), linear[0])
    mixed = ReducedEffectsClassifier if n_features > MOST_EFFECTS else EmpiricalBayesClassifier
    networks = {
        "multi-head network": ScaledMultiHeadClassifier(**network),
        "ridge-head network": ScaledRidgeHeadClassifier(
            n_shots=shots, stratify=own_label_sets, **network
        ),
    }
    linear_by_task: dict[str, Any] = {
        "mixed effects": mixed(**label_sets),
        "per-task linear": PerTaskClassifier(linear, **label_sets),
    }
    if own_label_sets:
        return {**linear_by_task, **networks}
    return {
        "pooled linear": PooledClassifier(pooled_linear, **label_sets),
        "pooled boosting": PooledClassifier(boosting, **label_sets),
        "mixed intercepts": mixed("intercept", **label_sets),
        **linear_by_task,
        "mixed intercepts on boosting": mixed("intercept", offset=boosting, **label_sets),
        "mixed effects on boosting": mixed(offset=boosting, **label_sets),
        **networks,
    }
