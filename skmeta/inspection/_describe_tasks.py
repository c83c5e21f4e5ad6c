"""What a collection of tasks is like, before anything is learned from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from skmeta.tasks import TaskTable, as_labels, separate_tasks
from skmeta.tasks._labels import is_missing
from skmeta.utils._tables import as_table, table_library

__all__ = ["TaskDescription", "describe_tasks"]

_MOST_CLASSES = 20  # whole numbers of more values than this are a quantity
_SCALES = 10.0  # an order of magnitude
_LEAST_ROWS = 5  # to tell the scale of a task
_FEW_TASKS = 20


@dataclass(frozen=True)
class TaskDescription:
    """What `describe_tasks` returns; printed, it is the summary.

    Parameters
    ----------
    table : data frame
        One row for each task.
    summary : str
        The collection in a few lines.
    """

    table: Any = field(repr=False)
    summary: str

    def __str__(self) -> str:
        return self.summary

    __repr__ = __str__


def describe_tasks(
    X: Any,
    y: Any,
    groups: Any = None,
    task_column: Hashable | None = None,
    *,
    n_shots: int = 5,
    task_type: str = "auto",
) -> TaskDescription:
    """Describe each task of a collection, and say what will hurt a learner.

    Look at it before anything else: what makes meta-learning fail is in the tasks more often
    than in the learner.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
        The rows of all tasks, with the task column if `task_column` names one.
    y : array-like of shape (n_samples,)
        Targets. Missing and infinite ones are counted and left out of all else.
    groups : array-like of shape (n_samples,), default=None
        The task of each row, if no column holds it.
    task_column : str or int, default=None
        The column of X that holds the tasks.
    n_shots : int, default=5
        Rows of a new task that will be known. Tasks of no more rows are pointed out.
    task_type : {"auto", "regression", "classification"}, default="auto"
        What y is. "auto" takes strings, booleans and up to 20 different whole numbers for
        classes.

    Returns
    -------
    description : TaskDescription
        ``print`` shows its `summary`, a str. Its `table` has one row for each task, in the order
        of the labels: `task`; `rows`; `target_mean` and `target_sd` (of the rows of the task, in
        the units of y, NaN for the sd of one row), or `classes` and `majority` (how many classes
        the task shows, and the share of the most frequent one); `missing` (missing values in its
        X and y); `warnings` (text, empty if there are none). It is a data frame of the library of
        X if X is one, else of pandas; only pandas keeps labels that are tuples or of several
        types, elsewhere they become strings.

    Raises
    ------
    ImportError
        If X is no data frame and pandas is not installed.
    ValueError
        If there is no task information or it comes twice, there are no rows or no targets, X is
        not two-dimensional, y has several columns, or a parameter is out of range.

    Notes
    -----
    A task gets a warning if it has

    - no more rows than `n_shots`: episodic learners never train on it, and it cannot be tested;
    - a constant target, or one class: nothing in it tells rows apart, and scores such as R2 or
      ROC AUC are undefined;
    - a standard deviation of the target more than 10 times above or below that of the median
      task (tasks of five rows and more): squared errors of large tasks drown all others. Divide
      by a scale that is known beforehand, or take logarithms;
    - missing values in X, which most learners refuse: impute them in a `Pipeline`;
    - missing targets, which no learner takes: leave those rows out;
    - infinite values in X or y, which every learner refuses.

    Examples
    --------
    >>> import skmeta
    >>> data = skmeta.load_gapminder()
    >>> print(skmeta.describe_tasks(data.data, data.target, groups=data.groups, n_shots=3))
    142 tasks, 1704 rows: 12 in each
    Regression: target mean 59.5, sd 12.9; sd within a task 2.22 to 14.1, median 6.18
    No warnings.
    """
    check_scalar(n_shots, "n_shots", Integral, min_val=1)
    if task_type not in ("auto", "regression", "classification"):
        raise ValueError(
            f"task_type={task_type!r} must be 'auto', 'regression' or 'classification'."
        )
    library = table_library(X, "describe_tasks")
    features, labels = separate_tasks(X, groups, task_column)
    if labels is None:
        raise ValueError(
            "Tasks are needed to describe them: set task_column to the column of X that holds "
            "them, or pass groups, one task label per row."
        )
    y = column_or_1d(y)
    check_consistent_length(labels, y)
    if len(labels) == 0:
        raise ValueError("X has no rows; there are no tasks to describe.")
    table = TaskTable.from_labels(labels)
    codes = table.codes
    unknown, infinite = _missing(y), _infinite(y)
    rows = np.flatnonzero(~(unknown | infinite))
    if len(rows) == 0:
        raise ValueError("y has no known, finite value; there is no target to describe.")
    y = as_labels(y[rows])  # numbers held as objects become numbers

    def in_tasks(values: NDArray[Any]) -> NDArray[np.int64]:
        return np.bincount(codes, values, table.n_tasks).astype(np.int64)

    n_missing, n_infinite = _count(_missing, features), _count(_infinite, features)
    notes = _Notes(table.n_tasks)
    notes.add(
        table.sizes <= n_shots,
        f"no more than n_shots={n_shots} rows",
        "episodic learners never train on them, and they cannot be tested",
    )
    if task_type == "classification" or (task_type == "auto" and _has_classes(y)):
        columns, line = _describe_classes(codes[rows], y, table.n_tasks, notes)
    else:
        columns, line = _describe_numbers(codes[rows], y, table.n_tasks, notes)
    for counts, found, consequence in (
        (n_missing, "missing values in X", "most learners refuse them; impute in a Pipeline"),
        (unknown, "missing targets", "no learner takes them; leave those rows out"),
        (n_infinite, "infinite values in X", "learners refuse them; find out what made them"),
        (infinite, "infinite targets", "learners refuse them; find out what made them"),
    ):
        notes.add(in_tasks(counts) > 0, found, consequence)
    table_of_tasks = {
        "task": table.labels,
        "rows": table.sizes,
        **columns,
        "missing": in_tasks(n_missing + unknown),
        "warnings": ["; ".join(texts) for texts in notes.by_task],
    }
    summary = "\n".join([_describe_sizes(table), line, *notes.summary(table.n_tasks)])
    return TaskDescription(as_table(table_of_tasks, library), summary)


class _Notes:
    """Warnings by task, and how often each was given."""

    def __init__(self, n_tasks: int) -> None:
        self.by_task: list[list[str]] = [[] for _ in range(n_tasks)]
        self.counts: dict[str, int] = {}

    def add(self, tasks: NDArray[np.bool_], found: str, consequence: str) -> None:
        for task in np.flatnonzero(tasks):
            self.by_task[task].append(found)
        if tasks.any():
            self.counts[f"{found}: {consequence}"] = int(tasks.sum())

    def summary(self, n_tasks: int) -> list[str]:
        lines = [f"{count} of {n_tasks} tasks have {text}." for text, count in self.counts.items()]
        if n_tasks < _FEW_TASKS:
            lines.append(f"{n_tasks} task(s) say little about what tasks share.")
        return [f"Warning: {line}" for line in lines] or ["No warnings."]


def _describe_sizes(table: TaskTable) -> str:
    least, middle, most = _quantiles(table.sizes)
    sizes = f"{least} in each" if least == most else f"{least} to {most} in each, median {middle}"
    return f"{table.n_tasks} tasks, {len(table.order)} rows: {sizes}"


def _describe_numbers(
    codes: NDArray[np.int64], y: NDArray[Any], n_tasks: int, notes: _Notes
) -> tuple[dict[str, Any], str]:
    y = y.astype(np.float64)
    count = np.bincount(codes, minlength=n_tasks)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(codes, y, n_tasks) / count
        sd = np.sqrt(np.bincount(codes, (y - mean[codes]) ** 2, n_tasks) / (count - 1))
    sd[count < 2] = np.nan
    # Rounding leaves a little of a constant.
    constant = (count > 1) & (sd <= 1e-12 * np.abs(mean))
    notes.add(constant, "a constant target", "nothing in it tells rows apart, and R2 is undefined")
    known = (count >= _LEAST_ROWS) & ~constant
    if known.any():
        ratio = sd / np.median(sd[known])
        notes.add(
            known & ((ratio > _SCALES) | (ratio < 1 / _SCALES)),
            f"a target sd {_SCALES:.0f} times above or below the median task's",
            "the largest drown the others in a squared error; rescale the target",
        )
    spread = y.std(ddof=1) if len(y) > 1 else np.nan
    line = f"Regression: target mean {y.mean():.3g}, sd {spread:.3g}"
    if not np.isnan(sd).all():
        least, middle, most = _quantiles(sd[~np.isnan(sd)])
        line += f"; sd within a task {least:.3g} to {most:.3g}, median {middle:.3g}"
    return {"target_mean": mean, "target_sd": sd}, line


def _describe_classes(
    codes: NDArray[np.int64], y: NDArray[Any], n_tasks: int, notes: _Notes
) -> tuple[dict[str, Any], str]:
    classes = TaskTable.from_labels(y)
    cells, counts = np.unique(codes * classes.n_tasks + classes.codes, return_counts=True)
    n_classes = np.bincount(cells // classes.n_tasks, minlength=n_tasks)
    most = np.zeros(n_tasks)
    np.maximum.at(most, cells // classes.n_tasks, counts)
    with np.errstate(invalid="ignore"):
        majority = most / np.bincount(codes, minlength=n_tasks)
    notes.add(n_classes == 1, "one class", "nothing in it tells rows apart; ROC AUC is undefined")
    least, middle, greatest = _quantiles(n_classes)
    shown = f"{least}" if least == greatest else f"{least} to {greatest} (median {middle})"
    line = f"Classification: {classes.n_tasks} classes, {shown} of them in each task"
    return {"classes": n_classes, "majority": majority}, line


def _has_classes(y: NDArray[Any]) -> bool:
    if y.dtype.kind not in "iuf":
        return True
    values = np.unique(y)
    return len(values) <= _MOST_CLASSES and bool((values == np.round(values)).all())


def _count(found: Callable[[NDArray[Any]], NDArray[np.bool_]], X: Any) -> NDArray[np.int64]:
    """Count the values of each row of X that are found."""
    if hasattr(X, "tocoo"):
        stored = X.tocoo()
        return np.bincount(stored.row[found(stored.data)], minlength=X.shape[0])
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        columns = [column.to_numpy() for column in frame.iter_columns()]
    else:
        array = np.asarray(X)
        if array.ndim != 2:
            raise ValueError(f"Expected 2D array, got {array.ndim}D array instead, as X.")
        columns = list(array.T)
    return np.sum([found(column) for column in columns], axis=0, dtype=np.int64)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "O":
        return np.fromiter(map(is_missing, values.tolist()), dtype=np.bool_, count=len(values))
    return values != values


def _infinite(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "O":
        found = (isinstance(value, float | np.floating) and np.isinf(value) for value in values)
        return np.fromiter(found, dtype=np.bool_, count=len(values))
    return np.isinf(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=np.bool_)


def _quantiles(values: NDArray[Any]) -> tuple[Any, Any, Any]:
    """Return the least, the median and the greatest; the median of counts is a count."""
    middle = np.quantile(values, 0.5, method="lower" if values.dtype.kind == "i" else "linear")
    return values.min(), middle, values.max()
