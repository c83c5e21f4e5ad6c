"""Rows and tasks: labels, the sorted task table, and episodes drawn from it."""

from skmeta.tasks._labels import as_labels, separate_tasks
from skmeta.tasks._table import TaskTable, row_keys

__all__ = ["TaskTable", "as_labels", "row_keys", "separate_tasks"]
