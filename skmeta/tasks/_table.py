"""The compact index from rows to tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TaskTable", "row_keys"]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads neighbouring bits


@dataclass(frozen=True)
class TaskTable:
    """Rows sorted by task: one permutation of the rows and the offset of each task in it.

    Task `t` has the rows ``order[offsets[t]:offsets[t + 1]]``. There is no Python object per
    task, so a million rows in a hundred thousand tasks take 4 bytes a row and 16 a task.

    Parameters
    ----------
    labels : ndarray of shape (n_tasks,)
        The label of each task.
    order : ndarray of shape (n_samples,)
        Row numbers, task after task.
    offsets : ndarray of shape (n_tasks + 1,)
        Where each task starts in `order`.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.tasks import TaskTable
    >>> table = TaskTable.from_labels(np.array([7, 5, 7, 7]))
    >>> table.labels, table.order, table.offsets
    (array([5, 7]), array([1, 0, 2, 3], dtype=int32), array([0, 1, 4]))
    >>> table.lookup(np.array([7, 6]))
    array([ 1, -1])
    """

    labels: NDArray[Any]
    order: NDArray[np.int32 | np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def from_labels(cls, labels: NDArray[Any], keys: NDArray[np.uint64] | None = None) -> TaskTable:
        """Sort rows by task.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
            The task of each row, as `as_labels` returns it.
        keys : ndarray of shape (n_samples,), default=None
            Fingerprints of the rows' contents (see `row_keys`). With them, tasks and the rows
            in a task are ordered by what they contain, so that nothing built on the table
            depends on the order of rows, the order of tasks, or the labels' names. Without
            them, tasks stand in sorted order (first seen first for objects) and rows as given.

        Returns
        -------
        table : TaskTable
        """
        names, codes = _factorize(labels)
        counts = np.bincount(codes, minlength=len(names))
        if keys is None:
            order = np.argsort(codes, kind="stable")
        else:
            totals = np.zeros(len(names), dtype=np.uint64)
            np.add.at(totals, codes, _mix(keys))  # wraps around, so the sum has no order
            rank = np.lexsort((totals, counts))
            names, counts = names[rank], counts[rank]
            position = np.empty_like(rank)
            position[rank] = np.arange(len(rank))
            order = np.lexsort((keys, position[codes]))
        small = len(codes) < np.iinfo(np.int32).max
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(names, order.astype(np.int32 if small else np.int64, copy=False), offsets)

    @classmethod
    def single(cls, n_samples: int, keys: NDArray[np.uint64] | None = None) -> TaskTable:
        """Return the table of one task without a name, which holds every row."""
        table = cls.from_labels(np.zeros(n_samples, dtype=np.int8), keys)
        return cls(np.array([None], dtype=object), table.order, table.offsets)

    @property
    def n_tasks(self) -> int:
        """The number of tasks."""
        return len(self.labels)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of rows of each task."""
        return np.diff(self.offsets)

    @property
    def codes(self) -> NDArray[np.int64]:
        """The task number of each row, in the order of the rows given."""
        codes = np.empty(len(self.order), dtype=np.int64)
        codes[self.order] = self.owners
        return codes

    @property
    def owners(self) -> NDArray[np.int64]:
        """The task number of each row, in the order of the tasks."""
        return np.repeat(np.arange(self.n_tasks), self.sizes)

    def lookup(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Return the task number of each label, -1 where this table does not have it."""
        if self.labels.dtype.kind == "O" or labels.dtype.kind == "O":
            number = {label: task for task, label in enumerate(self.labels.tolist())}
            found = (number.get(label, -1) for label in labels.tolist())
            return np.fromiter(found, dtype=np.int64, count=len(labels))
        sorter = np.argsort(self.labels)
        place = np.searchsorted(self.labels, labels, sorter=sorter)
        candidate = sorter[np.minimum(place, self.n_tasks - 1)]
        return np.where(self.labels[candidate] == labels, candidate, -1)

    def padded(
        self, tasks: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Lay the rows of some tasks out as a rectangle.

        Parameters
        ----------
        tasks : ndarray of shape (n,)
            Task numbers.

        Returns
        -------
        positions : ndarray of shape (n, largest task)
            Positions in `order`; a padded cell holds any position.
        mask : ndarray of shape (n, largest task)
            True where a cell holds a row.
        """
        sizes = self.sizes[tasks]
        column = np.arange(max(int(sizes.max(initial=0)), 1))
        mask = column < sizes[:, None]
        first = np.minimum(self.offsets[tasks], max(len(self.order) - 1, 0))
        return first[:, None] + np.where(mask, column, 0), mask

    def chunks(self, cells: int, most: int | None = None) -> Iterator[NDArray[np.int64]]:
        """Yield task numbers in chunks of like size.

        Parameters
        ----------
        cells : int
            At most this many padded rows in a chunk, if it has more than one task.
        most : int, default=None
            At most this many tasks in a chunk.

        Yields
        ------
        tasks : ndarray of shape (n,)
            Task numbers; each task comes once.
        """
        # A task without rows, such as all unseen ones are, goes with the largest: not by itself.
        sizes = np.where(self.sizes == 0, self.sizes.max(initial=1), self.sizes)
        by_size = np.argsort(sizes, kind="stable")
        sizes = sizes[by_size]
        start = 0
        while start < len(by_size):
            # Tasks up to twice as large as the first share a chunk: padding is at most half.
            stop = int(np.searchsorted(sizes, 2 * sizes[start], side="right"))
            fitting = max(1, cells // int(sizes[stop - 1]))
            stop = min(stop, start + min(fitting, most or fitting))
            yield by_size[start:stop]
            start = stop


def row_keys(*arrays: NDArray[Any] | None) -> NDArray[np.uint64]:
    """Return a 64-bit fingerprint of the contents of each row.

    Parameters
    ----------
    *arrays : ndarray of shape (n_samples,) or (n_samples, n_columns), or None
        Numeric columns that together make up a row; None is skipped.

    Returns
    -------
    keys : ndarray of shape (n_samples,)
        Equal rows have equal keys, wherever they stand.
    """
    keys: NDArray[np.uint64] | None = None
    for array in arrays:
        if array is None:
            continue
        for column in np.atleast_2d(array.T):
            bits = (column.astype(np.float64) + 0.0).view(np.uint64)  # + 0.0: no negative zero
            keys = _mix(bits if keys is None else keys ^ bits)
    if keys is None:
        raise ValueError("row_keys needs at least one column.")
    return keys


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    keys = keys * _MULTIPLIER
    keys ^= keys >> np.uint64(32)
    return keys * _MULTIPLIER


def _factorize(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    if labels.dtype.kind != "O":
        names, codes = np.unique(labels, return_inverse=True)
        return names, codes
    listed = labels.tolist()
    distinct = dict.fromkeys(listed)
    number = dict(zip(distinct, range(len(distinct)), strict=True))
    codes = np.fromiter(map(number.__getitem__, listed), dtype=np.int64, count=len(labels))
    return np.fromiter(distinct, dtype=object, count=len(distinct)), codes
