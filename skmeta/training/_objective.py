"""The outer objective: from query predictions to the number that is minimised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from skmeta.inner import Episode, mean_over_rows
from skmeta.inner._losses import RowLoss

__all__ = ["MeanOverTasks"]

_ABSENT = -1e4  # logit of a class that a task does not have


class MeanOverTasks(nn.Module):
    """The mean over tasks of the mean over query rows.

    Parameters
    ----------
    loss : callable
        The loss of each row.
    """

    selects = False  # whether tasks may count differently

    def __init__(self, loss: RowLoss) -> None:
        super().__init__()
        self.loss = loss
        self.latest: dict[str, Tensor] = {}  # what `weigh` found, for `observe`

    def forward(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the meta-loss."""
        losses = self.task_losses(predicted, episode)
        return self.aggregate(losses, self.weigh(losses.detach(), episode.tasks))

    def weigh(self, losses: Tensor, tasks: Tensor) -> Tensor | None:
        """Return how much each task of a meta-batch counts, 1 on average; None if all alike."""
        return None

    def aggregate(self, losses: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the meta-loss from the loss of each task."""
        return losses.mean() if weights is None else (weights * losses).mean()

    def observe(self, losses: Tensor, tasks: Tensor) -> None:
        """See the losses of an update that is done."""

    def end_epoch(self) -> None:
        """See that an epoch is over."""

    def trusted(self, n_tasks: int) -> NDArray[np.int64]:
        """Return the numbers of the tasks that what is learned after training may learn from."""
        return np.arange(n_tasks)

    def task_losses(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the query loss of each task."""
        losses = self.loss(_present(predicted, episode), episode.query_y)
        return mean_over_rows(losses, episode.query_mask)

    def as_target(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the query targets that predictions stand for."""
        return self.loss.as_target(_present(predicted, episode))


def _present(predicted: Tensor, episode: Episode) -> Tensor:
    """Rule out the classes that a task does not have."""
    if episode.there is None:
        return predicted
    return predicted + _ABSENT * (1 - episode.there)[:, None]
