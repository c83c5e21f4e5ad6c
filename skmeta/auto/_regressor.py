"""A regressor that finds out which learner suits the tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta.auto._base import BaseAutoMeta
from skmeta.auto._candidates import default_regressors
from skmeta.auto._pooled import PooledRegressor
from skmeta.base import BaseMetaLearner, ErrorBarsMixin, State
from skmeta.tasks import TaskData

__all__ = ["AutoMetaRegressor"]


class AutoMetaRegressor(ErrorBarsMixin, BaseAutoMeta):
    """Try a few learners on tasks held out, and be the one that suits the tasks.

    Pick it when you do not know yet which learner to pick. Whole tasks are held out, a few rows of
    each are known (shots), and the error of the others is what counts. The candidates, simple
    and cheap ones first:

    - "pooled linear", "pooled boosting": one model of all rows that ignores tasks;
    - "mixed intercepts", "mixed effects": `EmpiricalBayesRegressor`, of more than 50 features
      on their leading principal components;
    - "per-task linear": a ridge regression on the rows of the task alone, its penalty tuned on
      training tasks;
    - "mixed intercepts on boosting", "mixed effects on boosting": `EmpiricalBayesRegressor` on
      what gradient boosting leaves over;
    - "multi-head network": `MultiHeadRegressor`;
    - "ridge-head network": `RidgeHeadRegressor`.

    Of those that the best one beats by no more than one standard error of the difference, in
    pairs over tasks, the first of this list is chosen. So where nothing that is learned of a new
    task helps, it is a pooled model. The chosen one is fitted to all tasks.

    Parameters
    ----------
    time_budget : float, default=60
        Seconds for the search. A candidate is skipped if, by its first fold, its other folds and a
        refit would take longer than what is left; a warning says how many were, and what time
        they need. The first candidate is always tried. The budget is exceeded by a fold and a
        refit at most.
    candidates : dict of str to regressor, default=None
        What to try instead, by name, simple ones first: meta-learners with ``task_column=None``,
        pipelines and searches that end in one, or ordinary regressors, which are pooled. They get
        features without the task column, and tasks as `groups`.
    shots : int or sequence of int, default=None
        How many rows a new task is expected to have; several numbers count alike. None is half
        the median number of rows of a task, at most 10, and a quarter of that number. Tasks
        that have no more rows than the largest number are trained on but not held out.
    n_splits : int, default=5
        Folds over tasks; fewer if there are fewer tasks to hold out.
    support : {"random", "first"}, default="random"
        Which rows of a held-out task are known: drawn at random, or the first ones in the order of
        X. "first" is forecasting, where the rows of each task are sorted by time.
    scoring : str or callable, default=None
        What counts instead: a scorer's name, such as "neg_mean_absolute_error", or a scorer from
        `make_scorer`, computed for each task; so a `task_scorer` is refused. Tasks for which it is
        undefined are left out, with a warning. None is the negative root mean squared error.
    task_column : str or int, default=None
        The column of X that holds the task labels; None if they come as `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of a task that neither `fit` nor `adapt` has seen: predict from the
        prior with a warning, or raise.
    random_state : int, RandomState instance or None, default=None
        Deals the tasks, draws the shots, and seeds the default candidates.
    verbose : int, default=0
        1 prints a line for each candidate, with its mean score and its seconds.

    Attributes
    ----------
    best_name_ : str
        The name of the chosen candidate.
    estimator_ : meta-learner
        The chosen candidate, fitted to all tasks, for displays, curves and `explain_tasks`. It
        takes features without the task column, tasks as `groups`, and adapts by `skmeta.adapt`. A
        pooled model is one that ignores tasks.
    leaderboard_ : data frame
        One row for each candidate and number of shots, of the library of X if X is a data frame,
        else of pandas, which then is needed. Its columns:

        - `learner`, `shots`;
        - `score`, `low`, `high`: the score of a task, by default the negative root mean squared
          error, mean over tasks and 95 % interval;
        - `difference`: mean over tasks of the score minus that of the chosen one;
        - `seconds`: what the search took for it;
        - `status`: "chosen", "ok", "skipped: ..." or "failed: ...", with the reason.
    shots_ : ndarray of shape (n_shots,)
        The numbers of shots that were tried.
    n_features_in_ : int
        Number of columns of X.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    compare_learners : A comparison with p-values, without a choice.
    describe_tasks : What to look at before.

    Notes
    -----
    With an int as `random_state`, the result is the same every time, as long as the budget skips
    no candidate: how fast they are depends on the machine. The one-standard-error rule is that of
    cost-complexity pruning [1]_, with the error of the difference. The score of the chosen one is
    optimistic, as that of any winner, if only a little: candidates are few.

    Where no two tasks can be held out, or every candidate fails on the folds, the first candidate
    that can be fitted to all rows is taken.

    `predict` gives standard deviations only if the chosen candidate does, and is no pipeline.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen, C. Stone (1984). Classification and regression
       trees. Wadsworth, section 3.4.3.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(40, 12, 3, noise=0.3, random_state=0)
    >>> learners = {
    ...     "mixed intercepts": skmeta.EmpiricalBayesRegressor("intercept"),
    ...     "mixed effects": skmeta.EmpiricalBayesRegressor(),
    ... }
    >>> model = skmeta.AutoMetaRegressor(candidates=learners, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.best_name_
    'mixed effects'
    >>> new = skmeta.make_linear_tasks(1, 20, 3, noise=0.3, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> mean.shape, std.shape
    ((15,), (15,))
    """

    _default_scoring = "neg_root_mean_squared_error"

    def __init__(
        self,
        time_budget: float = 60.0,
        *,
        candidates: Mapping[str, Any] | None = None,
        shots: int | Sequence[int] | None = None,
        n_splits: int = 5,
        support: str = "random",
        scoring: str | Callable[..., float] | None = None,
        task_column: Hashable | None = None,
        unseen: str = "prior",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.time_budget = time_budget
        self.candidates = candidates
        self.shots = shots
        self.n_splits = n_splits
        self.support = support
        self.scoring = scoring
        self.task_column = task_column
        self.unseen = unseen
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _variance_is_label_free(self) -> bool:  # type: ignore[override]
        return bool(getattr(self.estimator_, "_variance_is_label_free", False))

    def _mean_and_std(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        if not _gives_std(self.estimator_):
            raise ValueError(
                f"return_std needs a learner with error bars, and {self.best_name_!r}, which was "
                "chosen, gives none. Fit one that does, such as EmpiricalBayesRegressor."
            )
        both = self._ask("predict", state, X, codes, return_std=True)
        return np.stack([values.reshape(len(X), -1) for values in both], axis=1).astype(X.dtype)

    def _default_candidates(
        self, shots: tuple[int, int], n_features: int, seed: int
    ) -> dict[str, Any]:
        return default_regressors(shots, n_features, seed)

    def _pooled(self, estimator: Any) -> BaseMetaLearner:
        return PooledRegressor(estimator)

    def _targets(self, data: TaskData) -> NDArray[Any]:
        return self._shape(data.y)[: data.table.offsets[-1]]

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        outputs: NDArray[Any] = self._ask("predict", state, X, codes)
        return outputs.reshape(len(X), -1).astype(X.dtype)


def _gives_std(estimator: Any) -> bool:
    parameters = inspect.signature(estimator.predict).parameters
    if "options" in parameters:  # passed on
        return _gives_std(estimator.estimator)
    return "return_std" in parameters
