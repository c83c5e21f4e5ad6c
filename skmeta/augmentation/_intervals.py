"""Tasks mixed with their own bounds, and losses of the bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from skmeta.augmentation._build import find_chain
from skmeta.augmentation._interval_chain import IntervalChain
from skmeta.inner import Episode, EpisodeModule, mean_over_rows

__all__ = ["IntervalLosses", "Intervals"]

_RAMP = 0.9  # of training, until the boxes have their size


class Intervals:
    """Widen the boxes, and replace a task of each meta-batch by a mixture with its bounds.

    Parameters
    ----------
    chain : IntervalChain
        The network.
    epsilon : float
        Half the side of the boxes in the end.
    alpha : float
        ``λ ~ Beta(α, α)`` is the part of the bounds in the mixture.
    n_updates : int
        Meta-updates altogether.
    by_class : bool
        Whether each class has λ and a bound of its own.
    random : numpy.random.Generator
        The source of randomness.
    """

    def __init__(
        self,
        chain: IntervalChain,
        *,
        epsilon: float,
        alpha: float,
        n_updates: int,
        by_class: bool,
        random: np.random.Generator,
    ) -> None:
        self.chain = chain
        self.epsilon = epsilon
        self.alpha = alpha
        self.n_updates = n_updates
        self.by_class = by_class
        self.random = random
        self.n_done = 0

    def __call__(self, episode: Episode) -> Episode:
        """Return the tasks with rows as the network takes them."""
        self.chain.epsilon = self.epsilon * min(1.0, self.n_done / (_RAMP * self.n_updates))
        self.n_done += 1
        n_tasks = len(episode.tasks)
        n_cells = episode.support_y.shape[2] if self.by_class else 1
        shares = np.zeros((n_tasks, n_cells))
        sign = self.random.choice([-1.0, 1.0], size=n_cells)
        part = self.random.beta(self.alpha, self.alpha, size=n_cells)
        shares[self.random.integers(n_tasks)] = sign * part
        of_cells = torch.from_numpy(shares).to(episode.support_X)[:, None]
        parts: dict[str, Tensor] = {}
        for side in ("support", "query"):
            X, mask = getattr(episode, f"{side}_X"), getattr(episode, f"{side}_mask")[..., None]
            belongs = getattr(episode, f"{side}_y") if self.by_class else mask
            share = (belongs * of_cells).sum(dim=2, keepdim=True)
            parts[f"{side}_X"] = torch.cat([X, share], dim=2)
        return dataclasses.replace(episode, **parts)


class IntervalLosses:
    """Weigh the loss of a task against how far its rows are from their bounds.

    Parameters
    ----------
    temperature : float
        What the losses are divided by before a softmax makes weights of them.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, module: EpisodeModule, episode: Episode, losses: Tensor) -> Tensor:
        """Return ``Σ_k w_k L_k`` with constants ``w = softmax(L / temperature)`` of each task."""
        chain = find_chain(IntervalChain, module)
        X = episode.query_X[..., : chain.n_features]
        context = X.new_zeros(*X.shape[:2], chain.width - chain.n_features)
        lower, value, upper = chain.bounds(torch.cat([X, context], dim=2))
        gaps = [
            mean_over_rows((bound - value).square().mean(dim=2), episode.query_mask)
            for bound in (upper, lower)
        ]
        parts = torch.stack([losses, *gaps], dim=1)
        # With a derivative, a loss well below the others would be driven up to weigh more.
        weights = (parts.detach() / self.temperature).softmax(dim=1)
        return (weights * parts).sum(dim=1)
