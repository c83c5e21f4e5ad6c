"""Weights of tasks by their neural tangent kernels (NTKMTL)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from skmeta.balancing._balanced import BalancedGradient
from skmeta.inner import Episode

__all__ = ["NTKGradient", "top_eigenvalues"]

_LEAST_SHARE = 1e-8  # of the mean eigenvalue, so that no weight is above 10,000


class NTKGradient(BalancedGradient):
    """``mean_i ω_i g_i`` with ``ω_i = sqrt(mean_j λ_j / λ_i)``, constant in differentiation.

    λ_i is the largest eigenvalue of the tangent kernel of task i, that of the losses of parts of
    its query rows: ``K_i = G_i G_i'`` with a gradient in each row of G_i.

    Parameters
    ----------
    n_splits : int
        The number of parts.
    """

    def __init__(self, n_splits: int) -> None:
        super().__init__()
        self.n_splits = n_splits
        self.drawn: list[tuple[Tensor, Tensor]] = []  # the tasks of an update, and their weights

    def combine(
        self,
        jacobian: Tensor,
        counts: Tensor,
        episode: Episode,
        jacobian_of: Callable[[Episode], Tensor],
    ) -> Tensor:
        """Return the update of the shared parameters."""
        parts, n_parts = jacobian[:, None], torch.ones_like(counts)
        if self.n_splits > 1:
            parts = jacobian_of(_split(episode, self.n_splits))
            parts = parts.view(len(jacobian), self.n_splits, -1)
            n_parts = episode.query_mask.sum(dim=1).clamp(1, self.n_splits)
        values = top_eigenvalues(parts) / n_parts
        mean = (counts * values).mean()
        weights = (mean / values.clamp(min=_LEAST_SHARE * mean)).sqrt()
        # A gradient of 0, as of a head that is still 0, has no length that a weight could change.
        weights = torch.where(values > 0, weights, 1.0)
        self.drawn.append((episode.tasks, weights))
        return (counts * weights) @ jacobian / len(counts)


def top_eigenvalues(parts: Tensor) -> Tensor:
    """Return the largest eigenvalue of ``G G'`` for each task, from G of all."""
    kernels = parts @ parts.mT
    # Losses that diverge are reported as such; the solver would only fail on them.
    return torch.linalg.eigvalsh(kernels.nan_to_num())[:, -1].clamp(min=0)


def _split(episode: Episode, n_splits: int) -> Episode:
    """Return each task as many times in a row, each with its share of the query rows."""
    mask = episode.query_mask
    part = (mask.cumsum(dim=1).long() - 1) % n_splits
    numbers = torch.arange(n_splits, device=mask.device)
    masks = (mask[:, None] * (part[:, None] == numbers[:, None])).flatten(0, 1)
    tasks = torch.arange(len(mask), device=mask.device).repeat_interleave(n_splits)
    repeated = episode.take(tasks)
    return replace(repeated, query_mask=masks, query_y=repeated.query_y * masks[..., None])
