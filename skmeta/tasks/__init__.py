"""Rows and tasks: labels, the sorted task table, and episodes drawn from it."""

from skmeta.tasks._data import TaskData, local_classes
from skmeta.tasks._episodes import (
    Episodes,
    EpisodeSampler,
    TaskChooser,
    draw_subsets,
    shots_range,
)
from skmeta.tasks._labels import as_labels, separate_tasks
from skmeta.tasks._table import TaskTable, row_keys

__all__ = [
    "EpisodeSampler",
    "Episodes",
    "TaskChooser",
    "TaskData",
    "TaskTable",
    "as_labels",
    "draw_subsets",
    "local_classes",
    "row_keys",
    "separate_tasks",
    "shots_range",
]
