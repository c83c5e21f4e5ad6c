"""What objectives that let some tasks count more than others share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmeta.inner._losses import RowLoss
from skmeta.training import MeanOverTasks

__all__ = ["EpochRecord", "SelectedTasks", "within"]

_LEAST_LOSS = 1e-12


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch of meta-training made of the tasks.

    Parameters
    ----------
    drawn, kept : ndarray of shape (n_tasks,)
        How often each task was drawn, and how often it counted.
    thresholds : ndarray of shape (2,)
        Scores at and above which, and below which, tasks counted; means over updates.
    """

    drawn: NDArray[np.float64]
    kept: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class SelectedTasks(MeanOverTasks):
    """A mean over tasks with weights that depend on their losses and are constants otherwise.

    Parameters
    ----------
    loss : RowLoss
        The loss of each row.
    scales : array of shape (n_tasks,)
        What losses are divided by before they are compared: scores.
    n_warm : int
        The number of first updates in which all tasks count alike.
    already_log : bool, default=False
        Whether losses are minus log-likelihoods, so logarithms already.
    """

    selects = True

    scales: Tensor
    n_seen: Tensor
    drawn: Tensor
    kept: Tensor
    reached: Tensor

    def __init__(
        self,
        loss: RowLoss,
        *,
        scales: NDArray[np.float64],
        n_warm: int,
        already_log: bool = False,
    ) -> None:
        super().__init__(loss)
        self.n_warm = n_warm
        self.already_log = already_log
        self.register_buffer("scales", torch.as_tensor(scales, dtype=torch.float64))
        self.register_buffer("n_seen", torch.zeros(()))
        self.register_buffer("drawn", torch.zeros(len(scales)))
        self.register_buffer("kept", torch.zeros(len(scales)))
        self.register_buffer("reached", torch.zeros(3))
        self.records: list[EpochRecord] = []
        self.n_per_update = 0

    @abstractmethod
    def choose(self, scores: Tensor, tasks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of the tasks of a meta-batch, 1 on average, and the thresholds."""

    def learn(self, scores: Tensor, tasks: Tensor) -> None:
        """Learn from the scores of an update that is done."""

    def score(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """Return losses in the units in which tasks are compared."""
        scales = self.scales[tasks].to(losses.dtype)
        return losses - scales.log() / 2 if self.already_log else losses / scales

    def logs(self, scores: Tensor) -> Tensor:
        """Return the logarithms of scores."""
        return scores if self.already_log else scores.clamp(min=_LEAST_LOSS).log()

    def unlog(self, logs: Tensor) -> Tensor:
        """Return the scores of logarithms."""
        return logs if self.already_log else logs.exp()

    def weigh(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """Return how much each task of a meta-batch counts."""
        weights, _ = self.choose(self.score(losses, tasks), tasks)
        return torch.where(self.n_seen < self.n_warm, torch.ones_like(weights), weights)

    @torch.no_grad()
    def observe(self, losses: Tensor, tasks: Tensor) -> None:
        """Record an update that is done, and learn from it."""
        self.n_per_update = len(tasks)
        scores = self.score(losses, tasks)
        weights, thresholds = self.choose(scores, tasks)
        warm = self.n_seen < self.n_warm
        one = torch.ones_like(self.drawn[:1]).expand(len(tasks))
        self.drawn.index_add_(0, tasks, one)
        self.kept.index_add_(0, tasks, torch.where(warm, one, (weights > 0).to(one.dtype)))
        self.reached[:2] += thresholds.to(self.reached.dtype)
        self.reached[2] += 1
        self.learn(scores, tasks)
        self.n_seen += 1

    def end_epoch(self) -> None:
        """Put the counts of the epoch on record."""
        seen = self.drawn, self.kept, self.reached[:2] / self.reached[2].clamp(min=1)
        self.records.append(EpochRecord(*(part.double().cpu().numpy().copy() for part in seen)))
        for count in (self.drawn, self.kept, self.reached):
            count.zero_()


def within(scores: Tensor, low: Tensor, high: Tensor, center: Tensor) -> Tensor:
    """Return weights of scores ``low <= s < high``, or of the one nearest to `center`."""
    inside = (scores >= low) & (scores < high)
    distance = (scores - center).abs()
    inside = torch.where(inside.any(), inside, distance == distance.min())
    kept = inside.to(scores.dtype)
    return kept * (len(kept) / kept.sum())
