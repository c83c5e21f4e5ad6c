"""A classifier that finds out which learner suits the tasks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta.auto._base import BaseAutoMeta
from skmeta.auto._candidates import default_classifiers
from skmeta.auto._pooled import PooledClassifier
from skmeta.base import BaseMetaLearner, MetaClassifierMixin, State
from skmeta.base._models import LEAST_PROBABILITY
from skmeta.model_selection._folds import Fold
from skmeta.tasks import TaskData

__all__ = ["AutoMetaClassifier"]


class AutoMetaClassifier(MetaClassifierMixin, BaseAutoMeta):
    """Try a few learners on tasks held out, and be the one that suits the tasks.

    Pick it when you do not know yet which learner to pick. Whole tasks are held out, a few rows of
    each are known (shots), and the accuracy on the others is what counts. The candidates, simple
    and cheap ones first:

    - "pooled linear", "pooled boosting": one model of all rows that ignores tasks;
    - "mixed intercepts", "mixed effects": `EmpiricalBayesClassifier`, of more than 50 features
      on their leading principal components;
    - "per-task linear": a logistic regression on the rows of the task alone, its penalty tuned on
      training tasks;
    - "mixed intercepts on boosting", "mixed effects on boosting": `EmpiricalBayesClassifier` on
      what gradient boosting leaves over;
    - "multi-head network": `MultiHeadClassifier`, with logistic heads;
    - "ridge-head network": `RidgeHeadClassifier`.

    Pooled models, those on boosting and mixed intercepts are only tried where tasks share a label
    set. There, a held-out row does not count if no training task has its class.

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
    candidates : dict of str to classifier, default=None
        What to try instead, by name, simple ones first: meta-learners with ``task_column=None``,
        pipelines and searches that end in one, or ordinary classifiers, which are pooled. They
        need `predict_proba`, get features without the task column, and tasks as `groups`.
    shots : int or sequence of int, default=None
        How many rows a new task is expected to have (of each class, if tasks have label sets of
        their own); several numbers count alike. None is half the median number of rows of a
        task, at most 10, and a quarter of that number. Tasks that have no more rows than the
        largest number are trained on but not held out.
    n_splits : int, default=5
        Folds over tasks; fewer if there are fewer tasks to hold out.
    support : {"random", "first"}, default="random"
        Which rows of a held-out task are known: drawn at random, or the first ones in the order of
        X. "first" is forecasting, where the rows of each task are sorted by time.
    scoring : str or callable, default=None
        What counts instead: a scorer's name, such as "roc_auc" or "neg_log_loss", or a scorer from
        `make_scorer`, computed for each task; so a `task_scorer` is refused. Tasks for which it is
        undefined are left out, with a warning. None is the accuracy.
    label_sets : {"auto", "shared", "own"}, default="auto"
        Whether tasks share one label set (each task has all classes, even those that its few rows
        do not show) or have label sets of their own. "auto" decides by how many classes the tasks
        show.
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
    classes_ : ndarray of shape (n_classes,)
        The labels.
    estimator_ : meta-learner
        The chosen candidate, fitted to all tasks, for displays, curves and `explain_tasks`. It
        takes features without the task column, tasks as `groups`, and adapts by `skmeta.adapt`. A
        pooled model is one that ignores tasks.
    leaderboard_ : data frame
        One row for each candidate and number of shots, of the library of X if X is a data frame,
        else of pandas, which then is needed. Its columns:

        - `learner`, `shots`;
        - `score`, `low`, `high`: the score of a task, by default the accuracy, mean over tasks
          and 95 % interval;
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

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen, C. Stone (1984). Classification and regression
       trees. Wadsworth, section 3.4.3.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(60, 30, random_state=0)
    >>> learners = {
    ...     "mixed intercepts": skmeta.EmpiricalBayesClassifier("intercept"),
    ...     "mixed effects": skmeta.EmpiricalBayesClassifier(),
    ... }
    >>> model = skmeta.AutoMetaClassifier(candidates=learners, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.best_name_
    'mixed effects'
    >>> adapted = model.adapt(tasks.data[:5], tasks.target[:5])
    >>> adapted.predict_proba(tasks.data[5:8]).shape
    (3, 2)
    """

    _default_scoring = "accuracy"

    def __init__(
        self,
        time_budget: float = 60.0,
        *,
        candidates: Mapping[str, Any] | None = None,
        shots: int | Sequence[int] | None = None,
        n_splits: int = 5,
        support: str = "random",
        scoring: str | Callable[..., float] | None = None,
        label_sets: str = "auto",
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
        self.label_sets = label_sets
        self.task_column = task_column
        self.unseen = unseen
        self.random_state = random_state
        self.verbose = verbose

    def _fit_prior(self, data: TaskData) -> None:
        self._fit_labels(data, None)
        super()._fit_prior(data)

    def _default_candidates(
        self, shots: tuple[int, int], n_features: int, seed: int
    ) -> dict[str, Any]:
        return default_classifiers(shots, n_features, seed, own_label_sets=self._own_labels)

    def _pooled(self, estimator: Any) -> BaseMetaLearner:
        return PooledClassifier(estimator, label_sets="own" if self._own_labels else "shared")

    def _cells(self, data: TaskData, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        # Of classes that no other task has, each needs a row to be known by.
        return codes * len(self.classes_) + data.y if self._own_labels else codes

    def _folds(
        self, y: NDArray[Any], codes: NDArray[np.int64], cells: NDArray[np.int64], seed: int
    ) -> list[Fold]:
        folds = super()._folds(y, codes, cells, seed)
        if self._own_labels:
            return folds
        # Nothing can predict a class that no training task has.
        known = [fold.only(np.isin(y, y[fold.train])) for fold in folds]
        folds = [fold for fold in known if len(fold.test) and all(map(len, fold.supports))]
        return folds if sum(fold.tasks.n_tasks for fold in folds) > 1 else []

    def _targets(self, data: TaskData) -> NDArray[Any]:
        y = data.y[: data.table.offsets[-1]]
        # Classes of tasks to adapt to have numbers of their own in each.
        local = data.n_ways is not None and self._own_labels
        targets: NDArray[Any] = y if local else self.classes_[y]
        return targets

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        width = state["ways"].shape[1] if self._own_labels else len(self.classes_)
        scores = np.full((len(X), width), np.log(LEAST_PROBABILITY), dtype=X.dtype)
        if self._own_labels and not state["adapted"]:  # nothing is known of their classes
            return scores
        proba = self._ask("predict_proba", state, X, codes)
        columns = state["estimator"].classes_
        if not self._own_labels:
            columns = np.searchsorted(self.classes_, columns)
        scores[:, columns] = np.log(np.maximum(proba, LEAST_PROBABILITY))
        return scores
