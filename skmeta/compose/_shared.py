"""One transformer for the rows of all tasks."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skmeta.base._callbacks import whole_fit, with_callbacks
from skmeta.compose._base import BaseTaskTransformer, transformer_has
from skmeta.tasks import separate_tasks

__all__ = ["Shared"]


class Shared(BaseTaskTransformer):
    """Apply one transformer to the features and carry the task column through.

    In a pipeline whose rows carry their task as a column, an ordinary transformer would scale
    or encode that column as well. Wrapped, it is fitted on the features of all rows, and the
    task column passes unchanged to the next step. Pick it by default; pick `PerTask` where
    each task has a scale or location of its own that says nothing about the target.

    Parameters
    ----------
    transformer : estimator
        Any scikit-learn transformer, a `ColumnTransformer` or a pipeline of transformers among
        them. It may learn from y.
    task_column : str or int, default=None
        The column of X that holds the tasks. In a data frame, it keeps its name. In an array,
        it keeps its index, which a transformer that changes the number of columns may make
        impossible; 0 and -1 (the last column) always work. With None, the tasks travel as
        `groups`, every column of X is a feature, and the wrapper changes nothing.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer.
    n_features_in_ : int
        Number of columns of X, the task column included.
    feature_names_in_ : ndarray of str
        Names of all columns of X, if it has any.

    See Also
    --------
    PerTask : Fits one transformer per task.

    Notes
    -----
    The output is a frame if X is one, of the same library, and an array if X is one: of
    objects only if task labels or transformed features are not numbers. `groups` is only
    checked; the transformer does not get it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmeta.compose import Shared
    >>> X = np.array([[7, 0.0], [7, 2.0], [8, 4.0], [8, 6.0]])
    >>> Shared(StandardScaler(with_std=False), task_column=0).fit_transform(X)
    array([[ 7., -3.],
           [ 7., -1.],
           [ 8.,  1.],
           [ 8.,  3.]])
    """

    def __init__(self, transformer: Any, *, task_column: Hashable | None = None) -> None:
        self.transformer = transformer
        self.task_column = task_column

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Fit the transformer on the features of all rows.

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
        self : Shared
            The fitted meta-transformer.

        Raises
        ------
        ValueError
            If the task column is missing or the only one, or tasks are given in both ways.
        """
        with whole_fit(self, X, y, groups):
            features, _ = self._separate(X, groups, reset=True)
            self._set_fitted(X, clone(self.transformer).fit(features, y))
        return self

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        """Fit and transform, by the transformer's own `fit_transform`.

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
            features, labels = self._separate(X, groups, reset=True)
            transformer = clone(self.transformer)
            output = transformer.fit_transform(features, y)
            self._set_fitted(X, transformer)
        return self._join(output, X, labels)

    def transform(self, X: Any, groups: Any = None) -> Any:
        """Transform the features of rows of any task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, as in `fit`.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        X_out : ndarray or data frame of shape (n_samples, n_features_out)
            Transformed features, with the unchanged task column.

        Raises
        ------
        ValueError
            If the transformer gives a sparse matrix or too few columns for the index of the
            task column.
        """
        check_is_fitted(self)
        features, labels = self._separate(X, groups)
        return self._join(self.transformer_.transform(features), X, labels)

    @transformer_has("inverse_transform")  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any, groups: Any = None) -> Any:
        """Undo the transformation; available if the transformer can.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features_out)
            Rows, as `transform` returns them.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        X_in : ndarray or data frame of shape (n_samples, n_features)
            Rows as they were before `transform`, with the unchanged task column.
        """
        check_is_fitted(self)
        features, labels = separate_tasks(X, groups, self.task_column)
        output = self.transformer_.inverse_transform(features)
        if labels is None or self.task_column is None:
            return output
        return self._join(output, X, labels, np.delete(self._names_in(), self._task_index))
