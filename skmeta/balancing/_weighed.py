"""What ways to weigh tasks by their tangent kernels share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from skmeta.inner import Episode

__all__ = ["DrawnWeights", "split", "top_eigenvalues"]

_LEAST_SHARE = 1e-8  # of the mean eigenvalue, so that no weight is above 10,000


class DrawnWeights:
    """The weights ``ω_i = sqrt(mean_j λ_j / λ_i)`` of tasks, kept for each update.

    Parameters
    ----------
    n_splits : int
        The parts of the query rows of a task whose gradients make its kernel.
    """

    def __init__(self, n_splits: int) -> None:
        super().__init__()
        self.n_splits = n_splits
        self.drawn: list[tuple[Tensor, Tensor]] = []  # the tasks of an update, and their weights

    def weigh(self, parts: Tensor, counts: Tensor, episode: Episode) -> Tensor:
        """Return ω.

        Parameters
        ----------
        parts : Tensor of shape (n_tasks, n_splits, n_derivatives)
            The gradient of each part of each task; 0 for parts without rows.
        counts : Tensor of shape (n_tasks,)
            How much each task counts, 1 on average.
        episode : Episode
            The tasks.
        """
        n_parts = episode.query_mask.sum(dim=1).clamp(1, self.n_splits)
        values = top_eigenvalues(parts) / n_parts
        mean = (counts * values).mean()
        weights = (mean / values.clamp(min=_LEAST_SHARE * mean)).sqrt()
        # A gradient of 0, as of a head that is still 0, has no length that a weight could change.
        weights = torch.where(values > 0, weights, 1.0)
        self.drawn.append((episode.tasks, weights))
        return weights


def top_eigenvalues(parts: Tensor) -> Tensor:
    """Return the largest eigenvalue of ``G G'`` for each task, from G of all."""
    kernels = parts @ parts.mT
    # Losses that diverge are reported as such; the solver would only fail on them.
    return torch.linalg.eigvalsh(kernels.nan_to_num())[:, -1].clamp(min=0)


def split(episode: Episode, n_splits: int) -> Episode:
    """Return each task as many times in a row, each with its share of the query rows."""
    mask = episode.query_mask
    part = (mask.cumsum(dim=1).long() - 1) % n_splits
    numbers = torch.arange(n_splits, device=mask.device)
    masks = (mask[:, None] * (part[:, None] == numbers[:, None])).flatten(0, 1)
    tasks = torch.arange(len(mask), device=mask.device).repeat_interleave(n_splits)
    repeated = episode.take(tasks)
    return replace(repeated, query_mask=masks, query_y=repeated.query_y * masks[..., None])
