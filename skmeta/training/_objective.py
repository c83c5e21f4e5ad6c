"""The outer objective: from query predictions to the number that is minimised."""

from __future__ import annotations

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

    def __init__(self, loss: RowLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the meta-loss."""
        return self.task_losses(predicted, episode).mean()

    def task_losses(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the query loss of each task."""
        if episode.there is not None:
            predicted = predicted + _ABSENT * (1 - episode.there)[:, None]
        return mean_over_rows(self.loss(predicted, episode.query_y), episode.query_mask)
