"""What a fitted learner says of its tasks, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skmeta.base import BaseMetaLearner, State
from skmeta.base._adapt import last_fitted_step
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.tasks import TaskData

__all__ = ["FittedTasks"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FittedTasks:
    """Movements of tasks, and what the prior says, where the learner has one.

    Parameters
    ----------
    tasks, n_rows : ndarray of shape (n_tasks,)
        Labels, and numbers of known rows.
    shift : ndarray of shape (n_tasks,) or None
        How far predictions moved; None where the prior predicts nothing of a task's own classes.
    distance, learned : ndarray of shape (n_tasks,) or None
        How far coefficients moved, and how many of them the rows have determined.
    outputs : list of length n_outputs
        What the prior predicts: numbers of outputs, or classes.
    components : ndarray of shape (n_outputs, 4) or None
        Variances: shared, level, slopes, noise.
    features : list of str of length n_features or None
        Names.
    effects, spreads : ndarray of shape (n_outputs, n_features) or None
        Mean and standard deviation over tasks of what one standard deviation of a feature adds.
    classification : bool
        Whether the learner is a classifier.
    library : str or None
        The library of the data frame that it was fitted to.
    """

    tasks: NDArray[Any]
    n_rows: NDArray[np.int64]
    shift: Array | None
    distance: Array | None
    learned: Array | None
    outputs: list[Any]
    components: Array | None
    features: list[str] | None
    effects: Array | None
    spreads: Array | None
    classification: bool
    library: str | None

    @property
    def moved(self) -> Array:
        """How far tasks moved, by the coefficients of a prior if there is one."""
        moved = self.shift if self.distance is None else self.distance
        assert moved is not None
        return moved

    @property
    def unit(self) -> str:
        """What `moved` is in."""
        if self.distance is not None:
            return "in prior standard deviations"
        return "in probability" if self.classification else "in the units of y"

    @classmethod
    def of(cls, fitted: Any, feature_names: Sequence[str] | None) -> FittedTasks:
        """Ask a fitted learner, or a pipeline or search that ends in one."""
        learner = last_fitted_step(fitted)
        if isinstance(learner, BaseMetaTransformer):
            learner = learner._learner
        if not isinstance(learner, BaseMetaLearner):
            raise TypeError(
                f"{type(learner).__name__} is no meta-learner; expected a fitted one, or a "
                "Pipeline or a search that ends in one."
            )
        check_is_fitted(learner)
        components = getattr(learner, "variance_components_", None)
        own = getattr(learner, "_own_labels", False)
        if own and components is None:
            raise ValueError(
                f"The tasks of this {type(learner).__name__} have label sets of their own, of "
                "which it knows nothing before it sees rows: there is nothing to move away from."
            )
        shift, distance, learned = _movements(learner, prior=components is not None, own=own)
        names = effects = spreads = None
        if hasattr(learner, "design_"):
            names, effects, spreads = _feature_effects(learner, feature_names)
        return cls(
            tasks=learner.tasks_,
            n_rows=learner._support.sizes,
            shift=shift,
            distance=distance,
            learned=learned,
            outputs=_outputs(learner, 1 if components is None else len(components)),
            components=components,
            features=names,
            effects=effects,
            spreads=spreads,
            classification=is_classifier(learner),
            library=getattr(learner, "_table_library", None),  # older files have none
        )


def _movements(
    learner: Any, *, prior: bool, own: bool
) -> tuple[Array | None, Array | None, Array | None]:
    """Return shift, distance and learned; tasks are adapted anew, no more at once than in fit."""
    tasks, step = np.arange(len(learner.tasks_)), learner._tasks_per_pass
    shifts, movements = [], []
    for start in range(0, len(tasks), step):
        # The last task of the state has no rows: it is the prior.
        some = learner._support.take(np.append(tasks[start : start + step], -1))
        state = learner._adapt_support(some)
        if not own:
            shifts.append(_shift(learner, some, state))
        if prior:
            movements.append([part[:-1] for part in learner._movement(some, state)])
    shift = None if own else np.concatenate(shifts)
    if not prior:
        return shift, None, None
    distance, learned = map(np.concatenate, zip(*movements, strict=True))
    return shift, distance, learned


def _shift(learner: Any, data: TaskData, state: State) -> Array:
    """Return how far a task's predictions of its own rows are from those of the last one."""
    sizes = data.sizes[:-1]
    codes = np.repeat(np.arange(len(sizes)), sizes)
    prior = np.full_like(codes, len(sizes))
    if is_classifier(learner):
        predict = learner._probabilities
        moved = predict(state, data.X, codes) - predict(state, data.X, prior)
        variation: Array = np.bincount(codes, np.abs(moved).sum(axis=1) / 2, len(sizes)) / sizes
        return variation
    predict = learner._predict_rows
    moved = (predict(state, data.X, codes) - predict(state, data.X, prior)).astype(np.float64)
    root: Array = np.sqrt(np.bincount(codes, (moved**2).sum(axis=1), len(sizes)) / sizes)
    return root


def _feature_effects(learner: Any, names: Sequence[str] | None) -> tuple[list[str], Array, Array]:
    """Return names of features, and mean and spread of what one standard deviation adds."""
    scale = learner.design_.scale
    variances = np.diagonal(learner.prior_covariance_, axis1=1, axis2=2)[:, 1:]
    if names is None:
        names = getattr(learner, "_effect_names", None) or _feature_names(learner)
    elif len(names) != len(scale):
        raise ValueError(
            f"feature_names has {len(names)} names for the {len(scale)} features of "
            f"{type(learner).__name__}; the task column is none of them."
        )
    effects = learner.prior_mean_[:, 1:] * scale
    return list(names), effects, np.sqrt(np.maximum(variances, 0.0)) * scale


def _feature_names(learner: Any) -> list[str]:
    made_up = [f"x{column}" for column in range(learner.n_features_in_)]
    names = list(getattr(learner, "feature_names_in_", made_up))
    column = learner.task_column
    if column is not None:
        del names[column if isinstance(column, int | np.integer) else names.index(column)]
    return names


def _outputs(learner: Any, number: int) -> list[Any]:
    """Return what to call the problems that a learner solves."""
    if not is_classifier(learner):
        return list(range(number))
    if learner._own_labels:
        return ["any class"]
    classes = learner.classes_.tolist()
    return classes[1:] if number == 1 else classes
