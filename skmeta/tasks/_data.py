"""Rows that belong to tasks, sorted by task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta.tasks._table import TaskTable, row_keys

__all__ = ["TaskData", "local_classes"]


@dataclass(frozen=True)
class TaskData:
    """Features and targets in the order of a task table.

    Parameters
    ----------
    table : TaskTable
        Its `order` refers to the rows as they were given; the arrays here are sorted already.
    X : ndarray of shape (n_samples, n_features)
        Features.
    y : ndarray of shape (n_samples, ...)
        Targets, or class numbers.
    weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.
    n_ways : ndarray of shape (n_tasks,), default=None
        The number of classes of each task; their numbers in `y` then start at 0 in each.
    """

    table: TaskTable
    X: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[Any] | None = None
    n_ways: NDArray[np.int64] | None = None

    @classmethod
    def from_rows(
        cls,
        X: NDArray[Any],
        y: NDArray[Any],
        labels: NDArray[Any] | None,
        weight: NDArray[Any] | None = None,
    ) -> TaskData:
        """Sort rows into tasks, by content: their order and the labels' names do not matter."""
        keys = row_keys(X, y, weight)
        if labels is None:
            table = TaskTable.single(len(X), keys)
        else:
            table = TaskTable.from_labels(labels, keys)
        order = table.order
        return cls(table, X[order], y[order], None if weight is None else weight[order])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of rows of each task."""
        return self.table.sizes

    def reorder(self, rows: NDArray[np.integer[Any]]) -> TaskData:
        """Return the rows in another order within their tasks."""
        table = TaskTable(self.table.labels, self.table.order[rows], self.table.offsets)
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, table=table, X=self.X[rows], y=self.y[rows], weight=weight)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The number of each row's task."""
        return self.table.owners

    def take(self, tasks: NDArray[np.integer[Any]]) -> TaskData:
        """Return some tasks; the number -1 stands for a task without rows."""
        empty = tasks < 0
        sizes = np.where(empty, 0, self.sizes[tasks])
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        starts = np.repeat(self.table.offsets[:-1][tasks] - offsets[:-1], sizes)
        rows = starts + np.arange(offsets[-1])
        table = TaskTable(self.table.labels[tasks], np.arange(len(rows)), offsets)
        if len(rows) == 0:  # padded cells need a row to point at, though no task has it
            rows = np.zeros(1, dtype=np.int64)
        return TaskData(
            table,
            self.X[rows],
            self.y[rows],
            None if self.weight is None else self.weight[rows],
        )

    def keep(self, rows: NDArray[np.bool_]) -> TaskData:
        """Return the same tasks with some of their rows; one may be left without any."""
        offsets = np.concatenate([[0], np.cumsum(rows)])[self.table.offsets]
        table = TaskTable(self.table.labels, np.arange(offsets[-1]), offsets)
        weight = None if self.weight is None else self.weight[rows]
        return TaskData(table, self.X[rows], self.y[rows], weight, self.n_ways)


def local_classes(data: TaskData, n_classes: int) -> tuple[TaskData, NDArray[np.int64]]:
    """Number the classes of each task, starting at 0.

    Parameters
    ----------
    data : TaskData
        Rows whose `y` numbers the classes of the whole collection.
    n_classes : int
        How many there are.

    Returns
    -------
    local : TaskData
        The same rows, classes numbered within each task, with `n_ways`.
    ways : ndarray of shape (n_tasks, largest number of classes)
        What each number of a task stands for; -1 behind its last class.
    """
    n_tasks = data.table.n_tasks
    task = data.owners
    cells, cell = np.unique(task * n_classes + data.y, return_inverse=True)
    first = np.searchsorted(cells, np.arange(n_tasks + 1) * n_classes)
    n_ways = np.diff(first)
    ways = np.full((n_tasks, max(int(n_ways.max(initial=0)), 1)), -1)
    owner = cells // n_classes
    ways[owner, np.arange(len(cells)) - first[owner]] = cells % n_classes
    y = np.zeros(len(data.y), dtype=np.int64)
    y[: len(task)] = cell - first[task]  # without any rows there is one to pad with
    return replace(data, y=y, n_ways=n_ways), ways
