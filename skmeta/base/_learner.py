"""The estimator contract: fit on many tasks, adapt to new ones, predict by task."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y, validate_data

from skmeta.base._callbacks import CallbackSupportMixin, FitTask, with_callbacks
from skmeta.base._html import SummaryInNotebooks
from skmeta.exceptions import UnseenTaskWarning
from skmeta.tasks import TaskData, separate_tasks
from skmeta.utils._tables import library_of

__all__ = ["BaseMetaLearner", "State", "groups_keyword"]

State = dict[str, Any]
"""What adaptation leaves of tasks: arrays whose first dimension runs over the tasks."""

# One memory layout, so that an array and a data frame give the same bits.
_FEATURES: dict[str, Any] = {"dtype": (np.float64, np.float32), "order": "C"}

RowsPredictor = Callable[[State, NDArray[Any], NDArray[np.int64]], NDArray[Any]]
"""(state of tasks, rows, the task of each row) -> what is predicted of each row."""


class BaseMetaLearner(CallbackSupportMixin, SummaryInNotebooks, ABC):
    """Base of all meta-learners.

    A learner states three things: how it learns from all training tasks (`_fit_prior`), what
    the rows of some tasks make of it (`_adapt_tasks`), and what it then predicts
    (`_predict_rows`). A task without rows is adapted too: that is the prior.
    """

    __metadata_request__fit = {"groups": True}
    __metadata_request__predict = {"groups": True}
    __metadata_request__score = {"groups": True}

    task_column: Hashable | None
    unseen: str

    _support: TaskData
    _state: State | None
    _fit_task: FitTask  # in fit
    _variance_is_label_free = False  # whether `return_std` is the same for any targets

    @abstractmethod
    def _fit_prior(self, data: TaskData) -> None:
        """Learn from all training tasks what they share."""

    @abstractmethod
    def _adapt_tasks(self, data: TaskData) -> State:
        """Adapt to the rows of each task, all tasks at once."""

    @abstractmethod
    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Predict rows, each by the task of `state` that its code names."""

    @abstractmethod
    def _read_targets(self, y: NDArray[Any], reset: bool) -> NDArray[Any]:
        """Check targets and encode them as the learner needs them."""

    @abstractmethod
    def _y_checks(self) -> dict[str, Any]:
        """Return the arguments of scikit-learn's validation that concern y."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Learn from a collection of tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, all rows are one task.

        Returns
        -------
        self : estimator
            The fitted estimator. It knows the tasks of the rows, so it predicts them.
        """
        return self._fit(X, y, groups)

    @with_callbacks  # type: ignore[untyped-decorator]
    def _fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> Self:
        metadata = {"groups": groups, "sample_weight": sample_weight}
        task = FitTask.of_fit(self, self._n_fit_parts, X, y, metadata)
        before = vars(self).copy()
        try:
            if self.unseen not in ("prior", "raise"):
                raise ValueError(f"unseen={self.unseen!r} must be 'prior' or 'raise'.")
            data = self._read(X, y, groups, sample_weight, reset=True)
            self._support, self._state = data, None
            self._table_library = library_of(X)
            self._fit_task = task
            self._fit_prior(data)
            del self._fit_task
        except Exception:
            self.__dict__ = before
            raise
        task.end()
        return self

    def adapt(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Adapt to the labelled rows of one or many new tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Support rows, a few of each new task.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, they are one task.

        Returns
        -------
        adapted : estimator
            A fitted estimator that knows these tasks alone and shares what was meta-learned;
            this one is left as it was.
        """
        return self._adapt(X, y, groups)

    def _adapt(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> Self:
        check_is_fitted(self)
        adapted = copy.copy(self)
        data = adapted._read(X, y, groups, sample_weight, reset=False)
        adapted._support = data
        adapted._state = None
        if data.table.n_tasks < adapted._tasks_per_pass:
            # The last task of the state has no rows: it is the prior, and code -1 finds it.
            tasks = np.append(np.arange(data.table.n_tasks), -1)
            adapted._state = adapted._adapt_support(data.take(tasks))
        return adapted

    @property
    def tasks_(self) -> NDArray[Any]:
        """Labels of the tasks that this estimator knows."""
        check_is_fitted(self)
        return self._support.table.labels

    def _adapt_support(self, data: TaskData) -> State:
        """Adapt tasks whose targets are encoded for the whole estimator."""
        return self._adapt_tasks(data)

    def _summary(self) -> dict[str, Any]:
        sizes = self._support.sizes
        median = f"{np.median(sizes):g}"
        return {
            "Tasks": len(sizes),
            "Rows of a task": f"{sizes.min()} to {sizes.max()}, median {median}",
        }

    @property
    def _n_fit_parts(self) -> int:
        """How many parts of a fit callbacks are told of."""
        return 0

    @property
    def _tasks_per_pass(self) -> int:
        """How many tasks' states may be held at once."""
        return 1 << 17

    def _by_passes(self, X: Any, groups: Any, predict: RowsPredictor) -> NDArray[Any]:
        """Predict rows by the state of their tasks, adapting no more tasks at once than fit."""
        features, codes = self._read_queries(X, groups)
        if self._state is not None:
            return predict(self._state, features, codes)
        return self._adapt_and(predict, self._support, features, codes)

    def _adapt_and(
        self,
        predict: RowsPredictor,
        support: TaskData,
        X: NDArray[Any],
        codes: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Adapt to the tasks of a support that rows need, and predict the rows."""
        needed, local = np.unique(codes, return_inverse=True)
        step, outputs = self._tasks_per_pass, None
        for start in range(0, len(needed), step):
            rows = np.flatnonzero((local >= start) & (local < start + step))
            state = self._adapt_support(support.take(needed[start : start + step]))
            part = predict(state, X[rows], local[rows] - start)
            if outputs is None:
                outputs = np.empty((len(X), *part.shape[1:]), dtype=part.dtype)
            outputs[rows] = part
        assert outputs is not None
        return outputs

    def _separate(self, X: Any, groups: Any) -> tuple[Any, NDArray[Any] | None]:
        return separate_tasks(X, groups, self.task_column)

    def _read(self, X: Any, y: Any, groups: Any, sample_weight: Any, *, reset: bool) -> TaskData:
        features, labels = self._separate(X, groups)
        checks = {**_FEATURES, **self._y_checks()}
        if self.task_column is None:
            features, y = validate_data(self, features, y, reset=reset, **checks)
        else:
            validate_data(self, X, y, reset=reset, skip_check_array=True)
            self._reject_lone_task_column(features)
            features, y = check_X_y(features, y, estimator=self, **checks)
        weight = None
        if sample_weight is not None:
            weight = _check_weight(sample_weight, features)
            there = weight > 0  # a row of weight 0 is no row
            features, y, weight = features[there], y[there], weight[there]
            labels = None if labels is None else labels[there]
        targets = self._read_targets(y, reset)
        return TaskData.from_rows(features, targets, labels, weight)

    def _read_features(self, X: Any, groups: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        check_is_fitted(self)
        features, labels = self._separate(X, groups)
        if self.task_column is None:
            return validate_data(self, features, reset=False, **_FEATURES), labels
        validate_data(self, X, reset=False, skip_check_array=True)
        return check_array(features, estimator=self, **_FEATURES), labels

    def _read_queries(self, X: Any, groups: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
        features, labels = self._read_features(X, groups)
        table = self._support.table
        if labels is None:
            if table.n_tasks > 1:
                raise ValueError(
                    f"This {type(self).__name__} knows {table.n_tasks} tasks, and the rows do not "
                    "say to which they belong; pass groups, or set task_column before fit."
                )
            return features, np.zeros(len(features), dtype=np.int64)
        codes = table.lookup(labels)
        unknown = codes < 0
        if unknown.any():
            names = list(dict.fromkeys(labels[unknown].tolist()))
            said = f"{len(names)} task(s) never seen in fit or adapt: {names[:5]}"
            if self.unseen == "raise":
                raise ValueError(f"{said}. Adapt to them first, or set unseen='prior'.")
            warnings.warn(
                f"{said}; predicted from the prior. Adapt to them for a better prediction.",
                UnseenTaskWarning,
                stacklevel=5,
            )
        return features, codes

    def _reject_lone_task_column(self, features: Any) -> None:
        if features.shape[1] == 0:
            raise ValueError(
                f"X has 1 feature(s), and it is the task column {self.task_column!r}; "
                "at least one more is needed to learn from."
            )


def groups_keyword(groups: Any) -> dict[str, Any]:
    """Return the keyword of tasks, none where there are none: they may be in a column."""
    return {} if groups is None else {"groups": groups}


def _check_weight(sample_weight: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    weight: NDArray[np.float64]
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.shape != (len(X),):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected ({len(X)},).")
    if (weight < 0).any() or not weight.any():
        raise ValueError("sample_weight must not be negative, nor zero for every row.")
    return weight
