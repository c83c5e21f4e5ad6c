"""Score against number of shots, on tasks never seen."""

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
from skmeta.model_selection._fold import Rows, make_folds, score_fold
from skmeta.model_selection._rows import class_codes, support_mask, task_codes
from skmeta.tasks import separate_tasks

__all__ = ["adaptation_curve", "as_seed", "check_shots"]


def adaptation_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    task_column: Hashable | None = None,
    shots: Sequence[int] = (1, 2, 5, 10),
    n_splits: int = 5,
    n_repeats: int = 1,
    support: str = "random",
    stratify: bool = False,
    scoring: str | Callable[..., float] | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    error_score: float | str = np.nan,
) -> Bunch:
    """Score an estimator on tasks never seen, by the number of their rows that it knows.

    It answers how many labelled rows a new task needs, and is the counterpart of scikit-learn's
    :func:`~sklearn.model_selection.learning_curve` for tables of many tasks. Whole tasks are held
    out as by `EpisodicKFold`. Of each held-out task a few rows (shots) are known, and the score
    of the others counts once per task. The curves of two estimators compare task by task if
    `random_state` is the same number: tasks, shots and test rows are then the same.

    An estimator that ends in a meta-learner is fitted once per fold, on the other tasks, and then
    adapted to each number of shots. Any other estimator, such as a pooled gradient boosting, is
    fitted anew for each number of shots, on the rows of the other tasks and the shots.

    Parameters
    ----------
    estimator : estimator
        A meta-learner, a `Pipeline` or a search that ends in one, or any other regressor or
        classifier. It is cloned.
    X : array-like or data frame of shape (n_samples, n_features)
        The rows of all tasks, with the task column if `task_column` names one. Estimators get
        that column too: a meta-learner must name it, any other one may use or drop it.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    groups : array-like of shape (n_samples,), default=None
        The task of each row, if no column holds it. It is passed to estimators that request it,
        as metadata routing does.
    task_column : str or int, default=None
        The column of X that holds the tasks.
    shots : sequence of int, default=(1, 2, 5, 10)
        Numbers of known rows of a held-out task; of each of its classes with `stratify`. Fewer
        shots are the first of more shots, and the test rows are the same for all of them.
        A task that has no more rows than the largest number is not held out but always trained on.
    n_splits : int, default=5
        Number of folds over tasks.
    n_repeats : int, default=1
        How often to deal the tasks and draw the shots anew. A task's score is the mean over
        repeats.
    support : {"random", "first"}, default="random"
        Which rows are known: drawn at random, or the first ones of the task in the order of X.
        "first" is forecasting, where the rows of each task are sorted by time.
    stratify : bool, default=False
        Count shots for each class of a task.
    scoring : str or callable, default=None
        A scorer's name, such as "r2" or "roc_auc", or a scorer from `make_scorer`, computed for
        each task. None is "neg_root_mean_squared_error" for a regressor and "accuracy" for a
        classifier; R2 within a task would weigh errors by how little its targets vary.
    random_state : int, RandomState instance or None, default=None
        Deals the tasks and draws the shots. An int gives the same ones every time.
    n_jobs : int, default=None
        Folds to work on at once; None means 1, -1 all processors.
    error_score : "raise" or float, default=nan
        The score of the tasks for which fit, adapt or prediction fails, with a
        `FitFailedWarning`; "raise" raises the error.

    Returns
    -------
    curve : :class:`~sklearn.utils.Bunch`
        - `shots`, ndarray of shape (n_shots,): in increasing order;
        - `scores`, ndarray of shape (n_shots, n_tasks): the score of each held-out task, greater
          is better, NaN where it is undefined;
        - `tasks`, ndarray of shape (n_tasks,): their labels;
        - `n_left_out`, int: how many tasks are too small to be held out;
        - `fit_times`, ndarray of shape (n_shots, n_folds): seconds of the fit behind each number
          of shots. The one fit of a meta-learner stands in each row;
        - `adapt_times`, ndarray of shape (n_shots, n_folds): seconds to adapt to all held-out
          tasks of a fold at once; 0 for an estimator that is fitted anew;
        - `scoring`, str or callable: the metric.

    Raises
    ------
    ValueError
        If there is no task information or it comes twice, too few tasks are large enough, a
        parameter is out of range, a meta-learner does not know the task column, or every fit
        fails.

    Warns
    -----
    UserWarning
        If some tasks are too small to be held out.
    UndefinedMetricWarning
        If the metric is undefined for some tasks, such as ROC AUC of one class.
    FitFailedWarning
        If the estimator fails on some folds or numbers of shots.

    See Also
    --------
    AdaptationCurveDisplay : Draws the curve.
    compare_learners : A table of several learners and baselines.
    EpisodicKFold : The same splits for any tool of scikit-learn.

    Notes
    -----
    With many tasks, ``scores.mean(axis=1)`` ± 1.96 ``scores.std(axis=1) / sqrt(n_tasks)`` is a
    95 % interval over tasks: tasks are drawn independently, rows of one task are not. It does not
    cover what another draw of the training tasks would change.

    With `EpisodicKFold` in any other tool of scikit-learn, the known rows of held-out tasks are
    part of the fit. Learners that train on episodes never use tasks of so few rows for
    meta-training, so for them it is the same; others learn from the known rows what tasks share
    too. Here they never do, as when new tasks come in after the fit.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(100, 12, 3, random_state=0)
    >>> curve = skmeta.adaptation_curve(
    ...     skmeta.EmpiricalBayesRegressor(),
    ...     tasks.data,
    ...     tasks.target,
    ...     groups=tasks.groups,
    ...     shots=(1, 5, 10),
    ...     random_state=0,
    ... )
    >>> curve.scores.shape
    (3, 100)
    >>> bool((curve.scores.mean(axis=1)[1:] > curve.scores.mean(axis=1)[:-1]).all())
    True
    """
    scoring = _default_scoring(estimator) if scoring is None else scoring
    check_metric(scoring)
    ticks = check_shots(shots)
    y = np.asarray(y)
    check_consistent_length(X, y)
    codes = task_codes(X, groups, task_column)
    labels = np.asarray(separate_tasks(X, groups, task_column)[1])
    _check_task_column(estimator, groups, task_column)
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
    _report_failures([failure for fold in found for failure in fold.failures], ticks, len(found))
    by_repeat = np.full((n_repeats, len(ticks), int(codes.max()) + 1), np.nan)
    for number, fold in enumerate(found):
        by_repeat[number // n_splits][:, fold.tasks] = fold.scores
    held_out = np.unique(np.concatenate([fold.tasks for fold in found]))
    scores = _mean_of_defined(by_repeat[:, :, held_out])
    undefined = int(np.isnan(scores).any(axis=0).sum())
    if undefined and not any(fold.failures for fold in found):
        warnings.warn(
            f"{scoring} is undefined for {undefined} of {len(held_out)} tasks; their scores are "
            "NaN.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    return Bunch(
        shots=ticks,
        scores=scores,
        tasks=labels[np.unique(codes, return_index=True)[1]][held_out],
        n_left_out=n_left_out,
        fit_times=np.stack([fold.fit_times for fold in found], axis=1),
        adapt_times=np.stack([fold.adapt_times for fold in found], axis=1),
        scoring=scoring,
    )


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


def check_shots(shots: Sequence[int]) -> NDArray[np.int64]:
    """Return numbers of known rows, sorted, each once."""
    for number in shots:
        check_scalar(number, "shots", Integral, min_val=1)
    if len(shots) == 0:
        raise ValueError("shots is empty; give at least one number of known rows.")
    return np.unique(np.asarray(shots, dtype=np.int64))


def _check_task_column(estimator: Any, groups: Any, task_column: Hashable | None) -> None:
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
            stacklevel=3,
        )
    return n_tasks - enough


def _report_failures(failures: list[str], shots: NDArray[np.int64], n_folds: int) -> None:
    if not failures:
        return
    n_fits = len(shots) * n_folds
    said = f"{len(failures)} of {n_fits} fits or adaptations failed"
    advice = 'Set error_score="raise" to see where. The first failure was:'
    if len(failures) == n_fits:
        raise ValueError(f"All {said}. {advice}\n{failures[0]}")
    warnings.warn(f"{said}. {advice}\n{failures[0]}", FitFailedWarning, stacklevel=3)


def _mean_of_defined(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the first dimension, without a warning where nothing is defined."""
    defined = ~np.isnan(scores)
    total, count = np.where(defined, scores, 0.0).sum(axis=0), defined.sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
