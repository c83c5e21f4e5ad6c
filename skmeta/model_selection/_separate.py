"""A model of its own for each task: the baseline that shares nothing."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.metrics import log_loss
from sklearn.utils import get_tags

from skmeta.compose._columns import as_frame
from skmeta.model_selection._rows import support_mask
from skmeta.tasks import TaskTable, separate_tasks

__all__ = ["SeparateModels"]

_TUNING_TASKS = 20  # hundreds of small fits for each number of shots


class SeparateModels(BaseEstimator):
    """Fit a model to the rows of each task alone ("no pooling").

    Of several candidates, such as penalties, `adapt` takes the one that does best on training
    tasks of which as many rows are known; without tuning, few rows make it a straw man. A task
    whose rows show one class gets Laplace's rule of succession, as a classifier needs two.

    Parameters
    ----------
    estimators : sequence of estimator
        The candidates: regressors, or classifiers with `predict_proba`.
    support : {"random", "first"}
        Which rows of a task will be known.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.

    Attributes
    ----------
    models_ : list
        The model of each task, or the one class that its rows show.
    classes_ : ndarray of shape (n_classes,) or None
        Of a classifier: the labels seen in `fit` and `adapt`.
    """

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__predict: ClassVar = {"groups": True}
    __metadata_request__predict_proba: ClassVar = {"groups": True}

    classes_: Any

    def __init__(
        self, estimators: Sequence[Any], *, support: str, task_column: Hashable | None = None
    ) -> None:
        self.estimators = estimators
        self.support = support
        self.task_column = task_column

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimators[0])
        tags.estimator_type = inner.estimator_type
        tags.regressor_tags, tags.classifier_tags = inner.regressor_tags, inner.classifier_tags
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Keep the rows of the training tasks, and fit the first candidate to each task."""
        self.classes_ = np.unique(y) if is_classifier(self) else None
        features, labels = self._separate(X, groups)
        self.train_ = features, y, labels
        return self._fit_tasks(self.estimators[0], features, y, labels)

    def adapt(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the best candidate to each of other tasks."""
        adapted = copy.copy(self)
        if self.classes_ is not None:
            adapted.classes_ = np.union1d(self.classes_, y)
        features, labels = self._separate(X, groups)
        n_shots = int(np.median(TaskTable.from_labels(labels).sizes))
        return adapted._fit_tasks(self.choose(n_shots), features, y, labels)

    def predict(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Predict each row by the model of its task."""
        if self.classes_ is not None:
            return self.classes_[self.predict_proba(X, groups).argmax(axis=1)]
        features, labels = self._separate(X, groups)
        predicted = np.empty(len(labels))
        for task, rows in self._tasks(labels):
            predicted[rows] = self.models_[task].predict(features[rows])
        return predicted

    def predict_proba(self, X: Any, groups: Any = None) -> NDArray[np.float64]:
        """Return class probabilities; 0 for a class that a task with several does not show."""
        features, labels = self._separate(X, groups)
        proba = np.zeros((len(labels), len(self.classes_)))
        for task, rows in self._tasks(labels):
            model = self.models_[task]
            if isinstance(model, _OneClass):
                there = self.classes_ == model.label
                proba[rows] = (there * model.n_rows + 1) / (model.n_rows + len(there))
            else:
                columns = np.searchsorted(self.classes_, model.classes_)
                proba[rows[:, None], columns] = model.predict_proba(features[rows])
        return proba

    def choose(self, n_shots: int) -> Any:
        """Return the candidate that does best on training tasks of which as many rows are known."""
        X, y, labels = self.train_
        codes, sizes = self.table_.codes, self.table_.sizes
        enough = np.flatnonzero(sizes > n_shots)
        # Of one row, any model with an intercept makes a constant.
        if len(self.estimators) == 1 or len(enough) == 0 or n_shots == 1:
            return self.estimators[0]
        generator = np.random.RandomState(0)
        tasks = generator.permutation(enough)[:_TUNING_TASKS]
        rows = np.flatnonzero(np.isin(codes, tasks))
        known = support_mask(codes[rows], n_shots, generator if self.support == "random" else None)
        s, q = rows[known], rows[~known]
        losses = []
        for candidate in self.estimators:
            trial = copy.copy(self).set_params(task_column=None)
            trial._fit_tasks(candidate, X[s], y[s], labels[s])
            losses.append(trial._loss(X[q], y[q], labels[q]))
        return self.estimators[int(np.argmin(losses))]

    def _loss(self, X: Any, y: NDArray[Any], labels: NDArray[Any]) -> float:
        if self.classes_ is not None:
            return float(log_loss(y, self.predict_proba(X, labels), labels=self.classes_))
        return float(np.mean((self.predict(X, labels) - y) ** 2))

    def _fit_tasks(self, estimator: Any, X: Any, y: Any, labels: NDArray[Any]) -> Self:
        self.table_ = TaskTable.from_labels(labels)
        self.models_: list[Any] = []
        for rows in np.split(self.table_.order, self.table_.offsets[1:-1]):
            if self.classes_ is not None and len(np.unique(y[rows])) == 1:
                self.models_.append(_OneClass(y[rows[0]], len(rows)))
            else:
                self.models_.append(clone(estimator).fit(X[rows], y[rows]))
        return self

    def _separate(self, X: Any, groups: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        features, labels = separate_tasks(X, groups, self.task_column)
        # Of a frame, the rows of a task cost more to take than a small model costs to fit.
        frame = as_frame(features)
        features = np.asarray(features) if frame is None else frame.to_numpy()
        return features, np.zeros(len(X)) if labels is None else labels

    def _tasks(self, labels: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the number of each task and its rows."""
        asked = TaskTable.from_labels(labels)
        rows = np.split(asked.order, asked.offsets[1:-1])
        yield from zip(self.table_.lookup(asked.labels).tolist(), rows, strict=True)


class _OneClass(NamedTuple):
    """What is known of a task whose rows show one class."""

    label: Any
    n_rows: int
