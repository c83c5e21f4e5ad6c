"""One transformer for the rows of each task."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skmeta.base._callbacks import whole_fit, with_callbacks
from skmeta.compose._base import BaseTaskTransformer
from skmeta.compose._columns import stack_rows, take_rows
from skmeta.exceptions import UnseenTaskWarning
from skmeta.tasks import TaskTable

__all__ = ["PerTask"]


class PerTask(BaseTaskTransformer):
    """Fit one clone of a transformer on the rows of each task, and carry the task through.

    Pick it where each task has a location or scale of its own that says nothing about the
    target: sensors with their own offset, instruments with their own unit. The price is that
    the transformer is learned from few rows, and that differences between tasks are lost to
    the next steps; `Shared` keeps them.

    Parameters
    ----------
    transformer : estimator
        Any scikit-learn transformer that gives the same columns for every task. It may learn
        from y.
    task_column : str or int, default=None
        The column of X that holds the tasks. In a data frame, it keeps its name. In an array,
        it keeps its index, which a transformer that changes the number of columns may make
        impossible; 0 and -1 (the last column) always work. With None, the tasks travel as
        `groups`; without these, all rows are one task.
    unseen : {"shared", "raise"}, default="shared"
        What `transform` does with rows of a task that it does not know: use the transformer
        fitted on all rows, with one `UnseenTaskWarning`; or raise an error.

    Attributes
    ----------
    transformers_ : dict
        The fitted transformer of each task, by its label; by None if all rows are one task.
    transformer_ : estimator
        The transformer fitted on the rows of all tasks.
    n_features_in_ : int
        Number of columns of X, the task column included.
    feature_names_in_ : ndarray of str
        Names of all columns of X, if it has any.

    See Also
    --------
    Shared : Fits one transformer on all rows.

    Notes
    -----
    A clone is fitted for each task, one after another, which takes about a millisecond each.
    The output is a frame if X is one and has the task as a column, and otherwise what the
    transformer gives.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmeta.compose import PerTask
    >>> X = np.array([[7, 0.0], [7, 2.0], [8, 4.0], [8, 6.0]])
    >>> centre = PerTask(StandardScaler(with_std=False), task_column=0).fit(X)
    >>> centre.transform(X)
    array([[ 7., -1.],
           [ 7.,  1.],
           [ 8., -1.],
           [ 8.,  1.]])
    >>> centre.adapt(np.array([[9, 10.0], [9, 12.0]])).transform(np.array([[9, 12.0]]))
    array([[9., 1.]])
    """

    def __init__(
        self,
        transformer: Any,
        *,
        task_column: Hashable | None = None,
        unseen: str = "shared",
    ) -> None:
        self.transformer = transformer
        self.task_column = task_column
        self.unseen = unseen

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Fit one transformer per task, and one on all rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,), default=None
            Targets, for a transformer that learns from them.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        self : PerTask
            The fitted meta-transformer.

        Raises
        ------
        ValueError
            If the task column is missing or the only one, tasks are given in both ways, or
            the transformer cannot be fitted on the rows of a task (the error says which).
        """
        with whole_fit(self, X, y, groups):
            self._fit_all(X, y, groups, "fit")
        return self

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        """Fit and transform, by the `fit_transform` of each task's transformer.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,), default=None
            Targets, for a transformer that learns from them.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        X_out : ndarray or data frame of shape (n_samples, n_features_out)
            Transformed features, with the unchanged task column.
        """
        with whole_fit(self, X, y, groups):
            return self._fit_all(X, y, groups, "fit_transform")

    def transform(self, X: Any, groups: Any = None) -> Any:
        """Transform the features of each row by the transformer of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, as in `fit`.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. It can be left out if only one task is known.

        Returns
        -------
        X_out : ndarray or data frame of shape (n_samples, n_features_out)
            Transformed features, with the unchanged task column.

        Raises
        ------
        ValueError
            If rows do not say to which of several known tasks they belong, their task is not
            known and `unseen` is "raise", or the transformers give different numbers of
            columns.

        Warns
        -----
        UnseenTaskWarning
            If rows of a task that is not known were transformed by the shared transformer.
        """
        check_is_fitted(self)
        features, labels = self._separate(X, groups)
        transformers = self._transformers(labels)
        parts, order = [], []
        for label, rows in _tasks(features, labels):
            parts.append(
                transformers.get(label, self.transformer_).transform(take_rows(features, rows))
            )
            order.append(rows)
        return self._join(stack_rows(parts, order, X), X, labels)

    def adapt(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Fit one transformer on the rows of each of some new tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Support rows, a few of each new task.
        y : array-like of shape (n_samples,), default=None
            Targets, for a transformer that learns from them.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, they are one task.

        Returns
        -------
        adapted : PerTask
            A fitted meta-transformer that knows these tasks alone, and has the shared
            transformer of this one, which is left as it was.
        """
        check_is_fitted(self)
        features, labels = self._separate(X, groups)
        adapted: Self = clone(self)
        for name, value in vars(self).items():
            if name.endswith("_") or name == "_task_index":
                setattr(adapted, name, value)
        adapted.transformers_, _, _ = self._fit_tasks(features, y, labels, "fit")
        return adapted

    def _fit_all(self, X: Any, y: Any, groups: Any, method: str) -> Any:
        """Fit everything; return the output for all rows if `method` gives one."""
        if self.unseen not in ("shared", "raise"):
            raise ValueError(f"unseen={self.unseen!r} must be 'shared' or 'raise'.")
        features, labels = self._separate(X, groups, reset=True)
        shared = clone(self.transformer).fit(features, y)
        transformers, parts, order = self._fit_tasks(features, y, labels, method)
        self._set_fitted(X, shared)
        self.transformers_ = transformers
        return None if method == "fit" else self._join(stack_rows(parts, order, X), X, labels)

    def _fit_tasks(
        self, features: Any, y: Any, labels: NDArray[Any] | None, method: str
    ) -> tuple[dict[Any, Any], list[Any], list[NDArray[Any]]]:
        transformers, parts, order = {}, [], []
        targets = None if y is None else np.asarray(y)
        check_consistent_length(features, targets)
        for label, rows in _tasks(features, labels):
            transformer = transformers[label] = clone(self.transformer)
            task_targets = None if targets is None else targets[rows]
            try:
                part = getattr(transformer, method)(take_rows(features, rows), task_targets)
            except ValueError as error:
                error.add_note(f"This is the transformer of task {label!r}, of {len(rows)} row(s).")
                raise
            parts.append(part)
            order.append(rows)
        return transformers, parts, order

    def _transformers(self, labels: NDArray[Any] | None) -> dict[Any, Any]:
        """Return the transformers by label, once it is clear that rows can be transformed."""
        known = self.transformers_
        if labels is None:
            if len(known) > 1:
                raise ValueError(
                    f"This PerTask knows {len(known)} tasks, and the rows do not say to which "
                    "they belong; pass groups, or set task_column before fit."
                )
            return dict.fromkeys([None], *known.values())
        unknown = [label for label in dict.fromkeys(labels.tolist()) if label not in known]
        if unknown:
            said = f"{len(unknown)} task(s) never seen in fit or adapt: {unknown[:5]}"
            if self.unseen == "raise":
                raise ValueError(f"{said}. Adapt to them first, or set unseen='shared'.")
            warnings.warn(
                f"{said}; transformed as the rows of all tasks together were.",
                UnseenTaskWarning,
                stacklevel=4,
            )
        return known


def _tasks(
    features: Any, labels: NDArray[Any] | None
) -> Iterator[tuple[Hashable, NDArray[np.integer[Any]]]]:
    """Yield each task's label and its rows; a single task without labels is called None."""
    if labels is None:
        n_samples = len(features if hasattr(features, "shape") else np.asarray(features))
        yield None, np.arange(n_samples)
        return
    table = TaskTable.from_labels(labels)
    yield from zip(table.labels.tolist(), np.split(table.order, table.offsets[1:-1]), strict=True)
