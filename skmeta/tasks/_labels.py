"""Where the task of each row comes from: a column of X, or ``groups``."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

__all__ = ["as_labels", "is_missing", "separate_tasks"]


def separate_tasks(
    X: Any, groups: Any = None, task_column: Hashable | None = None
) -> tuple[Any, NDArray[Any] | None]:
    """Take the features and the task labels of the rows apart.

    Parameters
    ----------
    X : array-like or data frame of shape (n_samples, n_columns)
        The rows; a data frame may be of pandas, polars or pyarrow.
    groups : array-like of shape (n_samples,), default=None
        The task label of each row.
    task_column : str or int, default=None
        The column of X that holds the labels: a name for a data frame, an index for an array.

    Returns
    -------
    features : array-like or data frame
        X without its task column; X itself when there is none.
    labels : ndarray of shape (n_samples,) or None
        The task label of each row; None when there is no task information.

    Raises
    ------
    ValueError
        If both sources are given, the column is missing, `groups` has another length than X, or
        a label is missing or infinite.
    TypeError
        If a label is not hashable.

    Examples
    --------
    >>> from skmeta.tasks import separate_tasks
    >>> separate_tasks([[7, 0.5], [8, 1.5]], task_column=0)
    (array([[0.5],
           [1.5]]), array([7., 8.]))
    """
    if task_column is None:
        if groups is None:
            return X, None
        labels = as_labels(groups)
        if len(labels) != _n_rows(X):
            raise ValueError(
                f"groups has {len(labels)} labels for the {_n_rows(X)} rows of X; "
                "give one task label per row."
            )
        return X, labels
    if groups is not None:
        raise ValueError(
            f"Both groups and task_column={task_column!r} were given; "
            "name the tasks in one way only."
        )
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        name = _column_name(frame, task_column)
        return frame.drop(name).to_native(), as_labels(frame.get_column(name).to_native())
    array = _as_matrix(X)
    if not isinstance(task_column, int | np.integer) or isinstance(task_column, bool):
        raise ValueError(
            f"task_column={task_column!r} names a column, but X is not a data frame; "
            "give the index of the column."
        )
    n_columns = array.shape[1]
    if n_columns == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if not -n_columns <= task_column < n_columns:
        raise ValueError(f"task_column={task_column} is not a column of X, which has {n_columns}.")
    return np.delete(array, task_column, axis=1), as_labels(array[:, task_column])


def as_labels(values: Any) -> NDArray[Any]:
    """Return task labels as a one-dimensional array, tuples kept whole.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        Ints, strings or any other hashable; an array, a list or a series of pandas or polars.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        A numeric array, or an array of objects.

    Raises
    ------
    ValueError
        If a label is missing or infinite, or `values` is not one-dimensional.

    Examples
    --------
    >>> from skmeta.tasks import as_labels
    >>> as_labels([("north", 1), ("south", 2)])
    array([('north', 1), ('south', 2)], dtype=object)
    """
    series = nw.from_native(values, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        values = series.to_numpy()
    shape = getattr(values, "shape", (None,))
    if len(shape) != 1:
        raise ValueError(f"Task labels must be one-dimensional, got shape {shape}.")
    if not isinstance(values, np.ndarray):
        values = list(values)
        values = np.fromiter(values, dtype=object, count=len(values))
    if values.dtype.kind in "SUT":
        return values.astype(object)
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: task labels must be real numbers.")
    if values.dtype.kind == "O":
        return _numeric_where_possible(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("Task labels contain NaN or infinity; every row needs a task.")
    if values.dtype.kind in "mM" and np.isnat(values).any():
        raise ValueError("Task labels contain NaT; every row needs a task.")
    return values


def _numeric_where_possible(values: NDArray[Any]) -> NDArray[Any]:
    """Check labels held as objects; numbers among numbers become a numeric array."""
    kinds: set[type] = set(map(type, values))
    if kinds and all(issubclass(kind, int | float | np.integer | np.floating) for kind in kinds):
        try:
            return as_labels(values.astype(np.float64 if _any_float(kinds) else np.int64))
        except OverflowError:  # hashes and UUIDs are larger than any machine number
            return values
    for kind in kinds:
        if kind.__hash__ is None:
            raise TypeError(
                "A task label argument must be a string, a number or another hashable, "
                f"got {kind.__name__}."
            )
    if any(map(is_missing, set(values))):
        raise ValueError("Task labels contain NaN or missing values; every row needs a task.")
    return values


def _any_float(kinds: set[type]) -> bool:
    return any(issubclass(kind, float | np.floating) for kind in kinds)


def is_missing(label: Any) -> bool:
    """Tell whether a label is None, NaN, NaT or pandas.NA."""
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def _column_name(frame: nw.DataFrame[Any], task_column: Any) -> str:
    for name in frame.columns:
        if name == task_column:
            return name
    if isinstance(task_column, int | np.integer) and not isinstance(task_column, bool):
        n_columns = len(frame.columns)
        if -n_columns <= task_column < n_columns:
            return frame.columns[task_column]
    raise ValueError(
        f"task_column={task_column!r} is not a column of X, which has {frame.columns}."
    )


def _as_matrix(X: Any) -> NDArray[Any]:
    if hasattr(X, "toarray"):
        raise TypeError(
            "Sparse input with a task column is not supported; pass dense rows, or the tasks "
            "as groups."
        )
    array = np.asarray(X)
    if array.dtype.kind in "SUT":  # numbers beside string labels would all become strings
        array = np.asarray(X, dtype=object)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead. Reshape your data: a task "
            "column needs X of shape (n_samples, n_columns)."
        )
    return array


def _n_rows(X: Any) -> int:
    if hasattr(X, "shape"):
        return int(X.shape[0])
    return len(X)
