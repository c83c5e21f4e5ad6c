"""Which rows of a new task to label, before anything is known of their targets."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import euclidean_distances
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from skmeta.base._adapt import groups_for
from skmeta.base._learner import BaseMetaLearner
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.tasks import TaskData, TaskTable, row_keys

__all__ = ["select_context"]

_RIDGE = 0.1  # of the variance of a feature: pools may have fewer rows than features
_STARTS = 5


def select_context(
    fitted: Any,
    X_pool: Any,
    n_shots: int,
    groups: Any = None,
    *,
    method: str = "auto",
    random_state: Any = None,
) -> NDArray[np.int64]:
    """Select the rows of new tasks whose labels are worth the most to `fitted`.

    Of a new task there often are many rows without labels and the means to label a few. Which
    ones is decided here, before any label is known: select, label, adapt.

    By "variance", rows are selected one after another, each the one that the posterior given
    those before is least sure of. It needs a learner whose predictive variance no label changes:
    `EmpiricalBayesRegressor`, `BayesianHeadRegressor`, `DeepKernelRegressor`, or
    `MultiHeadRegressor` with ``head="bayes"``. By "mixture", as many Gaussians with one
    covariance are fitted to the meta-learned features of the pool (to X, where the learner has
    none), and the row of highest density under each is selected [1]_: rows that are typical and
    unlike one another.

    Parameters
    ----------
    fitted : estimator
        A fitted meta-learner; a `Pipeline` whose last step is one; or a search, such as
        `GridSearchCV`, whose best estimator is one of these.
    X_pool : array-like or data frame of shape (n_samples, n_features)
        Rows of the new tasks, as `fitted` takes them.
    n_shots : int
        The number of rows to select, of each task.
    groups : array-like of shape (n_samples,), default=None
        The task of each row. Without it and without a task column, the pool is one task.
    method : {"auto", "variance", "mixture"}, default="auto"
        "auto" is "variance" for the learners that allow it, and "mixture" for all others.
    random_state : int, RandomState instance or None, default=None
        Draws the starts of the mixtures.

    Returns
    -------
    selected : ndarray of shape (n_tasks * n_shots,)
        Positions of rows in `X_pool`: the rows of the first task, in the order of their labels,
        then those of the next. Within a task the row that says most, or that of the largest
        component, comes first.

    Raises
    ------
    TypeError
        If `fitted` does not end in a meta-learner, or `n_shots` is no whole number.
    ValueError
        If `n_shots` is not positive or a task has fewer rows, or the learner does not allow
        `method`.

    See Also
    --------
    adapt : What to do once they are labelled.

    Notes
    -----
    "variance" is exact: these posteriors need no target to know how sure they will be. Of several
    outputs, it takes the row whose predictions have the largest entropy. It tends to the extremes
    of a pool, where a row says most if the model is right there. "mixture" finds the centres, and
    is the safer choice where features fit the targets of a task only roughly.

    A copy of a row that is selected already comes after all rows that are new, so copies and the
    order of rows do not matter. A tenth of the mean variance of the features is added to the
    variance of each, as the rows of a pool may be fewer than its features.

    A `PerTask` step of a pipeline is fitted to the pool, without labels.

    References
    ----------
    .. [1] W. Bae, J. Wang, D. J. Sutherland (2024). Exploring active learning in meta-learning:
       enhancing context set labeling. ECCV; arXiv:2311.02879.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(50, 20, random_state=0)
    >>> model = skmeta.EmpiricalBayesRegressor().fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> pool = skmeta.make_linear_tasks(2, 100, random_state=1)
    >>> rows = skmeta.select_context(model, pool.data, 3, groups=pool.groups)
    >>> pool.groups[rows]
    array([0, 0, 0, 1, 1, 1])
    >>> new = skmeta.adapt(model, pool.data[rows], pool.target[rows], groups=pool.groups[rows])
    >>> new.predict(pool.data, groups=pool.groups).shape
    (200,)
    """
    learner, X = _learner_of(fitted, X_pool, groups)
    check_scalar(n_shots, "n_shots", Integral, min_val=1)
    features, labels = learner._read_features(X, groups)
    table = TaskTable.single(len(features)) if labels is None else TaskTable.from_labels(labels)
    _check_sizes(table, n_shots)
    if method == "auto":
        method = "variance" if learner._variance_is_label_free else "mixture"
    if method not in ("variance", "mixture"):
        raise ValueError(f"method={method!r} must be 'auto', 'variance' or 'mixture'.")
    if method == "variance" and not learner._variance_is_label_free:
        raise ValueError(
            "method='variance' needs a variance that no label changes, which this "
            f"{type(learner).__name__} has not; use 'mixture'."
        )
    keys = row_keys(features)
    copies = _copies(keys, table)
    if method == "variance":
        return _least_sure(learner, X, groups, features, table, (keys, copies), n_shots)
    seed = check_random_state(random_state).randint(2**31 - 1)
    sorted_rows = np.lexsort((keys, copies, table.codes))
    selected = []
    for rows in np.split(sorted_rows, table.offsets[1:-1]):
        distinct = rows[copies[rows] == 0]
        if len(distinct) > n_shots:
            rows = distinct[_typical(learner, features[distinct], n_shots, seed)]
        selected.append(rows[:n_shots])
    return np.concatenate(selected)


def _learner_of(fitted: Any, X: Any, groups: Any) -> tuple[BaseMetaLearner, Any]:
    """Return what `fitted` ends in, and rows as it takes them."""
    if hasattr(fitted, "best_estimator_"):
        return _learner_of(fitted.best_estimator_, X, groups)
    if isinstance(fitted, Pipeline):
        for _, step in fitted.steps[:-1]:
            if step is not None and step != "passthrough":
                if hasattr(step, "adapt") and not isinstance(step, BaseMetaLearner):
                    step = step.adapt(X, groups=groups)
                X = step.transform(X, **groups_for(step, groups))
        return _learner_of(fitted.steps[-1][1], X, groups)
    if isinstance(fitted, BaseMetaTransformer):
        return _learner_of(fitted.estimator_, X, groups)
    if not isinstance(fitted, BaseMetaLearner):
        raise TypeError(
            f"{type(fitted).__name__} cannot select a context; expected a fitted meta-learner, or "
            "a Pipeline or a search that ends in one."
        )
    return fitted, X


def _check_sizes(table: TaskTable, n_shots: int) -> None:
    small = np.flatnonzero(table.sizes < n_shots)
    if len(small):
        one = "The pool" if table.n_tasks == 1 else f"Task {table.labels[small[0]]!r}"
        raise ValueError(
            f"n_shots={n_shots} rows of each task were asked for. {one} has "
            f"{table.sizes[small[0]]} row(s) to select from."
        )


def _copies(keys: NDArray[np.uint64], table: TaskTable) -> NDArray[np.int64]:
    """Return how many equal rows of its task stand before each row."""
    order = np.lexsort((keys, table.codes))
    new = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    new |= np.diff(table.codes[order], prepend=-1) != 0
    place = np.arange(len(order))
    copies = np.empty(len(order), dtype=np.int64)
    copies[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return copies


def _least_sure(
    learner: Any,
    X: Any,
    groups: Any,
    features: NDArray[Any],
    table: TaskTable,
    ties: tuple[NDArray[Any], ...],
    n_shots: int,
) -> NDArray[np.int64]:
    """Select greedily by posterior variance, a row of every task at a time."""
    codes, (keys, copies) = table.codes, ties
    taken = np.zeros(len(features), dtype=bool)
    selected = np.empty((table.n_tasks, 0), dtype=np.int64)
    for _ in range(n_shots):
        known = copy.copy(learner)
        known._state = None
        known._support = _support_of(features, selected, table.labels, learner.n_outputs_)
        _, std = known.predict(X, groups=groups, return_std=True)
        std = np.maximum(std, np.finfo(std.dtype).tiny)  # without noise, it may round to 0
        entropy = np.log(std.reshape(len(features), -1)).sum(axis=1)
        best = np.lexsort((keys, -entropy, copies, taken, codes))[table.offsets[:-1]]
        taken[best] = True
        selected = np.column_stack([selected, best])
    return selected.ravel()


def _support_of(
    features: NDArray[Any], selected: NDArray[np.int64], labels: NDArray[Any], n_outputs: int
) -> TaskData:
    """Return the selected rows of each task as a support, whose targets do not matter."""
    n_tasks, n_rows = selected.shape
    table = TaskTable(labels, np.arange(n_tasks * n_rows), np.arange(n_tasks + 1) * n_rows)
    X = features[selected.ravel()] if n_rows else features[:1]  # without rows, one to pad with
    return TaskData(table, X, np.zeros((len(X), n_outputs)))


def _typical(learner: Any, X: NDArray[Any], n_shots: int, seed: int) -> NDArray[np.int64]:
    """Return the row of highest density under each component of a mixture, for one task."""
    F = _scaled(learner._represent(X) if hasattr(learner, "transform") else X)
    mixture = GaussianMixture(
        n_shots, covariance_type="tied", reg_covar=_RIDGE, n_init=_STARTS, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly fitted is good enough
        mixture.fit(F)
    white, centers = (rows @ mixture.precisions_cholesky_ for rows in (F, mixture.means_))
    distance = euclidean_distances(white, centers)
    selected: list[int] = []
    for component in np.argsort(-mixture.weights_, kind="stable"):
        selected.append(int(distance[:, component].argmin()))
        distance[selected[-1]] = np.inf
    return np.array(selected)


def _scaled(F: NDArray[Any]) -> NDArray[np.float64]:
    """Divide features by one number, so that their mean variance is 1."""
    centered = F.astype(np.float64) - F.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(np.square(centered).mean())
    scaled: NDArray[np.float64] = centered / (scale if scale > 0 else 1.0)
    return scaled
