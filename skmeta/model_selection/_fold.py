"""One fold of an adaptation curve: held-out tasks, adapted to by more and more rows."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.utils.metadata_routing import get_routing_for_object

from skmeta.base import adapt
from skmeta.base._adapt import last_step
from skmeta.compose._columns import take_rows
from skmeta.metrics._by_task import scores_by_task
from skmeta.model_selection._episodic import EpisodicKFold
from skmeta.model_selection._rows import support_mask
from skmeta.tasks import TaskTable

__all__ = ["Fold", "FoldScores", "Rows", "make_folds", "score_fold"]


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
    """

    train: NDArray[np.intp]
    supports: list[NDArray[np.intp]]
    test: NDArray[np.intp]
    tasks: TaskTable

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
        return cls(np.flatnonzero(~held_out), supports, test, TaskTable.from_labels(codes[test]))


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


@dataclass(frozen=True)
class FoldScores:
    """What one fold gives.

    Parameters
    ----------
    tasks : ndarray of shape (n_tasks,)
        Numbers of the held-out tasks.
    scores : ndarray of shape (n_shots, n_tasks)
        Score of each.
    fit_times, adapt_times : ndarray of shape (n_shots,)
        Seconds.
    failures : list of str
        The traceback of each number of shots that failed.
    """

    tasks: NDArray[np.int64]
    scores: NDArray[np.float64]
    fit_times: NDArray[np.float64]
    adapt_times: NDArray[np.float64]
    failures: list[str]


def score_fold(
    estimator: Any, rows: Rows, fold: Fold, scoring: Any, error_score: float | str
) -> FoldScores:
    """Fit, adapt and score for each number of shots.

    Parameters
    ----------
    estimator : estimator
        It is cloned.
    rows : Rows
        All rows.
    fold : Fold
        Which of them are what.
    scoring : str or callable
        The metric by task.
    error_score : "raise" or float
        The score where something fails.

    Returns
    -------
    scores : FoldScores
    """
    n_shots = len(fold.supports)
    scores = np.empty((n_shots, fold.tasks.n_tasks))
    fit_times, adapt_times = np.zeros(n_shots), np.zeros(n_shots)
    failures = []
    test, fitted = rows.take(fold.test), None
    adapts = hasattr(last_step(estimator), "adapt")
    # Groups reach the steps of a pipeline or a search by routing, and only by routing.
    routing = nullcontext() if rows.groups is None else config_context(enable_metadata_routing=True)
    with routing:
        for number, support in enumerate(fold.supports):
            try:
                if fitted is None or not adapts:
                    train = fold.train if adapts else np.union1d(fold.train, support)
                    fitted, fit_times[number:] = _timed(_fit, estimator, rows.take(train))
                model = fitted
                if adapts:
                    known = rows.take(support)
                    model, adapt_times[number] = _timed(
                        adapt, fitted, known.X, known.y, known.groups
                    )
                scores[number] = scores_by_task(
                    scoring, model, test.X, test.y, fold.tasks, test.groups
                )
            except Exception:
                if error_score == "raise":
                    raise
                scores[number] = error_score
                failures.append(traceback.format_exc())
    return FoldScores(fold.tasks.labels, scores, fit_times, adapt_times, failures)


def _fit(estimator: Any, rows: Rows) -> Any:
    requested = get_routing_for_object(estimator).consumes("fit", ["groups"])
    given = {"groups": rows.groups} if rows.groups is not None and requested else {}
    return clone(estimator).fit(rows.X, rows.y, **given)


def _timed(call: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = call(*args)
    return result, time.perf_counter() - began
