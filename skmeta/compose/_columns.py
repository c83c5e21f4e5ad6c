"""Rows and columns of frames, arrays and sparse matrices, around a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse, vstack

__all__ = ["as_frame", "join_arrays", "join_frames", "stack_rows", "take_rows"]


def as_frame(X: Any) -> nw.DataFrame[Any] | None:
    """Return a data frame of any library as one of narwhals, None for anything else."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    return frame if isinstance(frame, nw.DataFrame) else None


def take_rows(X: Any, rows: NDArray[Any]) -> Any:
    """Return some rows, in the container of X."""
    frame = as_frame(X)
    if frame is not None:
        return frame[rows].to_native()
    return X.tocsr()[rows] if hasattr(X, "tocsr") else np.asarray(X)[rows]


def stack_rows(parts: Sequence[Any], order: Sequence[NDArray[Any]], X: Any) -> Any:
    """Stack the outputs for parts of the rows of X, back in the order of X."""
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise ValueError(
            f"The transformer gives {min(widths)} to {max(widths)} columns, depending on the "
            "task; fix their number, for example with OneHotEncoder(categories=...) or "
            "PCA(n_components=2)."
        )
    back = np.argsort(np.concatenate(order))
    frames = [as_frame(part) for part in parts]
    if frames[0] is not None:
        stacked = nw.concat([frame for frame in frames if frame is not None])[back]
        if type(parts[0]) is not type(X):  # without an index of rows, each part got its own
            stacked = nw.maybe_reset_index(stacked)
        return stacked.to_native()
    return (vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts))[back]


def join_arrays(output: Any, labels: NDArray[Any], position: int) -> NDArray[Any]:
    """Insert the task labels as a column of an array; objects unless labels are numbers too."""
    output = np.asarray(output)
    if output.dtype.kind in "SUT":  # or numeric labels would become strings
        output = output.astype(object)
    return np.hstack([output[:, :position], labels[:, None], output[:, position:]])


def join_frames(output: Any, task: nw.Series[Any], position: int, names: Sequence[str]) -> Any:
    """Insert the task column into the output of a transformer, as a frame.

    Parameters
    ----------
    output : array-like or data frame of shape (n_samples, width)
        What the transformer made of the features.
    task : narwhals Series of shape (n_samples,)
        The task column, with its name.
    position : int
        Where to insert it.
    names : sequence of str of length width
        Names of the other columns.

    Returns
    -------
    joined : data frame of shape (n_samples, width + 1)
        Of the library of `output` if that is a frame, else of that of `task`.
    """
    if task.name in names:
        raise ValueError(
            f"The transformer gives a column with the name of the task column, {task.name!r}; "
            "rename one of them."
        )
    frame = as_frame(output)
    if frame is None:
        columns = _columns(np.asarray(output), task, names)
        frame = task.to_frame().with_columns(*columns)
    else:
        frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
        if frame.implementation is not task.implementation:
            task = nw.new_series(task.name, task.to_list(), backend=frame.implementation)
        frame = frame.with_columns(task)
    return frame.select(*names[:position], task.name, *names[position:]).to_native()


def _columns(
    values: NDArray[Any], like: nw.Series[Any], names: Sequence[str]
) -> list[nw.Series[Any]]:
    # Objects become a list, so that each column finds its own type again.
    columns = [column.tolist() if column.dtype.kind == "O" else column for column in values.T]
    return [
        nw.new_series(name, column, backend=like.implementation)
        for name, column in zip(names, columns, strict=True)
    ]
