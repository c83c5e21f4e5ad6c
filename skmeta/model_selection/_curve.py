"""The curve of one learner, and what of it failed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.utils import Bunch, check_consistent_length, check_random_state, check_scalar
from sklearn.utils.parallel import Parallel, delayed

from skmeta.base._adapt import last_step
from skmeta.model_selection._fold import score_fold
from skmeta.model_selection._folds import Rows, make_folds
from skmeta.model_selection._rows import class_codes, support_mask, task_codes
from skmeta.tasks import separate_tasks

__all__ = [
    "as_seed",
    "check_metric",
    "check_shots",
    "check_task_column",
    "compute_curve",
    "describe_failures",
]


def compute_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any,
    task_column: Hashable | None,
    shots: int | Sequence[int],
    n_splits: int,
    n_repeats: int,
    support: str,
    stratify: bool,
    scoring: str | Callable[..., float] | None,
    random_state: int | np.random.RandomState | None,
    n_jobs: int | None,
    error_score: float | str,
    learner: str,
) -> tuple[Bunch, list[str]]:
    """Compute what `adaptation_curve` returns, and the tracebacks of the fits that failed.

    Parameters
    ----------
    estimator, X, y, groups, task_column, shots, n_splits, n_repeats, support, stratify
        As in `adaptation_curve`.
    scoring, random_state, n_jobs, error_score
        As in `adaptation_curve`.
    learner : str
        What to call the estimator in warnings.

    Returns
    -------
    curve : Bunch
    failures : list of str
    """
    scoring = _default_scoring(estimator) if scoring is None else scoring
    check_metric(scoring)
    ticks = check_shots(shots)
    y = np.asarray(y)
    check_consistent_length(X, y)
    codes = task_codes(X, groups, task_column)
    labels = np.asarray(separate_tasks(X, groups, task_column)[1])
    check_task_column(estimator, groups, task_column)
    cells = codes
    if stratify:
        classes = class_codes(y)
        cells = codes * (classes.max() + 1) + classes
    n_left_out = _count_left_out(codes, cells, int(ticks[-1]), n_splits)
    folds = make_folds(
        y,
        codes,
        cells,
        ticks,
        n_splits=n_splits,
        n_repeats=n_repeats,
        support=support,
        stratify=stratify,
        random_state=check_random_state(random_state),
    )
    rows = Rows(X, y, labels if task_column is None else None)
    found = Parallel(n_jobs=n_jobs)(
        delayed(score_fold)(estimator, rows, fold, scoring, error_score) for fold in folds
    )
    by_repeat = np.full((n_repeats, len(ticks), int(codes.max()) + 1), np.nan)
    for number, fold in enumerate(found):
        by_repeat[number // n_splits][:, fold.tasks] = fold.scores
    held_out = np.unique(np.concatenate([fold.tasks for fold in found]))
    scores = _mean_of_defined(by_repeat[:, :, held_out])
    failures = [failure for fold in found for failure in fold.failures]
    foreign = np.unique(np.concatenate([fold.foreign for fold in found]))
    if len(foreign):
        warnings.warn(
            f"{learner} fails on classes that no training task shows, and {len(foreign)} of "
            f"{len(held_out)} tasks have some; their scores are {error_score}.",
            FitFailedWarning,
            stacklevel=3,
        )
    undefined = int(np.isnan(scores).any(axis=0).sum())
    if undefined and not failures and not len(foreign):
        warnings.warn(
            f"{scoring} is undefined for {undefined} of {len(held_out)} tasks; their scores are "
            "NaN.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
    curve = Bunch(
        shots=ticks,
        scores=scores,
        tasks=labels[np.unique(codes, return_index=True)[1]][held_out],
        n_left_out=n_left_out,
        fit_times=np.stack([fold.fit_times for fold in found], axis=1),
        adapt_times=np.stack([fold.adapt_times for fold in found], axis=1),
        scoring=scoring,
    )
    return curve, failures


def describe_failures(curve: Bunch, failures: list[str]) -> str:
    """Say how many fits failed, and the first of the reasons."""
    said = f"{len(failures)} of {curve.fit_times.size} fits or adaptations failed"
    return f'{said}. Set error_score="raise" to see where. The first failure was:\n{failures[0]}'


def as_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return a number, for several curves over the same draws."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _default_scoring(estimator: Any) -> str:
    """Return the metric by task that suits most users."""
    if is_classifier(estimator):
        return "accuracy"
    if is_regressor(estimator):
        return "neg_root_mean_squared_error"
    raise ValueError(
        f"scoring=None needs a regressor or a classifier, got {type(estimator).__name__}; "
        "name a scorer."
    )


def check_metric(scoring: str | Callable[..., float]) -> None:
    """Raise an error if there is no such scorer, or it is none of the rows of one task."""
    scorer = get_scorer(scoring)
    if hasattr(scorer, "aggregate"):
        raise ValueError(f"scoring={scorer!r} is computed by task already; give its metric alone.")


def check_shots(shots: int | Sequence[int]) -> NDArray[np.int64]:
    """Return numbers of known rows, sorted, each once."""
    numbers = np.atleast_1d(np.asarray(shots, dtype=object)).tolist()
    for number in numbers:
        check_scalar(number, "shots", Integral, min_val=1)
    if not numbers:
        raise ValueError("shots is empty; give at least one number of known rows.")
    return np.unique(np.asarray(numbers, dtype=np.int64))


def check_task_column(estimator: Any, groups: Any, task_column: Hashable | None) -> None:
    learner = last_step(estimator)
    own = getattr(learner, "task_column", task_column)
    if task_column is not None and own is None:
        raise ValueError(
            f"task_column={task_column!r}, but the {type(learner).__name__} has task_column=None "
            "and would take all rows for one task; set it there too."
        )
    if groups is not None and own is not None:
        raise ValueError(
            f"groups were given, but the {type(learner).__name__} has task_column={own!r}; "
            "name the tasks in one way only."
        )


def _count_left_out(
    codes: NDArray[np.int64], cells: NDArray[np.int64], most: int, n_splits: int
) -> int:
    n_tasks = int(codes.max()) + 1
    enough = len(np.unique(codes[~support_mask(cells, most, None)]))
    if enough < n_splits:
        raise ValueError(
            f"shots goes up to {most}, and only {enough} of {n_tasks} tasks have more rows than "
            f"that to be tested on; n_splits={n_splits} folds need as many. Ask for fewer shots."
        )
    if enough < n_tasks:
        warnings.warn(
            f"{n_tasks - enough} of {n_tasks} tasks have no more rows than the largest number of "
            f"shots, {most}; they are trained on but never held out.",
            UserWarning,
            stacklevel=4,
        )
    return n_tasks - enough


def _mean_of_defined(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the first dimension, without a warning where nothing is defined."""
    defined = ~np.isnan(scores)
    total, count = np.where(defined, scores, 0.0).sum(axis=0), defined.sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
