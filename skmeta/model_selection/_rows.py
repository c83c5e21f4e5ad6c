"""What splitters need to know of the rows: their tasks, and which are support."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import type_of_target

from skmeta.tasks import TaskTable, as_labels, separate_tasks

__all__ = ["class_codes", "support_mask", "task_codes"]


def task_codes(X: Any, groups: Any, task_column: Hashable | None) -> NDArray[np.int64]:
    """Return the task number of each row, numbered as tasks first appear in the rows.

    The numbers depend on where tasks stand, not on their labels: renaming tasks gives the
    same splits.
    """
    labels = separate_tasks(X, groups, task_column)[1]
    if labels is None:
        raise ValueError(
            "Tasks are needed to hold them out: set task_column to the column of X that holds "
            "them, or pass groups, one task label per row."
        )
    return _first_seen_codes(labels)


def class_codes(y: Any) -> NDArray[np.int64]:
    """Return the class number of each row.

    Raises
    ------
    ValueError
        If there is no y, or it does not hold classes.
    """
    if y is None:
        raise ValueError("stratify=True takes n_shots rows of each class, so it needs y.")
    found = type_of_target(y, input_name="y")
    if found not in ("binary", "multiclass"):
        raise ValueError(
            f"stratify=True needs classes, one per row, but y is {found}; set stratify=False."
        )
    return _first_seen_codes(as_labels(y))


def support_mask(
    cells: NDArray[np.int64], n_shots: int, generator: np.random.RandomState | None
) -> NDArray[np.bool_]:
    """Choose `n_shots` rows of each cell, all rows of a smaller one.

    Parameters
    ----------
    cells : ndarray of shape (n_samples,)
        The cell of each row: its task, or its task and class.
    n_shots : int
        Rows to choose.
    generator : RandomState or None
        Chooses at random; None chooses the first rows in the order given.

    Returns
    -------
    mask : ndarray of shape (n_samples,)
        True where a row is chosen.
    """
    n_samples = len(cells)
    rows = np.arange(n_samples) if generator is None else generator.permutation(n_samples)
    table = TaskTable.from_labels(cells[rows])
    rank = np.arange(n_samples) - np.repeat(table.offsets[:-1], table.sizes)
    mask = np.zeros(n_samples, dtype=np.bool_)
    mask[rows[table.order[rank < n_shots]]] = True
    return mask


def _first_seen_codes(labels: NDArray[Any]) -> NDArray[np.int64]:
    table = TaskTable.from_labels(labels)
    number = np.empty(table.n_tasks, dtype=np.int64)
    number[np.argsort(table.order[table.offsets[:-1]])] = np.arange(table.n_tasks)
    return number[table.codes]
