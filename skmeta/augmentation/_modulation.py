"""Tasks that carry what modulates them, and the loss of the modulation."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from skmeta.augmentation._build import find_chain
from skmeta.augmentation._modulation_chain import ModulationChain
from skmeta.inner import Episode, EpisodeModule
from skmeta.inner._losses import row_shares

__all__ = ["Modulation", "ModulationLoss"]


class Modulation:
    """Lengthen the rows of each task by a summary of another task, and by noise.

    Parameters
    ----------
    chain : ModulationChain
        The network.
    layers : str
        "all", or "one" that is drawn for each meta-batch.
    variational : bool
        Whether there is noise; 0 takes the mean of the modulation.
    random : numpy.random.Generator
        The source of randomness.
    """

    def __init__(
        self,
        chain: ModulationChain,
        *,
        layers: str,
        variational: bool,
        random: np.random.Generator,
    ) -> None:
        self.chain = chain
        self.layers = layers
        self.variational = variational
        self.random = random

    def __call__(self, episode: Episode) -> Episode:
        """Return the tasks with rows as the network takes them."""
        chain, n_tasks = self.chain, len(episode.tasks)
        if self.layers == "one":
            chain.active = [int(self.random.integers(len(chain.widths)))]
        shift = self.random.integers(1, n_tasks, size=n_tasks) if n_tasks > 1 else 0
        partner = torch.from_numpy((np.arange(n_tasks) + shift) % n_tasks).to(episode.tasks.device)
        X = episode.support_X
        context = X.new_zeros(*X.shape[:2], chain.width - chain.n_features)
        with torch.no_grad():
            hidden = torch.cat(chain.summarise(torch.cat([X, context], dim=2)), dim=2)
        summary = (hidden * row_shares(episode.support_mask)[..., None]).sum(dim=1)[partner]
        noise = np.zeros((n_tasks, 2 * sum(chain.widths)))
        if self.variational:
            noise = self.random.standard_normal(noise.shape)
        extra = torch.cat([summary, torch.from_numpy(noise).to(summary)], dim=1)
        parts = {}
        for side in ("support_X", "query_X"):
            rows = getattr(episode, side)
            parts[side] = torch.cat([rows, extra[:, None].expand(-1, rows.shape[1], -1)], dim=2)
        return dataclasses.replace(episode, **parts)


class ModulationLoss:
    """Add to the loss of a task how far its modulation is from the prior.

    Parameters
    ----------
    weight : float
        Of the divergence.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, module: EpisodeModule, episode: Episode, losses: Tensor) -> Tensor:
        """Return ``L + weight · KL`` of each task."""
        chain = find_chain(ModulationChain, module)
        return losses + self.weight * chain.divergence(episode.query_X[:, 0, chain.n_features :])
