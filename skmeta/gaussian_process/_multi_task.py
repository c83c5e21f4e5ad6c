"""One Gaussian process over rows and tasks: the intrinsic coregionalization model."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Kernel, Matern
from sklearn.utils.validation import check_scalar

from skmeta.base import BaseMetaLearner, ErrorBarsMixin, State
from skmeta.gaussian_process._coregionalization import Coregionalization, maximise_posterior
from skmeta.gaussian_process._process import AdaptedTasks, ConditionedProcess
from skmeta.tasks import TaskData, row_keys

__all__ = ["MultiTaskGaussianProcessRegressor"]

Array = NDArray[np.float64]

_CELLS = 512  # rows predicted, and padded rows adapted to, at once
_ROUNDING = 1e-13  # a column that varies by less, relatively, is constant
_STATE_BYTES = 256 << 20  # of adapted tasks held at once; more are adapted again when asked for


class MultiTaskGaussianProcessRegressor(ErrorBarsMixin, BaseMetaLearner):
    """One Gaussian process over the rows of all tasks (intrinsic coregionalization model).

    A task t has a function f_t, its targets are ``y = m + f_t(x) + ε`` with ``ε ~ N(0, σ²)``, and
    ``Cov[f_t(x), f_t'(x')] = B[t, t'] k(x, x')`` with ``B = LLᵀ + diag(v)`` [1]_, [2]_: tasks are
    mixtures of a few shared functions, with weights L, and a function of their own. `fit` learns
    the kernel, L, v and σ² from all rows, with exact gradients. A new task gets a row of B from
    its support, and is predicted from that support and all rows of training.

    Pick it for collections of at most some thousand rows altogether whose tasks are smooth and
    not linear, where each has ten rows or more, and tasks may resemble, mirror or ignore one
    another. Training is cubic in the number of all rows, well below a minute for 1,000 and minutes
    for 2,000 on one core, and takes memory for some matrices of that size; a new task costs its
    square for each row. For more rows take `DeepKernelRegressor`, whose cost is cubic in the rows
    of one task only; for linear tasks, or few rows of each, `EmpiricalBayesRegressor`.

    Parameters
    ----------
    kernel : scikit-learn kernel, default=None
        k, any of `sklearn.gaussian_process.kernels`, such as ``RBF() + DotProduct()``; it is
        cloned. None stands for Matérn (ν = 5/2) with one length scale, on features divided by
        their standard deviations; a kernel of yours takes features as they are. A factor of k
        is one of B too, so the kernel needs none.
    rank : int, default=1
        The number of shared functions, which is that of columns of L.
    max_iter : int, default=100
        The largest number of steps of L-BFGS-B.
    task_column : str or int, default=None
        The column of X that holds the task labels; None if they come as `groups`.
    unseen : {"prior", "raise"}, default="prior"
        What to do with rows of a task that neither `fit` nor `adapt` has seen: predict them, with
        a warning, by the mean row of B given all rows of training, or raise.

    Attributes
    ----------
    kernel_ : scikit-learn kernel
        The learned k.
    coregionalization_ : ndarray of shape (n_outputs, n_tasks, n_tasks)
        B of each output in squared units of it; the tasks are those of `tasks_` after `fit`.
    noise_variance_ : ndarray of shape (n_outputs,)
        σ² likewise.
    log_marginal_likelihood_ : float
        That of all rows and outputs, in the units of y.
    n_iter_ : int
        The number of steps taken.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    Notes
    -----
    Several outputs are independent draws of one model, each in units of its standard deviation:
    they share k, B and σ². To the likelihood of [1]_ a weak prior is added, for the few rows of a
    task do not identify its row of B: the logarithms of ``B[t, t]`` and of v are normal with
    standard deviation 1, each around an unknown level. What is found may be a local maximum; the
    start is the same in each fit.

    The row of a new task, ``(ℓ, log v)``, has a normal prior with the moments of the rows learned
    in `fit`, shrunk if these are few. It is set to its mode given support and training rows, by
    Fisher scoring for all new tasks at once, and what variance remains of ℓ is added to v. The
    parameters are then taken for known, so that intervals are a little too narrow where tasks or
    rows are few.

    A task of which `adapt` is given just the rows that `fit` had is that task, and these rows
    count once. With some of them left out, or others added, it is a new task.

    References
    ----------
    .. [1] E. V. Bonilla, K. M. A. Chai, C. K. I. Williams (2008). Multi-task Gaussian process
       prediction. NIPS 20, equations 1 to 3.
    .. [2] M. A. Álvarez, L. Rosasco, N. D. Lawrence (2012). Kernels for vector-valued functions: a
       review. Foundations and Trends in Machine Learning 4 (3), section 4.2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(10, 10, random_state=0)
    >>> model = skmeta.MultiTaskGaussianProcessRegressor(max_iter=20)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.coregionalization_.shape
    (1, 10, 10)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> mean.shape, std.shape
    ((15,), (15,))
    """

    def __init__(
        self,
        kernel: Any = None,
        *,
        rank: int = 1,
        max_iter: int = 100,
        task_column: Hashable | None = None,
        unseen: str = "prior",
    ) -> None:
        self.kernel = kernel
        self.rank = rank
        self.max_iter = max_iter
        self.task_column = task_column
        self.unseen = unseen

    def _fit_prior(self, data: TaskData) -> None:
        check_scalar(self.rank, "rank", Integral, min_val=1)
        check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        kernel = self._first_kernel(data.X)
        X = self._scaled(data.X)
        self._y_mean, self._y_scale = data.y.mean(axis=0), _spread(data.y)
        y = self._encode(data.y)
        start = _start(kernel, data.table.n_tasks, self.rank)
        model, likelihood, self.n_iter_ = maximise_posterior(
            start, X, y, data.owners, self.max_iter
        )
        self._process = ConditionedProcess.given(model, X, y, data.owners)
        self._fingerprints = _fingerprints(data)
        variances = np.square(self._y_scale)
        self.kernel_ = model.kernel
        self.coregionalization_ = model.matrix * variances[:, None, None]
        self.noise_variance_ = model.noise * variances
        self.log_marginal_likelihood_ = likelihood - len(X) * float(np.log(self._y_scale).sum())

    def _first_kernel(self, X: NDArray[Any]) -> Any:
        """Return the kernel to start from, and note the units of features that it takes."""
        if self.kernel is None:
            self._X_scale = _spread(X)
            length = np.sqrt(X.shape[1])  # of the order of distances between rows
            return Matern(length, (0.1 * length, 10 * length), nu=2.5)
        if not isinstance(self.kernel, Kernel):
            raise ValueError(
                f"kernel={self.kernel!r} must be None or a kernel of sklearn.gaussian_process."
            )
        self._X_scale = np.ones(X.shape[1])
        return clone(self.kernel)

    def _scaled(self, X: NDArray[Any]) -> Array:
        return X.astype(np.float64) / self._X_scale

    def _encode(self, y: NDArray[Any]) -> Array:
        return (y - self._y_mean) / self._y_scale

    @property
    def _tasks_per_pass(self) -> int:
        n_rows, n_features = self._process.X.shape
        support = int(self._support.sizes.max(initial=0))
        numbers = n_rows * self.n_outputs_ + support * (n_features + self.n_outputs_)
        return max(1, _STATE_BYTES // (8 * numbers))

    def _adapt_tasks(self, data: TaskData) -> State:
        n_tasks, process = data.table.n_tasks, self._process
        known = self._known_tasks(data)
        new = (known < 0) & (data.sizes > 0)
        width = max(1, int(data.sizes[new].max(initial=0)))
        cross, variance = process.rows_of(known)
        state: State = {
            "cross": cross,
            "variance": variance,
            "X": np.zeros((n_tasks, width, data.X.shape[1])),
            "mask": np.zeros((n_tasks, width), dtype=bool),
            "training": np.zeros((n_tasks, len(process.X), self.n_outputs_)),
            "support": np.zeros((n_tasks, width, self.n_outputs_)),
        }
        X, y = self._scaled(data.X), self._encode(data.y)
        for tasks in data.table.chunks(_CELLS, _CELLS):
            positions, mask = data.table.padded(tasks)
            rows, mask = positions[:, :width], (mask & new[tasks, None])[:, :width]
            some = mask[:, 0]
            if some.any():
                chosen = process.choose_rows(X[rows[some]], y[rows[some]], mask[some])
                cross[tasks[some]], variance[tasks[some]] = chosen
            part = process.adapt(cross[tasks], variance[tasks], X[rows], y[rows], mask)
            for name, values in vars(part).items():
                state[name][(tasks, *map(slice, values.shape[1:]))] = values
        return state

    def _known_tasks(self, data: TaskData) -> NDArray[np.int64]:
        """Return which task of fit has just the rows of each task, -1 where none has.

        Such rows are in the process already, and say nothing twice.
        """
        sorter = np.argsort(self._fingerprints, kind="stable")
        found = _fingerprints(data)
        place = np.searchsorted(self._fingerprints, found, sorter=sorter)
        candidate = sorter[np.minimum(place, len(sorter) - 1)]
        return np.where(self._fingerprints[candidate] == found, candidate, -1)

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        return self._moments(state, X, codes, with_std=False)[:, 0]

    def _mean_and_std(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        return self._moments(state, X, codes, with_std=True)

    def _moments(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64], *, with_std: bool
    ) -> NDArray[Any]:
        """Return means, and standard deviations if asked for, stacked in the second dimension."""
        moments = np.empty((len(X), 1 + with_std, self.n_outputs_), dtype=X.dtype)
        inputs = self._scaled(X)
        for rows in _blocks(codes, max(1, _CELLS // state["mask"].shape[1])):
            which, local = np.unique(codes[rows], return_inverse=True)
            tasks = AdaptedTasks(**{name: values[which] for name, values in state.items()})
            mean = self._process.mean(inputs[rows], local, tasks)
            moments[rows, 0] = self._y_mean + mean * self._y_scale
            if with_std:
                std = np.sqrt(self._process.variance(inputs[rows], local, tasks))
                moments[rows, 1] = std[:, None] * self._y_scale
        return moments


def _blocks(codes: NDArray[np.int64], n_tasks: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of at most so many tasks, and not too many rows, at a time."""
    order = np.argsort(codes, kind="stable")
    number = np.unique(codes[order], return_inverse=True)[1] // n_tasks
    for chunk in np.split(order, np.flatnonzero(np.diff(number)) + 1):
        for start in range(0, len(chunk), _CELLS):
            yield chunk[start : start + _CELLS]


def _spread(values: NDArray[Any]) -> Array:
    """Return the standard deviation of each column, 1 if it is constant."""
    spread = values.std(axis=0, dtype=np.float64)
    return np.where(spread > _ROUNDING * np.abs(values).max(axis=0), spread, 1.0)


def _start(kernel: Any, n_tasks: int, rank: int) -> Coregionalization:
    """Return parameters to start from: tasks are alike, columns of L are not."""
    phase = np.pi * (np.arange(n_tasks) + 0.5) / n_tasks
    loadings = 0.3 * np.cos(np.outer(phase, np.arange(rank)))
    loadings[:, 0] = 0.7
    return Coregionalization(kernel, loadings, np.full(n_tasks, 0.3), 0.2)


def _fingerprints(data: TaskData) -> NDArray[np.uint64]:
    """Return what tells tasks of different rows apart, whatever the order of the rows."""
    owners = data.owners
    keys = row_keys(data.X, data.y)[: len(owners)]  # a task without rows may have one to pad with
    totals = np.zeros(data.table.n_tasks, dtype=np.uint64)
    np.add.at(totals, owners, keys)
    return totals
