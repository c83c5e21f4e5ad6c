"""What of a table learners cannot take, with the step that would make numbers of it."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np

from skmeta.compose._columns import as_frame

__all__ = ["check_numbers"]


def check_numbers(features: Any, learner: Any) -> None:
    """Raise an error that names columns without numbers, and what to put in front of the learner.

    Parameters
    ----------
    features : array-like or data frame of shape (n_samples, n_features)
        Without the task column.
    learner : estimator
        Who would learn from them.

    Raises
    ------
    ValueError
        If a data frame holds text or times, or it or an array of floats has missing values.
    """
    frame = as_frame(features)
    if frame is None:
        if isinstance(features, np.ndarray) and features.dtype.kind == "f":
            empty = np.isnan(features).any(axis=0) if features.ndim == 2 else np.zeros(0)
            if empty.any():
                _refuse_missing(f"{empty.sum()} column(s) of X", learner)
        return
    columns = {name: frame.get_column(name) for name in frame.columns}
    other = [name for name, column in columns.items() if not _holds_numbers(column)]
    if other:
        encoder = (
            f"make_column_transformer((OneHotEncoder(sparse_output=False), {other}), "
            "remainder='passthrough')"
        )
        raise ValueError(
            f"The column(s) {other} of X do not hold numbers. Drop them or encode them in front: "
            f"{_in_front(encoder, learner)}."
        )
    missing = [name for name, column in columns.items() if _has_missing(column)]
    if missing:
        _refuse_missing(f"The column(s) {missing} of X", learner)


def _holds_numbers(column: nw.Series[Any]) -> bool:
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return True
    if column.dtype.is_temporal():
        return False
    try:
        column.drop_nulls().to_numpy().astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _has_missing(column: nw.Series[Any]) -> bool:
    missing = column.is_null().any()
    return bool(missing or (column.dtype.is_float() and column.is_nan().any()))


def _refuse_missing(where: str, learner: Any) -> None:
    raise ValueError(
        f"{where} have missing values (NaN). Impute them in front: "
        f"{_in_front('SimpleImputer()', learner)}."
    )


def _in_front(transformer: str, learner: Any) -> str:
    column = "" if learner.task_column is None else f"task_column={learner.task_column!r}"
    shared = f"Shared({transformer}{', ' if column else ''}{column})"
    return f"make_pipeline({shared}, {type(learner).__name__}({column}))"
