"""Try candidates one by one within a time budget, and choose by paired differences."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning

from skmeta.metrics._interval import mean_over_tasks
from skmeta.model_selection._fold import score_fold
from skmeta.model_selection._folds import Fold, Rows

__all__ = [
    "Trial",
    "as_seconds",
    "failure",
    "leaderboard",
    "leave_out_undefined",
    "ranking",
    "shortcomings",
    "try_candidates",
]


@dataclass
class Trial:
    """What is known of a candidate.

    Parameters
    ----------
    name : str
        Its name.
    scores : ndarray of shape (n_shots, n_tasks) or None
        By task; None if not all folds were done.
    seconds : float
        What the folds took.
    status : str
        "ok", "skipped: ..." or "failed: ...".
    needed : float, default=0.0
        Seconds that it would have taken, if it was skipped for lack of time; infinity if not even
        one fold was done.
    """

    name: str
    scores: NDArray[np.float64] | None
    seconds: float
    status: str
    needed: float = 0.0

    def __str__(self) -> str:
        said = self.status
        if self.scores is not None and not np.isnan(self.scores).all():
            said = f"score {np.nanmean(self.scores):.4g}"
        return f"{self.name}: {said} ({as_seconds(self.seconds)})"


def try_candidates(
    candidates: Mapping[str, Any],
    rows: Rows,
    folds: Sequence[Fold],
    scoring: str | Callable[..., float],
    time_budget: float,
) -> Iterator[Trial]:
    """Score candidates in their order, skipping those that the rest of the budget is too short for.

    The budget does not count for the first one, so that there mostly is an answer.

    Parameters
    ----------
    candidates : dict of str to estimator
        Simple ones first.
    rows : Rows
        All rows.
    folds : sequence of Fold
        Which of them are what; none if tasks cannot be held out.
    scoring : str or callable
        The metric of a task.
    time_budget : float
        Seconds.

    Yields
    ------
    trial : Trial
        Of each candidate, in their order.
    """
    began = time.perf_counter()
    for number, (name, candidate) in enumerate(candidates.items()):
        if not folds:
            yield Trial(name, None, 0.0, "skipped: fewer than two tasks can be held out")
            continue
        left = time_budget - (time.perf_counter() - began) if number else np.inf
        yield _try(name, candidate, rows, folds, scoring, left)


def _try(
    name: str,
    candidate: Any,
    rows: Rows,
    folds: Sequence[Fold],
    scoring: str | Callable[..., float],
    left: float,
) -> Trial:
    if left <= 0:
        return Trial(name, None, 0.0, "skipped: no time left", np.inf)
    began, parts = time.perf_counter(), []
    for fold in folds:
        try:
            # What concerns the chosen candidate is said again when it is refitted.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parts.append(score_fold(candidate, rows, fold, scoring, "raise"))
        except Exception as error:
            return Trial(name, None, time.perf_counter() - began, failure(error))
        spent = time.perf_counter() - began
        needed = (len(folds) + 1) * spent  # the other folds and a refit
        if len(parts) == 1 and needed > left:
            said = f"skipped: {as_seconds(needed)} needed, {as_seconds(left)} left"
            return Trial(name, None, spent, said, needed)
    order = np.argsort(np.concatenate([part.tasks for part in parts]))
    scores = np.concatenate([part.scores for part in parts], axis=1)[:, order]
    return Trial(name, scores, time.perf_counter() - began, "ok")


def leave_out_undefined(trials: Sequence[Trial], scoring: str | Callable[..., float]) -> None:
    """Compare on the tasks for which the metric is defined, such as ROC AUC of two classes.

    Parameters
    ----------
    trials : sequence of Trial
        Their scores lose the other tasks.
    scoring : str or callable
        The metric.

    Raises
    ------
    ValueError
        If fewer than two tasks are left.
    """
    scores = [trial.scores for trial in trials if trial.scores is not None]
    if not scores:
        return
    defined = ~np.isnan(np.concatenate(scores)).any(axis=0)
    n_tasks, n_defined = defined.size, int(defined.sum())
    if n_defined < 2:
        raise ValueError(
            f"scoring={scoring!r} is defined for {n_defined} of {n_tasks} held-out tasks, and at "
            "least 2 are needed; take a metric that a few rows of one task allow."
        )
    if n_defined < n_tasks:
        warnings.warn(
            f"{scoring} is undefined for {n_tasks - n_defined} of {n_tasks} held-out tasks; "
            "candidates are compared on the others.",
            UndefinedMetricWarning,
            stacklevel=5,
        )
    for trial in trials:
        trial.scores = None if trial.scores is None else trial.scores[:, defined]


def failure(error: Exception) -> str:
    """Return the status of a candidate that raised an error."""
    first_line = (str(error).splitlines() or [""])[0]
    return f"failed: {type(error).__name__}: {first_line}"


def as_seconds(seconds: float) -> str:
    """Return a time to be read by people."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def shortcomings(trials: Sequence[Trial], chosen: Trial, *, tasks_told: bool) -> Iterator[str]:
    """Say what to know of a search before its choice is relied on.

    Parameters
    ----------
    trials : sequence of Trial
        All of them.
    chosen : Trial
        The one that was fitted.
    tasks_told : bool
        Whether the rows are of more than one task.

    Yields
    ------
    said : str
        A sentence or two for a warning.
    """
    if not tasks_told:
        yield (
            "All rows are one task: no learner could be tried on tasks held out, and "
            f"{chosen.name!r} was fitted without comparison. Pass groups, or set task_column, to "
            "say which rows belong together."
        )
        return
    if chosen.scores is None:
        reasons = dict.fromkeys(trial.status for trial in trials)
        yield (
            f"No learner has a score on tasks held out; {chosen.name!r} was chosen as the first "
            f"that can be fitted. {'; '.join(list(reasons)[:2])}."
        )
    skipped = [trial for trial in trials if trial.needed]
    if skipped:
        spent = sum(trial.seconds for trial in trials if not trial.needed)
        total = spent + sum(trial.needed for trial in skipped)
        enough = "A longer time_budget"
        if np.isfinite(total):
            enough = f"A time_budget of about {as_seconds(total)}"
        yield (
            f"{len(skipped)} of {len(trials)} candidates were skipped for lack of time: "
            f"{', '.join(trial.name for trial in skipped)}. {enough} would try them."
        )


def ranking(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials in the order in which to take them, the chosen one first.

    The chosen one is the first, thus simplest, of those that the best one beats by no more than
    one standard error of the difference, in pairs over tasks. The others follow by score. Without
    any scores, trials stay in their order: what fails on a fold, as where its training rows show
    one class, may do on all rows.
    """
    by_task = {
        trial.name: trial.scores.mean(axis=0) for trial in trials if trial.scores is not None
    }
    finished = [trial for trial in trials if trial.name in by_task]
    if not finished:
        return list(trials)
    best = max(by_task.values(), key=np.mean)
    for trial in finished:
        difference = best - by_task[trial.name]
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        if difference.mean() <= error:
            chosen = trial
            break
    others = [trial for trial in finished if trial is not chosen]
    others.sort(key=lambda trial: -float(by_task[trial.name].mean()))
    return [chosen, *others]


def leaderboard(
    trials: Sequence[Trial], chosen: Trial, shots: NDArray[np.int64]
) -> dict[str, list[Any]]:
    """Return the columns of the table that users see."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("learner", "shots", "score", "low", "high", "difference"),
            *("seconds", "status"),
        )
    }
    nothing = np.full((len(shots), 2), np.nan)
    for trial in trials:
        scores = nothing if trial.scores is None else trial.scores
        difference = nothing
        if trial.scores is not None and chosen.scores is not None:
            difference = trial.scores - chosen.scores
        mean, half = mean_over_tasks(scores)
        columns["learner"] += [trial.name] * len(shots)
        columns["shots"] += shots.tolist()
        columns["score"] += mean.tolist()
        columns["low"] += (mean - half).tolist()
        columns["high"] += (mean + half).tolist()
        columns["difference"] += mean_over_tasks(difference)[0].tolist()
        columns["seconds"] += [trial.seconds] * len(shots)
        columns["status"] += ["chosen" if trial is chosen else trial.status] * len(shots)
    return columns
