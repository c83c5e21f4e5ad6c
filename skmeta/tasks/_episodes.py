"""Episodes: a support and a query drawn without replacement from the rows of a task."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta.tasks._data import TaskData

__all__ = ["EpisodeSampler", "Episodes", "TaskChooser", "draw_subsets", "shots_range"]

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

TaskChooser = Callable[[np.random.Generator, Indices, int, int], Indices]
"""(source of randomness, eligible tasks, n_batches, n_tasks) -> tasks, a row for each batch."""

_BLOCK = 2048  # episodes drawn at once: the cost of drawing is shared by many meta-updates


@dataclass(frozen=True)
class Episodes:
    """Row numbers of episodes, padded to rectangles.

    Parameters
    ----------
    tasks : ndarray of shape (n_episodes,)
        The task of each episode.
    support, query : ndarray of shape (n_episodes, n_rows)
        Positions of rows in the task data; a padded cell holds any position.
    support_mask, query_mask : ndarray of shape (n_episodes, n_rows)
        True where a cell holds a row.
    support_slots, query_slots : ndarray of shape (n_episodes, n_rows), default=None
        The number of the row's class in the episode, where classes have no fixed number.
    n_ways : ndarray of shape (n_episodes,), default=None
        The number of classes of each episode, likewise.
    classes : ndarray of shape (n_episodes, n_way), default=None
        What the numbers stand for, where the classes of an episode were drawn.
    """

    tasks: Indices
    support: Indices
    support_mask: Mask
    query: Indices
    query_mask: Mask
    support_slots: Indices | None = None
    query_slots: Indices | None = None
    n_ways: Indices | None = None
    classes: Indices | None = None

    def __getitem__(self, episodes: slice) -> Episodes:
        parts: Any = {name: a if a is None else a[episodes] for name, a in vars(self).items()}
        return Episodes(**parts)


class EpisodeSampler:
    """Draw episodes of a task collection, many at a time.

    Parameters
    ----------
    data : TaskData
        The rows. Where tasks have label sets of their own, its `y` counts classes within each
        task and its `n_ways` says how many there are.
    n_shots : int or (int, int)
        Support rows of an episode, or the smallest and largest number, drawn anew for each
        episode; of each class with `n_way` or `stratify`. A smaller task gives fewer, but
        always leaves a row for the query.
    n_queries : int or None
        At most this many query rows (of each class likewise); None for all that are left.
    n_way : int or None
        Draw this many classes of the task for each episode, and number them anew.
    stratify : bool
        Draw each class of the task separately.
    random : numpy.random.Generator
        The source of randomness.
    choose : TaskChooser, default=None
        Draws the tasks of meta-batches; None draws them uniformly.
    by_half : bool, default=False
        Whether half of the rows of a task, or class, are its support, in place of `n_shots`.

    Raises
    ------
    ValueError
        If no task is large enough to train on.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.tasks import EpisodeSampler, TaskData
    >>> rows = np.arange(12.0)[:, None]
    >>> data = TaskData.from_rows(rows, rows, np.repeat([0, 1, 2], 4))
    >>> sampler = EpisodeSampler(data, 2, None, random=np.random.default_rng(0))
    >>> episodes = sampler.draw(5)
    >>> episodes.support.shape, episodes.query.shape
    ((5, 2), (5, 2))
    """

    def __init__(
        self,
        data: TaskData,
        n_shots: int | tuple[int, int],
        n_queries: int | None,
        *,
        n_way: int | None = None,
        stratify: bool = False,
        random: np.random.Generator,
        choose: TaskChooser | None = None,
        by_half: bool = False,
    ) -> None:
        self.choose = choose
        self.by_half = by_half
        self.low, self.high = shots_range(n_shots)
        if n_queries is not None and not (isinstance(n_queries, Integral) and n_queries > 0):
            raise ValueError(f"n_queries={n_queries!r} must be a positive int or None.")
        self.n_queries = n_queries
        self.n_way = n_way
        self.random = random
        self.n_ways = data.n_ways
        self.labels = data.y
        self.by_class = stratify or n_way is not None
        if self.by_class:
            self._index_classes(data)
        else:
            self._index_rows(data)
        if by_half:
            self.high = max(int(self.sizes.max(initial=0)) // 2, self.high)

    def _index_rows(self, data: TaskData) -> None:
        self.starts, self.sizes = data.table.offsets[:-1], data.sizes
        self.eligible = np.flatnonzero(self.sizes > self.low)
        if len(self.eligible) == 0:
            raise ValueError(
                f"No task is large enough to train on: n_shots={self.low} needs tasks of at least "
                f"{self.low + 1} rows, and the largest has {self.sizes.max(initial=0)} sample(s)."
            )

    def _index_classes(self, data: TaskData) -> None:
        """Sort rows by (task, class); an episode then draws from such cells."""
        n_classes = int(data.y.max(initial=0)) + 1
        cell = data.owners * n_classes + data.y
        self.rows = np.argsort(cell, kind="stable")
        cells, first, sizes = np.unique(cell[self.rows], return_index=True, return_counts=True)
        owner = cells // n_classes
        self.cell_class = cells % n_classes
        if self.n_way is not None:
            trainable = sizes > self.low
            cells_left, first, sizes, owner = (a[trainable] for a in (cells, first, sizes, owner))
            self.cell_class = cells_left % n_classes
        self.starts, self.sizes = first, sizes
        self.first_cell = np.searchsorted(owner, np.arange(data.table.n_tasks))
        self.n_cells = np.bincount(owner, minlength=data.table.n_tasks)
        largest = np.zeros(data.table.n_tasks, dtype=np.int64)
        np.maximum.at(largest, owner, sizes)
        enough = self.n_cells >= (self.n_way or 1)
        self.eligible = np.flatnonzero(enough & (largest > self.low))
        if len(self.eligible) == 0:
            if self.n_way is not None:
                raise ValueError(
                    f"No task is large enough to train on: n_way={self.n_way} and "
                    f"n_shots={self.low} need {self.n_way} classes of at least {self.low + 1} rows "
                    f"each, and at most {self.n_cells.max(initial=0)} classes have them."
                )
            raise ValueError(
                f"No task is large enough to train on: n_shots={self.low} needs a class of at "
                f"least {self.low + 1} rows, and the largest has {sizes.max(initial=0)}."
            )

    def blocks(self, n_tasks: int) -> Iterator[Episodes]:
        """Yield episodes without end, those of many meta-batches at a time.

        Parameters
        ----------
        n_tasks : int
            Episodes in a meta-batch, of distinct tasks where there are enough.

        Yields
        ------
        episodes : Episodes
            Of one meta-batch after another.
        """
        n_batches = max(1, _BLOCK // n_tasks)
        while True:
            yield self.draw(n_batches * n_tasks, per_batch=n_tasks)

    def draw(self, n_episodes: int, per_batch: int | None = None) -> Episodes:
        """Draw episodes.

        Parameters
        ----------
        n_episodes : int
            How many.
        per_batch : int, default=None
            Each run of this many episodes has distinct tasks, where there are enough of them.

        Returns
        -------
        episodes : Episodes
        """
        return self.of_tasks(self._draw_tasks(n_episodes, per_batch or n_episodes))

    def of_tasks(self, tasks: Indices) -> Episodes:
        """Draw an episode of each of the given tasks, which must be eligible."""
        shots = self.random.integers(self.low, self.high + 1, size=len(tasks))
        return self._draw_classes(tasks, shots) if self.by_class else self._draw_rows(tasks, shots)

    def _draw_tasks(self, n_episodes: int, per_batch: int) -> Indices:
        n_eligible, n_batches = len(self.eligible), -(-n_episodes // per_batch)
        if self.choose is not None:
            chosen = self.choose(self.random, self.eligible, n_batches, per_batch)
            return chosen.ravel()[:n_episodes]
        if n_eligible < per_batch:
            return self.eligible[self.random.integers(n_eligible, size=n_episodes)]
        size = np.full(n_batches, n_eligible)
        drawn = draw_subsets(self.random, size, np.full(n_batches, per_batch))
        return self.eligible[drawn.ravel()[:n_episodes]]

    def _draw_rows(self, tasks: Indices, shots: Indices) -> Episodes:
        support, support_mask, query, query_mask = self._split(tasks, shots)
        if self.n_ways is None:
            return Episodes(tasks, support, support_mask, query, query_mask)
        return self._number_classes(tasks, support, support_mask, query, query_mask)

    def _number_classes(
        self, tasks: Indices, support: Indices, support_mask: Mask, query: Indices, query_mask: Mask
    ) -> Episodes:
        """Give the classes of each task random numbers, for their order means nothing."""
        assert self.n_ways is not None
        n_ways = self.n_ways[tasks]
        keys = self.random.random((len(tasks), int(n_ways.max())))
        keys[np.arange(keys.shape[1]) >= n_ways[:, None]] = np.inf
        numbers = np.argsort(keys, axis=1)
        support_slots = np.take_along_axis(numbers, self.labels[support], axis=1)
        query_slots = np.take_along_axis(numbers, self.labels[query], axis=1)
        # A class that the support does not show cannot be asked for.
        shown = np.zeros(keys.shape, dtype=bool)
        rows, columns = np.nonzero(support_mask)
        shown[rows, support_slots[rows, columns]] = True
        query_mask = query_mask & np.take_along_axis(shown, query_slots, axis=1)
        return Episodes(
            tasks, support, support_mask, query, query_mask, support_slots, query_slots, n_ways
        )

    def _draw_classes(self, tasks: Indices, shots: Indices) -> Episodes:
        n_cells = self.n_cells[tasks]
        width = int(n_cells.max()) if self.n_way is None else self.n_way
        if self.n_way is None:
            column = np.arange(width)
            there = column < n_cells[:, None]
            chosen = np.where(there, column, 0)
        else:
            chosen = draw_subsets(self.random, n_cells, np.full(len(tasks), width))
            there = np.ones(chosen.shape, dtype=bool)
        cells = self.first_cell[tasks][:, None] + chosen
        shape = (len(tasks), width, -1)
        support, support_mask, query, query_mask = self._split(
            cells.ravel(), np.repeat(shots, width)
        )
        support = self.rows[support].reshape(len(tasks), -1)
        query = self.rows[query].reshape(len(tasks), -1)
        support_mask = (support_mask.reshape(shape) & there[..., None]).reshape(support.shape)
        query_mask = (query_mask.reshape(shape) & there[..., None]).reshape(query.shape)
        if self.n_way is not None:
            slots = np.arange(width)
            return Episodes(
                tasks,
                support,
                support_mask,
                query,
                query_mask,
                np.tile(np.repeat(slots, support.shape[1] // width), (len(tasks), 1)),
                np.tile(np.repeat(slots, query.shape[1] // width), (len(tasks), 1)),
                np.full(len(tasks), width),
                self.cell_class[cells],
            )
        if self.n_ways is not None:
            return self._number_classes(tasks, support, support_mask, query, query_mask)
        return Episodes(tasks, support, support_mask, query, query_mask)

    def _split(self, pools: Indices, shots: Indices) -> tuple[Indices, Mask, Indices, Mask]:
        """Draw a support and a query from each pool of rows, a task or one of its classes."""
        sizes = self.sizes[pools]
        if self.by_half:
            shots = np.maximum(sizes // 2, 1)
        # A class of one row still goes into the support; a task of one row is not eligible.
        least = 1 if self.by_class else 0
        n_support = np.minimum(shots, np.maximum(sizes - 1, least))
        n_query = sizes - n_support
        if self.n_queries is not None:
            n_query = np.minimum(n_query, self.n_queries)
        drawn = draw_subsets(self.random, sizes, n_support + n_query)
        width = max(int(n_query.max(initial=0)), 1)
        at = np.arange(max(self.high, 1))
        support_mask = at < n_support[:, None]
        query_mask = np.arange(width) < n_query[:, None]
        last = drawn.shape[1] - 1
        support_at = np.minimum(at, last)
        query_at = np.minimum(n_support[:, None] + np.arange(width), last)
        start = self.starts[pools][:, None]
        support = start + np.where(support_mask, drawn[:, support_at], 0)
        query = start + np.where(query_mask, np.take_along_axis(drawn, query_at, axis=1), 0)
        return support, support_mask, query, query_mask


def draw_subsets(
    random: np.random.Generator, sizes: NDArray[Any], counts: NDArray[Any]
) -> NDArray[np.int64]:
    """Draw from each pool without replacement, in random order.

    Floyd's algorithm, one step for all pools at once: the cost depends on how many are drawn
    and not on how large the pools are.

    Parameters
    ----------
    random : numpy.random.Generator
        The source of randomness.
    sizes : ndarray of shape (n_pools,)
        Pool sizes.
    counts : ndarray of shape (n_pools,)
        How many to draw of each, at most its size.

    Returns
    -------
    drawn : ndarray of shape (n_pools, largest count)
        Numbers below the pool's size; -1 behind the pool's count.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.tasks import draw_subsets
    >>> drawn = draw_subsets(np.random.default_rng(0), np.array([3, 10]), np.array([3, 2]))
    >>> sorted(drawn[0].tolist()), drawn[1, 2].item()
    ([0, 1, 2], -1)
    """
    width = int(counts.max(initial=0))
    drawn = np.full((width, len(sizes)), -1, dtype=np.int64)  # pools side by side in memory
    uniform = random.random(drawn.shape)
    for step in range(width):
        top = sizes - counts + step  # the largest number that this step may draw
        candidate = (uniform[step] * (top + 1)).astype(np.int64)
        taken = (drawn[:step] == candidate).any(axis=0)
        drawn[step] = np.where(step < counts, np.where(taken, top, candidate), -1)
    keys = random.random(drawn.T.shape)
    keys[drawn.T < 0] = np.inf
    shuffled: NDArray[np.int64] = np.take_along_axis(drawn.T, np.argsort(keys, axis=1), axis=1)
    return shuffled


def shots_range(n_shots: int | tuple[int, int]) -> tuple[int, int]:
    """Return the smallest and the largest number of support rows.

    Parameters
    ----------
    n_shots : int or (int, int)
        A number, or a range with both ends included.

    Returns
    -------
    low, high : int

    Raises
    ------
    ValueError
        If it is neither, or the range is empty.

    Examples
    --------
    >>> from skmeta.tasks import shots_range
    >>> shots_range(5), shots_range((1, 10))
    ((5, 5), (1, 10))
    """
    pair: Any = (n_shots, n_shots) if isinstance(n_shots, Integral) else n_shots
    try:
        low, high = (operator.index(end) for end in pair)
    except (TypeError, ValueError):
        low, high = -1, -1
    if not 0 <= low <= high:
        raise ValueError(
            f"n_shots={n_shots!r} must be a number of rows, or a range (low, high) of it."
        )
    return low, high
