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
from sklearn.base import clone, is_classifier
from sklearn.utils.metadata_routing import get_routing_for_object

from skmeta.base import adapt
from skmeta.base._adapt import last_step
from skmeta.metrics._by_task import scores_by_task
from skmeta.model_selection._folds import Fold, Rows

__all__ = ["FoldScores", "score_fold"]


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
    foreign : ndarray
        Numbers of the tasks with classes of their own, on which the estimator failed.
    """

    tasks: NDArray[np.int64]
    scores: NDArray[np.float64]
    fit_times: NDArray[np.float64]
    adapt_times: NDArray[np.float64]
    failures: list[str]
    foreign: NDArray[np.int64]


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
    n_shots, n_tasks = len(fold.supports), fold.tasks.n_tasks
    scores, left_out = np.empty((n_shots, n_tasks)), np.zeros(n_tasks, dtype=np.bool_)
    trial, failures = _Trial(estimator, rows, scoring, n_shots), []
    # Groups reach the steps of a pipeline or a search by routing, and only by routing.
    routing = nullcontext() if rows.groups is None else config_context(enable_metadata_routing=True)
    with routing:
        for number in range(n_shots):
            try:
                scores[number] = trial.score(fold, number)
            except Exception:
                if error_score == "raise":
                    raise
                scores[number] = error_score
                failure = traceback.format_exc()
                part = trial.of_known_classes(fold, number)
                if part is None:
                    failures.append(failure)
                else:
                    scores[number, part[0]] = part[1]
                    left_out |= ~part[0]
    if left_out.any():  # for any number of shots: a curve is of the same tasks throughout
        scores[:, left_out] = error_score
    labels = fold.tasks.labels
    return FoldScores(
        labels, scores, trial.fit_times, trial.adapt_times, failures, labels[left_out]
    )


class _Trial:
    """An estimator, fitted when it has to be, and the seconds that took."""

    def __init__(self, estimator: Any, rows: Rows, scoring: Any, n_shots: int) -> None:
        self.estimator, self.rows, self.scoring = estimator, rows, scoring
        self.adapts = hasattr(last_step(estimator), "adapt")
        self.fitted: Any = None
        self.fit_times, self.adapt_times = np.zeros(n_shots), np.zeros(n_shots)

    def score(self, fold: Fold, number: int) -> NDArray[np.float64]:
        """Score the held-out tasks, of which a number of shots is known."""
        support, test = fold.supports[number], self.rows.take(fold.test)
        if self.fitted is None or not self.adapts:
            train = fold.train if self.adapts else np.union1d(fold.train, support)
            self.fitted, self.fit_times[number:] = _timed(
                _fit, self.estimator, self.rows.take(train)
            )
        model = self.fitted
        if self.adapts:
            known = self.rows.take(support)
            model, self.adapt_times[number] = _timed(adapt, model, known.X, known.y, known.groups)
        return scores_by_task(self.scoring, model, test.X, test.y, fold.tasks, test.groups)

    def of_known_classes(
        self, fold: Fold, number: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Score the tasks of which training tasks show all classes, and say which these are.

        None if the estimator fails on them too, or there are no others.
        """
        if not is_classifier(self.estimator) or (self.adapts and self.fitted is None):
            return None
        try:
            known = fold.of_known_classes(self.rows.y)
            if known.all():
                return None
            wanted = np.isin(fold.codes, fold.tasks.labels[known])
            return known, self.score(fold.only(wanted), number)
        except Exception:  # foreign classes were not the reason, or not the only one
            return None


def _fit(estimator: Any, rows: Rows) -> Any:
    requested = get_routing_for_object(estimator).consumes("fit", ["groups"])
    given = {"groups": rows.groups} if rows.groups is not None and requested else {}
    return clone(estimator).fit(rows.X, rows.y, **given)


def _timed(call: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = call(*args)
    return result, time.perf_counter() - began
