"""The splitter that holds out whole tasks."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator, GroupKFold
from sklearn.utils import check_scalar

from skmeta.model_selection._rows import task_codes

__all__ = ["TaskKFold"]


class TaskKFold(BaseCrossValidator):
    """K-fold over tasks: no row of a held-out task is in train.

    It measures how well tasks are predicted of which nothing is known. It is scikit-learn's
    `GroupKFold` for tables that carry the task as a column. Pick `EpisodicKFold` when a new
    task will come with a few labelled rows.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    task_column : str or int, default=None
        The column of X that holds the tasks; None takes them from `groups`.
    shuffle : bool, default=False
        Deal the tasks at random, which balances the folds in number of tasks. By default the
        folds are balanced in number of rows, and always the same.
    random_state : int, RandomState instance or None, default=None
        Shuffles the tasks, if `shuffle` is True.

    See Also
    --------
    EpisodicKFold : Leaves a few rows of each held-out task in train.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.model_selection import TaskKFold
    >>> X = np.array([[7, 0.1], [8, 0.2], [7, 0.3], [8, 0.4]])
    >>> for train, test in TaskKFold(2, task_column=0).split(X):
    ...     print(train, test)
    [0 2] [1 3]
    [1 3] [0 2]
    """

    __metadata_request__split: ClassVar = {"groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        task_column: Hashable | None = None,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.task_column = task_column
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the rows of train and test for each fold.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows, with the task column if `task_column` names one.
        y : object
            Ignored; it is here for scikit-learn.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Yields
        ------
        train, test : ndarray
            Sorted row numbers: all rows of the other tasks, and of the held-out ones.

        Raises
        ------
        ValueError
            If there is no task information or it comes twice, or there are more folds than
            tasks.
        """
        check_scalar(self.n_splits, "n_splits", Integral, min_val=2)
        codes = task_codes(X, groups, self.task_column)
        n_tasks = int(codes.max()) + 1
        if n_tasks < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need as many tasks, but there are {n_tasks}."
            )
        random_state = self.random_state if self.shuffle else None
        folds = GroupKFold(self.n_splits, shuffle=self.shuffle, random_state=random_state)
        yield from folds.split(codes, groups=codes)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored; they are here for scikit-learn.

        Returns
        -------
        n_splits : int
            The number of folds.
        """
        return self.n_splits
