"""Learners and baselines side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import FitFailedWarning

from skmeta.metrics._interval import mean_over_tasks
from skmeta.metrics._paired_test import holm, paired_test
from skmeta.model_selection._baselines import make_baselines
from skmeta.model_selection._curve import (
    as_seed,
    check_task_column,
    compute_curve,
    describe_failures,
)
from skmeta.utils._tables import as_table, table_library

__all__ = ["compare_learners"]


def compare_learners(
    learners: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    task_column: Hashable | None = None,
    shots: int | Sequence[int] = (1, 2, 5, 10),
    n_splits: int = 5,
    n_repeats: int = 1,
    support: str = "random",
    stratify: bool = False,
    scoring: str | Callable[..., float] | None = None,
    baselines: bool = True,
    reference: str | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    error_score: float | str = np.nan,
) -> Any:
    """Compare learners on tasks never seen, with each other and with classical baselines.

    It answers whether meta-learning is worth it for a collection. All learners meet the same
    held-out tasks, the same known rows of them (shots) and the same test rows, as in
    `adaptation_curve`, so that they are compared task by task. The baselines are:

    - "pooled linear" and "pooled boosting": one model for all rows that ignores tasks
      (`Ridge` or `LogisticRegression`, and `HistGradientBoostingRegressor` or `-Classifier`).
      If nothing beats them, tasks do not differ, or not in a way that a few rows tell;
    - "per-task linear": `Ridge` or `LogisticRegression` on the known rows of the task alone,
      its penalty tuned on the training tasks.
      If nothing beats it, tasks share nothing;
    - "mixed effects": `EmpiricalBayesRegressor` or `-Classifier`, between the two. A deep learner
      that does not beat it does not earn its time.

    Parameters
    ----------
    learners : dict of str to estimator
        What `adaptation_curve` takes, under the names to show. A learner with the name of a
        baseline replaces it.
    X : array-like or data frame of shape (n_samples, n_features)
        The rows of all tasks, with the task column if `task_column` names one. The baselines
        need numbers; they impute missing values.
    y : array-like of shape (n_samples,)
        Targets.
    groups : array-like of shape (n_samples,), default=None
        The task of each row, if no column holds it.
    task_column : str or int, default=None
        The column of X that holds the tasks.
    shots : int or sequence of int, default=(1, 2, 5, 10)
        Numbers of known rows of a held-out task; of each of its classes with `stratify`.
    n_splits : int, default=5
        Number of folds over tasks.
    n_repeats : int, default=1
        How often to deal the tasks and draw the shots anew.
    support : {"random", "first"}, default="random"
        Which rows are known: drawn at random, or the first ones (forecasting).
    stratify : bool, default=False
        Count shots for each class of a task.
    scoring : str or callable, default=None
        The metric of a task; None is "neg_root_mean_squared_error" for regressors and "accuracy"
        for classifiers.
    baselines : bool, default=True
        Whether to include the baselines.
    reference : str, default=None
        The name of the learner or baseline that all others are tested against. None is "pooled
        boosting", or the first of `learners` without baselines.
    random_state : int, RandomState instance or None, default=None
        Deals the tasks and draws the shots. An int gives the same ones every time.
    n_jobs : int, default=None
        Folds to work on at once; None means 1, -1 all processors.
    error_score : "raise" or float, default=nan
        The score of the tasks for which fit, adapt or prediction of a learner fails, with a
        `FitFailedWarning` that names it; the others are compared all the same. "raise" raises the
        error.

    Returns
    -------
    table : data frame
        One row for each learner and number of shots, of the library of X if X is a data frame,
        else of pandas. Its columns:

        - `learner`, `shots`;
        - `score`: the mean over tasks, greater is better (errors are negative);
        - `low`, `high`: its 95 % interval over tasks;
        - `difference`: mean over tasks of the score minus that of `reference`. Its sign and test
          count, even where the intervals of two learners overlap: tasks that are hard for one
          are hard for the other;
        - `p_value`: of a paired t-test over tasks that this is zero, adjusted for all tests in the
          table by Holm's method; NaN for `reference` itself;
        - `n_tasks`: held-out tasks with a score;
        - `fit_seconds`, `adapt_seconds`: of a fold, mean over folds. For an estimator that cannot
          adapt the fit is what every new support costs.

    Raises
    ------
    ImportError
        If X is no data frame and pandas is not installed.
    ValueError
        If there are no learners, or classifiers among regressors, if `reference` is none of
        them, and where `adaptation_curve` raises it; fits that fail do so only if all fail.

    Warns
    -----
    FitFailedWarning
        If a learner fails, as in `adaptation_curve`.

    See Also
    --------
    adaptation_curve : The scores of each task, for one learner.
    AdaptationCurveDisplay.from_comparison : Draws the table.
    describe_tasks : What to look at before.

    References
    ----------
    .. [1] S. Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
       Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> from sklearn.svm import SVR
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(40, 12, 3, random_state=0)
    >>> table = skmeta.compare_learners(
    ...     {"pooled SVR": SVR()},
    ...     tasks.data,
    ...     tasks.target,
    ...     groups=tasks.groups,
    ...     shots=(1, 5),
    ...     reference="pooled SVR",
    ...     random_state=0,
    ... )
    >>> table.loc[table["score"].idxmax(), "learner"]
    'mixed effects'
    """
    if not isinstance(learners, Mapping) or not learners:
        raise ValueError(
            f"learners={learners!r} must be a dict {{name: estimator}} of at least one."
        )
    kinds = {is_classifier(learner) for learner in learners.values()}
    if len(kinds) > 1:
        raise ValueError("learners has classifiers and regressors; compare one kind at a time.")
    library = table_library(X, "compare_learners")
    entries = dict(learners)
    if baselines:
        added = make_baselines(task_column, support=support, classification=kinds.pop())
        entries = {**learners, **{k: v for k, v in added.items() if k not in learners}}
    if reference is None:
        reference = "pooled boosting" if baselines else next(iter(learners))
    if reference not in entries:
        raise ValueError(f"reference={reference!r} must be one of {list(entries)}.")
    for name, learner in entries.items():
        with _named(name):
            check_task_column(learner, groups, task_column)
    seed = as_seed(random_state)  # all learners meet the same tasks
    curves, n_broken = {}, 0
    for name, learner in entries.items():
        with _named(name):
            curve, failures = compute_curve(
                learner,
                X,
                y,
                groups=groups,
                task_column=task_column,
                shots=shots,
                n_splits=n_splits,
                n_repeats=n_repeats,
                support=support,
                stratify=stratify,
                scoring=scoring,
                random_state=seed,
                n_jobs=n_jobs,
                error_score=error_score,
                learner=f"The learner {name!r}",
            )
        curves[name] = curve
        if failures:
            said = f"The learner {name!r}: {describe_failures(curve, failures)}"
            n_broken += len(failures) == curve.fit_times.size
            if n_broken == len(entries):
                raise ValueError(f"Not one fit of any learner succeeded. {said}")
            warnings.warn(said, FitFailedWarning, stacklevel=2)
    return as_table(_columns(curves, curves[reference]), library)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Add to an error which learner it was."""
    try:
        yield
    except Exception as error:
        error.add_note(f"The learner was {name!r}.")
        raise


def _columns(curves: dict[str, Any], reference: Any) -> dict[str, Any]:
    names, every = list(curves), list(curves.values())
    mean, half = mean_over_tasks(np.stack([curve.scores for curve in every]))
    differences = np.stack([curve.scores - reference.scores for curve in every])
    p_values = [
        np.nan if curve is reference else paired_test(difference)
        for curve, by_shots in zip(every, differences, strict=True)
        for difference in by_shots
    ]
    n_shots = len(reference.shots)
    return {
        "learner": np.repeat(np.array(names, dtype=object), n_shots),
        "shots": np.tile(reference.shots, len(names)),
        "score": mean.ravel(),
        "low": (mean - half).ravel(),
        "high": (mean + half).ravel(),
        "difference": mean_over_tasks(differences)[0].ravel(),
        "p_value": holm(np.array(p_values)),
        "n_tasks": np.concatenate([(~np.isnan(curve.scores)).sum(axis=1) for curve in every]),
        "fit_seconds": np.concatenate([curve.fit_times.mean(axis=1) for curve in every]),
        "adapt_seconds": np.concatenate([curve.adapt_times.mean(axis=1) for curve in every]),
    }
