"""What regressors and classifiers add to the contract: targets, predictions, scores."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import get_tags
from sklearn.utils.multiclass import check_classification_targets

from skmeta.base._learner import BaseMetaLearner, State, groups_keyword
from skmeta.tasks import TaskData, local_classes

__all__ = ["ErrorBarsMixin", "MetaClassifierMixin", "MetaRegressorMixin"]


class MetaRegressorMixin(RegressorMixin, BaseMetaLearner):
    """Targets of a regressor: one or several real outputs."""

    _single_output: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Predict each row by the model of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, in the float type of X.
        """
        return self._shape(self._by_passes(X, groups, self._predict_rows))

    def score(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> float:
        """Return R2 of the predictions over all rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The coefficient of determination.
        """
        predicted = self.predict(X, **groups_keyword(groups))
        return float(r2_score(y, predicted, sample_weight=sample_weight))

    def _y_checks(self) -> dict[str, Any]:
        several = get_tags(self).target_tags.multi_output
        return {"multi_output": several, "y_numeric": True}

    def _read_targets(self, y: NDArray[Any], reset: bool) -> NDArray[Any]:
        if reset:
            self._single_output = y.ndim == 1
            self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        elif (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y has shape {y.shape}, but fit had {self.n_outputs_} output(s).")
        return y.reshape(len(y), -1).astype(np.float64)

    def _shape(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return outputs[:, 0] if self._single_output else outputs


class ErrorBarsMixin(MetaRegressorMixin):
    """Regressors that say how far a new observation may be from its prediction."""

    def predict(self, X: Any, groups: Any = None, return_std: bool = False) -> Any:
        """Predict each row by the model of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        return_std : bool, default=False
            Whether to return the standard deviation of a new observation too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, in the float type of X.
        std : ndarray of the same shape
            Standard deviations of new observations, noise included; only with `return_std`.
        """
        if not return_std:
            return super().predict(X, groups)
        both = self._by_passes(X, groups, self._mean_and_std)
        return self._shape(both[:, 0]), self._shape(both[:, 1])

    @abstractmethod
    def _mean_and_std(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return means and standard deviations, shape (n_samples, 2, n_outputs)."""


class MetaClassifierMixin(ClassifierMixin, BaseMetaLearner):
    """Targets of a classifier: one label set for all tasks, or one for each."""

    __metadata_request__predict_proba = {"groups": True}
    __metadata_request__predict_log_proba = {"groups": True}

    label_sets: str

    def predict_proba(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return class probabilities of each row by the model of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; 0 for a class that the row's task does not have.
        """
        return self._by_passes(X, groups, self._probabilities)

    def _probabilities(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        scores = self._predict_rows(state, X, codes)
        if not self._own_labels:
            shared: NDArray[Any] = softmax(scores, axis=1)
            return shared
        ways = state["ways"][codes]
        scores = scores[:, : ways.shape[1]]  # the others are classes that no task here has
        there = ways >= 0
        known = there.any(axis=1)
        proba = np.zeros((len(scores), len(self.classes_)), dtype=scores.dtype)
        # Nothing is known of the classes of a task never seen.
        proba[~known] = 1 / len(self.classes_)
        local = softmax(np.where(there, scores, -np.inf)[known], axis=1)
        rows, slots = np.nonzero(there[known])
        proba[np.flatnonzero(known)[rows], ways[known][rows, slots]] = local[rows, slots]
        return proba

    def predict_log_proba(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, **groups_keyword(groups)))

    def predict(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        proba = self.predict_proba(X, **groups_keyword(groups))
        labels: NDArray[Any] = self.classes_[proba.argmax(axis=1)]
        return labels

    def score(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy over all rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            True labels.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The share of right predictions.
        """
        predicted = self.predict(X, **groups_keyword(groups))
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def _y_checks(self) -> dict[str, Any]:
        return {}

    def _read_targets(self, y: NDArray[Any], reset: bool) -> NDArray[Any]:
        with warnings.catch_warnings():
            if not reset or self.label_sets == "own":
                # A few rows of many classes are no regression problem here.
                warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            check_classification_targets(y)
        classes = np.unique(y)
        if reset and len(classes) < 2:
            raise ValueError(f"y has 1 class, {classes.tolist()}; a classifier needs at least 2.")
        if reset:
            if self.label_sets not in ("auto", "shared", "own"):
                raise ValueError(
                    f"label_sets={self.label_sets!r} must be 'auto', 'shared' or 'own'."
                )
            self.classes_ = classes
        elif self._own_labels:
            if len(classes) < 2:
                raise ValueError(
                    f"The support rows have one class, {classes.tolist()}; "
                    "a task with labels of its own needs at least two."
                )
            self.classes_ = classes
        else:
            unknown = np.setdiff1d(classes, self.classes_)
            if len(unknown):
                raise ValueError(
                    f"y has the labels {unknown.tolist()}, unknown to the shared label set "
                    f"{self.classes_.tolist()}. If each task has labels of its own, fit with "
                    "label_sets='own' or n_way."
                )
        return np.searchsorted(self.classes_, y)

    def _fit_labels(self, data: TaskData, n_way: int | None) -> None:
        """Decide whether the tasks share one label set."""
        if n_way is not None:
            self._own_labels = True
        elif self.label_sets == "auto":
            self._own_labels = _have_own_labels(data, len(self.classes_))
        else:
            self._own_labels = self.label_sets == "own"

    def _local(self, data: TaskData) -> tuple[TaskData, NDArray[np.int64] | None]:
        """Return rows with classes numbered within each task, and what the numbers stand for."""
        if not self._own_labels:
            ways = np.full(data.table.n_tasks, len(self.classes_))
            return replace(data, n_ways=ways), None
        return local_classes(data, len(self.classes_))

    def _adapt_support(self, data: TaskData) -> State:
        local, ways = self._local(data)
        state = self._adapt_tasks(local)
        return state if ways is None else {**state, "ways": ways}


def _have_own_labels(data: TaskData, n_classes: int) -> bool:
    """Tell label sets of their own from a shared one.

    Tasks that draw from one label set show, row for row, nearly as many classes as the pooled
    class frequencies let expect; tasks with label sets of their own show far fewer.
    """
    _, ways = local_classes(data, n_classes)
    n_ways = (ways >= 0).sum(axis=1)
    several = n_ways > 1
    if several.sum() < 2:
        return False
    if n_ways.sum() == n_classes:  # no class is found in two tasks
        return True
    share = np.bincount(data.y, minlength=n_classes) / len(data.y)
    sizes, count = np.unique(data.sizes[several], return_counts=True)
    expected = n_classes - np.array([((1 - share) ** size).sum() for size in sizes])
    return bool(n_ways[several].sum() < 0.6 * (expected * count).sum())
