"""Splitters that hold out tasks and leave a few rows of each for adaptation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length, check_random_state, check_scalar

from skmeta.model_selection._rows import class_codes, support_mask, task_codes

__all__ = ["EpisodicKFold", "EpisodicShuffleSplit", "check_support"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class _EpisodicSplit(BaseCrossValidator):
    """Base of the episodic splitters: of each held-out task, the support goes into train."""

    __metadata_request__split: ClassVar = {"groups": True}

    n_splits: int
    n_shots: int
    task_column: Hashable | None
    support: str
    stratify: bool
    random_state: int | np.random.RandomState | None

    @abstractmethod
    def _held_out(
        self, tasks: NDArray[np.int64], generator: np.random.RandomState
    ) -> Iterator[list[NDArray[np.int64]]]:
        """Yield lists of held-out sets of tasks; the support is drawn anew for each list."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Yield the rows of train and test for each split.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,), default=None
            Classes; needed by ``stratify=True`` only.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Yields
        ------
        train : ndarray
            Sorted row numbers: all rows of the other tasks, the support of the held-out ones.
        test : ndarray
            Sorted row numbers: what is left of the held-out tasks.

        Raises
        ------
        ValueError
            If there is no task information or it comes twice, a parameter is out of range,
            too few tasks have more rows than the support takes, or y holds no classes where
            they are needed.
        """
        check_scalar(self.n_shots, "n_shots", Integral, min_val=1)
        check_support(self.support)
        codes = task_codes(X, groups, self.task_column)
        cells = codes
        if self.stratify:
            check_consistent_length(X, y)
            classes = class_codes(y)
            cells = codes * (classes.max() + 1) + classes
        generator = check_random_state(self.random_state)
        n_tasks = int(codes.max()) + 1
        left_over = ~support_mask(cells, self.n_shots, None)
        for held_out_sets in self._held_out(np.unique(codes[left_over]), generator):
            support = support_mask(
                cells, self.n_shots, generator if self.support == "random" else None
            )
            for held_out in held_out_sets:
                is_held_out = np.zeros(n_tasks, dtype=np.bool_)
                is_held_out[held_out] = True
                test = is_held_out[codes] & ~support
                yield np.flatnonzero(~test), np.flatnonzero(test)

    def _too_few(self, needed: str, found: int) -> ValueError:
        rows = f"more than n_shots={self.n_shots} rows"
        return ValueError(
            f"{needed}, but only {found} task(s) have {rows}"
            f"{' of some class' if self.stratify else ''}, so that any are left to test on."
        )


class EpisodicKFold(_EpisodicSplit):
    """K-fold over tasks that leaves a few rows of each held-out task in train.

    This measures few-shot performance with any scikit-learn tool. The tasks are dealt into
    `n_splits` folds. Where a fold is held out, `n_shots` rows of each of its tasks (the
    support) stay in train, so that an estimator can adapt to the task, and the others are the
    test rows. Pick it when a new task will come with a few labelled rows; pick `TaskKFold`
    when it will come with none.

    A task without more rows than the support takes has nothing left to test: all its rows are
    in train in every split, and it does not count as a task of any fold.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds. They differ by at most one in the number of tasks.
    n_shots : int, default=5
        Support rows of each held-out task; of each of its classes with `stratify`.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    support : {"random", "first"}, default="random"
        Which rows are support: drawn anew in each repeat, or the first ones in the order of
        the rows. "first" is forecasting, where the rows of each task are sorted by time.
    stratify : bool, default=False
        Take `n_shots` rows of each class of a task, as few-shot classification does.
    n_repeats : int, default=1
        How often to deal the tasks anew.
    random_state : int, RandomState instance or None, default=None
        Shuffles the tasks and draws the support. An int gives the same splits every time.

    See Also
    --------
    EpisodicShuffleSplit : Draws the held-out tasks of each split independently.
    TaskKFold : Leaves no row of a held-out task in train.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.model_selection import EpisodicKFold
    >>> school = np.array(["a", "a", "a", "b", "b", "b"])
    >>> cv = EpisodicKFold(2, n_shots=1, support="first", random_state=0)
    >>> for train, test in cv.split(np.zeros((6, 1)), groups=school):
    ...     print(train, test)
    [0 1 2 3] [4 5]
    [0 3 4 5] [1 2]
    """

    def __init__(
        self,
        n_splits: int = 5,
        n_shots: int = 5,
        *,
        task_column: Hashable | None = None,
        support: str = "random",
        stratify: bool = False,
        n_repeats: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.n_shots = n_shots
        self.task_column = task_column
        self.support = support
        self.stratify = stratify
        self.n_repeats = n_repeats
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object
            Ignored; they are here for scikit-learn.

        Returns
        -------
        n_splits : int
            ``n_splits * n_repeats``.
        """
        return self.n_splits * self.n_repeats

    def _held_out(
        self, tasks: NDArray[np.int64], generator: np.random.RandomState
    ) -> Iterator[list[NDArray[np.int64]]]:
        check_scalar(self.n_splits, "n_splits", Integral, min_val=2)
        check_scalar(self.n_repeats, "n_repeats", Integral, min_val=1)
        if len(tasks) < self.n_splits:
            raise self._too_few(f"n_splits={self.n_splits} folds need as many tasks", len(tasks))
        for _ in range(self.n_repeats):
            yield np.array_split(generator.permutation(tasks), self.n_splits)


class EpisodicShuffleSplit(_EpisodicSplit):
    """Random held-out tasks, a few rows of each left in train.

    Like `EpisodicKFold`, but the held-out tasks and their support are drawn anew for every
    split. Pick it when the number of splits and the share of held-out tasks should be free of
    each other: with many tasks a few splits of a small share are enough, with few tasks many
    splits steady the score. A task may be held out several times, or never.

    A task without more rows than the support takes has nothing left to test: all its rows are
    in train in every split, and it is never drawn.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.
    n_shots : int, default=5
        Support rows of each held-out task; of each of its classes with `stratify`.
    test_size : float or int, default=0.2
        The share (rounded up), or the number, of the tasks that can be held out.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    support : {"random", "first"}, default="random"
        Which rows are support: drawn anew in each split, or the first ones in the order of
        the rows. "first" is forecasting, where the rows of each task are sorted by time.
    stratify : bool, default=False
        Take `n_shots` rows of each class of a task, as few-shot classification does.
    random_state : int, RandomState instance or None, default=None
        Draws the tasks and the support. An int gives the same splits every time.

    See Also
    --------
    EpisodicKFold : Holds out each task once.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.model_selection import EpisodicShuffleSplit
    >>> school = np.repeat(np.arange(10), 4)
    >>> cv = EpisodicShuffleSplit(3, n_shots=1, test_size=0.2, random_state=0)
    >>> [len(test) for train, test in cv.split(np.zeros((40, 1)), groups=school)]
    [6, 6, 6]
    """

    def __init__(
        self,
        n_splits: int = 10,
        n_shots: int = 5,
        *,
        test_size: float = 0.2,
        task_column: Hashable | None = None,
        support: str = "random",
        stratify: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.n_shots = n_shots
        self.test_size = test_size
        self.task_column = task_column
        self.support = support
        self.stratify = stratify
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object
            Ignored; they are here for scikit-learn.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        return self.n_splits

    def _held_out(
        self, tasks: NDArray[np.int64], generator: np.random.RandomState
    ) -> Iterator[list[NDArray[np.int64]]]:
        check_scalar(self.n_splits, "n_splits", Integral, min_val=1)
        n_test = self._n_test(len(tasks))
        for _ in range(self.n_splits):
            yield [generator.permutation(tasks)[:n_test]]

    def _n_test(self, n_tasks: int) -> int:
        if isinstance(self.test_size, Integral):
            n_test = check_scalar(self.test_size, "test_size", Integral, min_val=1)
        else:
            share = check_scalar(
                self.test_size,
                "test_size",
                Real,
                min_val=0,
                max_val=1,
                include_boundaries="neither",
            )
            n_test = max(1, int(np.ceil(share * n_tasks)))
        if n_test > n_tasks:
            raise self._too_few(f"test_size={self.test_size} holds out {n_test} task(s)", n_tasks)
        return int(n_test)


def check_support(support: Any) -> None:
    """Raise an error if it says of no rows that they are the support."""
    if support not in ("random", "first"):
        raise ValueError(f"support={support!r} must be 'random' or 'first'.")
