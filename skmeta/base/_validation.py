"""Tasks that training does not see, and the loss on fixed episodes of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar

from skmeta.exceptions import DivergenceWarning
from skmeta.tasks import EpisodeSampler, TaskData, TaskTable, as_labels

__all__ = ["Validation", "choose_held_out"]

QueryLosses = Callable[[TaskData, TaskData], NDArray[Any]]
"""(supports of episodes, their queries) -> the loss of each query row."""


def choose_held_out(
    wanted: Any,
    names: NDArray[Any],
    large: NDArray[np.int64],
    random: np.random.Generator,
    *,
    n_way: int | None = None,
) -> NDArray[Any]:
    """Return the labels of the tasks to hold out, or of the classes.

    Parameters
    ----------
    wanted : float or array-like
        The share of what is large enough, to be drawn, or the labels themselves.
    names : ndarray
        All labels.
    large : ndarray of int
        Numbers of those that are large enough to be trained on.
    random : numpy.random.Generator
        Draws them.
    n_way : int, default=None
        The classes of an episode, where episodes are drawn out of the classes of y.

    Returns
    -------
    labels : ndarray

    Raises
    ------
    ValueError
        If the share is out of range, labels are unknown, or there are too few on either side.
    """
    what, least = ("task(s)", 1) if n_way is None else ("classes", n_way)
    if isinstance(wanted, Real):
        check_scalar(
            wanted, "validation_fraction", Real, min_val=0, max_val=1, include_boundaries="neither"
        )
        n_held_out = int(np.ceil(float(wanted) * len(large)))
        chosen = np.sort(random.permutation(large)[:n_held_out])
    else:
        labels = as_labels(wanted)
        place = {name: number for number, name in enumerate(names.tolist())}
        unknown = [label for label in labels.tolist() if label not in place]
        if unknown:
            raise ValueError(
                f"validation_fraction names {what} that the rows do not have: {unknown[:5]}. It "
                "must be a number between 0 and 1, or labels of tasks, or of classes if there is "
                "one task and n_way is set."
            )
        chosen = np.unique([place[label] for label in labels.tolist()]).astype(np.int64)
        n_held_out = len(np.intersect1d(large, chosen))
    if min(n_held_out, len(large) - n_held_out) < least:
        raise ValueError(
            f"validation_fraction={wanted!r} holds out {n_held_out} of the {len(large)} {what} "
            f"that are large enough, and trains on {len(large) - n_held_out}; at least {least} "
            "must be on either side."
        )
    return names[chosen]


class Validation:
    """Fixed episodes of the tasks that are held out.

    Parameters
    ----------
    rows : TaskData
        Rows of held-out tasks, or of held-out classes.
    sampler : EpisodeSampler
        Draws positions of these rows.
    n_episodes : (int, int)
        At least so many episodes, as many of each task, and at most so many tasks.
    """

    def __init__(
        self, rows: TaskData, sampler: EpisodeSampler, n_episodes: tuple[int, int]
    ) -> None:
        fewest, most = n_episodes
        tasks = sampler.random.permutation(sampler.eligible)[:most]
        drawn = sampler.of_tasks(np.repeat(tasks, -(-fewest // len(tasks))))
        asked = drawn.query_mask.any(axis=1)
        if not asked.any():
            raise ValueError(
                "No task of validation_fraction has a query row of a class that its support shows; "
                "take more shots, or stratify=True."
            )
        self.support = _part(rows, drawn.support[asked], drawn.support_mask[asked])
        self.query = _part(rows, drawn.query[asked], drawn.query_mask[asked])

    def loss(self, query_losses: QueryLosses) -> float:
        """Return the mean over episodes of the mean over their query rows.

        Parameters
        ----------
        query_losses : callable
            The loss of each query row after adapting to the supports.

        Returns
        -------
        loss : float
        """
        with warnings.catch_warnings():
            # What concerns the trained learner is said again where it is used.
            warnings.simplefilter("ignore", DivergenceWarning)
            losses = query_losses(self.support, self.query)
        starts = self.query.table.offsets[:-1]
        return float((np.add.reduceat(losses, starts) / self.query.sizes).mean())


def _part(data: TaskData, rows: NDArray[np.int64], mask: NDArray[np.bool_]) -> TaskData:
    """Return the rows of a part of episodes, an episode being a task."""
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    chosen = rows[mask]
    table = TaskTable(np.arange(len(rows)), np.arange(len(chosen)), offsets)
    if len(chosen) == 0:  # padded cells need a row to point at, though no episode has it
        chosen = np.zeros(1, dtype=np.int64)
    return TaskData(table, data.X[chosen], data.y[chosen])
