"""Row numbers of folds: held-out tasks, of which more and more rows are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta.compose._columns import take_rows
from skmeta.model_selection._episodic import EpisodicKFold
from skmeta.model_selection._rows import support_mask
from skmeta.tasks import TaskTable, as_labels

__all__ = ["Fold", "Rows", "make_folds"]


@dataclass(frozen=True)
class Rows:
    """All rows of all tasks.

    Parameters
    ----------
    X : array-like or data frame of shape (n_samples, n_features)
        As estimators get it.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    groups : ndarray of shape (n_samples,) or None
        What estimators get as groups; None if the task is a column of X.
    """

    X: Any
    y: NDArray[Any]
    groups: NDArray[Any] | None

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Rows(take_rows(self.X, rows), self.y[rows], groups)


@dataclass(frozen=True)
class Fold:
    """Row numbers of one fold.

    Parameters
    ----------
    train : ndarray
        All rows of the tasks that are not held out.
    supports : list of ndarray
        For each number of shots, the known rows of the held-out tasks.
    test : ndarray
        The rows of the held-out tasks to predict.
    tasks : TaskTable
        Which of the rows in `test` belong to which task.
    codes : ndarray of shape (n_samples,)
        The task of each of all rows.
    """

    train: NDArray[np.intp]
    supports: list[NDArray[np.intp]]
    test: NDArray[np.intp]
    tasks: TaskTable
    codes: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        codes: NDArray[np.int64],
        cells: NDArray[np.int64],
        test: NDArray[np.intp],
        shots: NDArray[np.int64],
        seed: int | None,
    ) -> Fold:
        """Draw nested supports from the rows of held-out tasks that are not in `test`.

        Parameters
        ----------
        codes, cells : ndarray of shape (n_samples,)
            The task of each row, and what shots are counted in: the task, or task and class.
        test : ndarray
            The rows to predict.
        shots : ndarray of shape (n_shots,)
            Numbers of known rows.
        seed : int or None
            Draws the rows; None takes the first ones.

        Returns
        -------
        fold : Fold
        """
        held_out = np.isin(codes, codes[test])
        known = np.setdiff1d(np.flatnonzero(held_out), test)
        supports = []
        for n_shots in shots.tolist():
            # From one seed, all numbers of shots see one order of the rows: the draws are nested.
            generator = None if seed is None else np.random.RandomState(seed)
            supports.append(known[support_mask(cells[known], n_shots, generator)])
        tasks = TaskTable.from_labels(codes[test])
        return cls(np.flatnonzero(~held_out), supports, test, tasks, codes)

    def only(self, wanted: NDArray[np.bool_]) -> Fold:
        """Return the fold with no more than some of its held-out rows; `wanted` is of all rows."""
        *supports, test = (rows[wanted[rows]] for rows in (*self.supports, self.test))
        return Fold(self.train, supports, test, TaskTable.from_labels(self.codes[test]), self.codes)

    def of_known_classes(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell of each held-out task whether the training tasks show all its classes."""
        classes = as_labels(y)
        rows = np.concatenate([self.supports[-1], self.test])
        unseen = TaskTable.from_labels(classes[self.train]).lookup(classes[rows]) < 0
        return ~np.isin(self.tasks.labels, self.codes[rows[unseen]])


def make_folds(
    y: NDArray[Any],
    codes: NDArray[np.int64],
    cells: NDArray[np.int64],
    shots: NDArray[np.int64],
    *,
    n_splits: int,
    n_repeats: int = 1,
    support: str = "random",
    stratify: bool,
    random_state: np.random.RandomState,
) -> list[Fold]:
    """Deal tasks into folds and draw their shots.

    Parameters
    ----------
    y : ndarray of shape (n_samples, ...)
        Targets.
    codes, cells : ndarray of shape (n_samples,)
        The task of each row, and what shots are counted in: the task, or task and class.
    shots : ndarray of shape (n_shots,)
        Numbers of known rows, in increasing order.
    n_splits, n_repeats, support, stratify
        As in `adaptation_curve`.
    random_state : RandomState
        Deals and draws.

    Returns
    -------
    folds : list of Fold
        Of the first repeat, then of the next.
    """
    splitter = EpisodicKFold(
        n_splits,
        int(shots[-1]),
        support=support,
        stratify=stratify,
        n_repeats=n_repeats,
        random_state=random_state,
    )
    tests = [test for _, test in splitter.split(codes, y, codes)]
    seeds = random_state.randint(2**31 - 1, size=len(tests)).tolist()
    return [
        Fold.of(codes, cells, test, shots, seed if support == "random" else None)
        for test, seed in zip(tests, seeds, strict=True)
    ]
