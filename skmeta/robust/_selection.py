"""What objectives that let some tasks count more than others share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmeta.inner._losses import RowLoss
from skmeta.training import MeanOverTasks

__all__ = ["Choice", "EpochRecord", "SelectedTasks", "Suspects", "median", "share", "within"]

_LEAST_LOSS = 1e-12
_MOSTLY = 0.5  # share of meta-updates in which suspect tasks were dropped


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch of meta-training made of the tasks.

    Parameters
    ----------
    drawn, kept, hard : ndarray of shape (n_tasks,)
        How often each task was drawn, how often it counted, and how often it was dropped at the
        hard end.
    thresholds : ndarray of shape (2,)
        Scores at and above which, and below which, tasks counted; means over updates.
    """

    drawn: NDArray[np.float64]
    kept: NDArray[np.float64]
    hard: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """What an objective makes of the tasks of a meta-batch.

    Parameters
    ----------
    weights : Tensor of shape (n_tasks,)
        How much each counts, 1 on average.
    thresholds : Tensor of shape (2,)
        Scores at and above which, and below which, tasks count.
    above : Tensor of shape (n_tasks,)
        Whether each is at the hard end, beyond the second threshold.
    learned : dict of Tensor, default={}
        New values of buffers, for the next meta-batches.
    """

    weights: Tensor
    thresholds: Tensor
    above: Tensor
    learned: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Suspects:
    """Tasks that were mostly dropped.

    Parameters
    ----------
    tasks : ndarray of shape (n_suspects,)
        Their numbers.
    dropped : ndarray of shape (n_suspects,)
        The share of the meta-updates they were drawn for in which they were dropped.
    hard : ndarray of shape (n_suspects,)
        Whether that was mostly at the hard end.
    """

    tasks: NDArray[np.int64]
    dropped: NDArray[np.float64]
    hard: NDArray[np.bool_]


class SelectedTasks(MeanOverTasks):
    """A mean over tasks with weights that depend on their losses and are constants otherwise.

    Parameters
    ----------
    loss : RowLoss
        The loss of each row.
    n_tasks : int
        The number of training tasks.
    constant : array of shape (n_tasks,), default=None
        The loss of each task's best constant prediction, which losses are compared relative to:
        scores. None compares losses.
    n_warm : int
        The number of first updates in which all tasks count alike.
    already_log : bool, default=False
        Whether losses are minus log-likelihoods, so logarithms already.
    """

    selects = True

    constant: Tensor | None
    n_seen: Tensor

    def __init__(
        self,
        loss: RowLoss,
        *,
        n_tasks: int,
        constant: NDArray[np.float64] | None = None,
        n_warm: int,
        already_log: bool = False,
    ) -> None:
        super().__init__(loss)
        self.n_tasks = n_tasks
        self.n_warm = n_warm
        self.already_log = already_log
        self.register_buffer(
            "constant",
            None if constant is None else torch.as_tensor(constant, dtype=torch.float64),
        )
        self.register_buffer("n_seen", torch.zeros(()))
        self.updates: list[tuple[Tensor, ...]] = []  # of this epoch
        self.records: list[EpochRecord] = []
        self.n_per_update = 0

    @abstractmethod
    def choose(self, scores: Tensor, tasks: Tensor) -> Choice:
        """Return what to make of the tasks of a meta-batch, and learn nothing yet."""

    def score(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """Return losses in the units in which tasks are compared."""
        if self.constant is None:
            return losses
        constant = self.constant[tasks].to(losses.dtype)
        return losses - constant if self.already_log else losses / constant

    def logs(self, scores: Tensor) -> Tensor:
        """Return the logarithms of scores."""
        return scores if self.already_log else scores.clamp(min=_LEAST_LOSS).log()

    def unlog(self, logs: Tensor) -> Tensor:
        """Return the scores of logarithms."""
        return logs if self.already_log else logs.exp()

    def weigh(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """Return how much each task of a meta-batch counts."""
        choice = self.choose(self.score(losses, tasks), tasks)
        weights = choice.weights
        weights = torch.where(self.n_seen < self.n_warm, torch.ones_like(weights), weights)
        found = {"of_tasks": weights, "above": choice.above, "thresholds": choice.thresholds}
        self.latest = found | choice.learned
        return weights

    @torch.no_grad()
    def observe(self, losses: Tensor, tasks: Tensor) -> None:
        """Record an update that is done, and learn from it."""
        # Small operations cost as much as a small meta-update does: nothing is chosen twice, and
        # what is recorded is counted when the epoch is over.
        if not self.latest:
            self.weigh(losses, tasks)
        latest, self.latest = self.latest, {}
        self.n_per_update = len(tasks)
        recorded = (latest.pop(name) for name in ("of_tasks", "above", "thresholds"))
        self.updates.append((tasks, *recorded))
        self.n_seen += 1
        for name, value in latest.items():
            getattr(self, name).copy_(value)

    def end_epoch(self) -> None:
        """Put the counts of the epoch on record."""
        if not self.updates:
            return
        *of_tasks, reached = zip(*self.updates, strict=True)
        tasks, weights, above = (torch.cat(parts).cpu().numpy() for parts in of_tasks)
        thresholds = torch.stack(reached).double().mean(dim=0).cpu().numpy()
        self.updates = []
        kept = weights > 0
        drawn, counted, hard = (
            np.bincount(tasks[which], minlength=self.n_tasks).astype(np.float64)
            for which in (np.ones_like(kept), kept, above & ~kept)
        )
        self.records.append(EpochRecord(drawn, counted, hard, thresholds))

    def suspects(self) -> Suspects:
        """Return the tasks mostly dropped in the last half of training."""
        late, none = self.records[len(self.records) // 2 :], np.zeros(self.n_tasks)
        drawn, kept, hard = (
            sum((getattr(record, name) for record in late), none)
            for name in ("drawn", "kept", "hard")
        )
        dropped = share(drawn - kept, drawn)
        tasks = np.flatnonzero(dropped > _MOSTLY)
        return Suspects(tasks, dropped[tasks], 2 * hard[tasks] > (drawn - kept)[tasks])

    def trusted(self, n_tasks: int) -> NDArray[np.int64]:
        """Return the numbers of the tasks that mostly counted; all if none did."""
        tasks = np.setdiff1d(np.arange(n_tasks), self.suspects().tasks)
        return tasks if len(tasks) else np.arange(n_tasks)


def share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, NaN where there is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def within(scores: Tensor, low: Tensor, high: Tensor, center: Tensor) -> Tensor:
    """Return weights of scores ``low <= s < high``, or of the one nearest to `center`."""
    inside = (scores >= low) & (scores < high)
    distance = (scores - center).abs()
    inside = torch.where(inside.any(), inside, distance == distance.min())
    kept = inside.to(scores.dtype)
    return kept * (len(kept) / kept.sum())


def median(values: Tensor) -> Tensor:
    """Return the median, as `Tensor.quantile` would at ten times the cost."""
    ordered, last = values.sort().values, len(values) - 1
    return (ordered[last // 2] + ordered[(last + 1) // 2]) / 2
