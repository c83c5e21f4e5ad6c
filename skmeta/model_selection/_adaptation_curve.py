"""Score against number of shots, on tasks never seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import Bunch

from skmeta.model_selection._curve import compute_curve, describe_failures

__all__ = ["adaptation_curve"]


def adaptation_curve(
    estimator: Any,
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
    shots : int or sequence of int, default=(1, 2, 5, 10)
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
        `FitFailedWarning`; "raise" raises the error. A class that no training task shows is a
        failure of the tasks that show it alone; a learner that can do with it, such as one of
        ``label_sets="own"``, is scored on them.

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
        If the estimator fails on some folds or numbers of shots, or on the tasks that show a class
        which no training task shows.

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
    curve, failures = compute_curve(
        estimator,
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
        random_state=random_state,
        n_jobs=n_jobs,
        error_score=error_score,
        learner=type(estimator).__name__,
    )
    if failures:
        said = describe_failures(curve, failures)
        if len(failures) == curve.fit_times.size:
            raise ValueError(f"All {said}")
        warnings.warn(said, FitFailedWarning, stacklevel=2)
    return curve
