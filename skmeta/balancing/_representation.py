"""Weights of tasks by how their losses depend on the shared representation (NTKMTL-SR)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from skmeta.balancing._weighed import DrawnWeights, split
from skmeta.inner import Episode, EpisodeModule
from skmeta.training import MeanGradient, MeanOverTasks, leave_gradient

__all__ = ["RepresentationGradient"]


class RepresentationGradient(DrawnWeights):
    """``∇ mean_i ω_i L_i`` with λ_i of the gradients by what the shared network returns.

    These gradients stop before the network, so that weights cost a pass through the heads alone.

    Parameters
    ----------
    n_splits : int
        The number of parts.
    """

    def __call__(
        self,
        module: EpisodeModule,
        objective: MeanOverTasks,
        episode: Episode,
        weights: Tensor | None,
        chunk_size: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Differentiate the weighted meta-loss of an episode."""
        if module.shared_network is None:
            raise ValueError(
                "method='ntk-sr' needs a learner whose tasks share a network and have heads on "
                "it; where all weights adapt, take method='ntk'."
            )
        network, seen = module.get_submodule(module.shared_network), list[Tensor]()
        hook = network.register_forward_hook(lambda _, __, output: seen.append(output))
        try:
            losses = module.training_losses(episode, objective)
        finally:
            hook.remove()
        features = seen[0]  # a regularizer may run the network again
        if not features.requires_grad:  # there is nothing that tasks could disagree on
            return MeanGradient()(module, objective, episode, weights, chunk_size)
        if weights is None:
            weights = objective.weigh(losses.detach(), episode.tasks)
        counts = torch.ones_like(losses) if weights is None else weights
        if self.n_splits == 1:
            (slopes,) = torch.autograd.grad(losses.sum(), features, retain_graph=True)
        else:
            slopes = _slopes(module, objective, episode, features.detach(), self.n_splits)
        kept = counts.nonzero()[:, 0]
        share = len(kept) / len(counts)
        parts = slopes.view(len(losses), self.n_splits, -1)[kept]
        found = self.weigh(parts, counts[kept] * share, episode.take(kept))
        leave_gradient(module, objective, losses, counts.index_put((kept,), counts[kept] * found))
        return objective.aggregate(losses, weights).detach(), losses.detach()


def _slopes(
    module: EpisodeModule,
    objective: MeanOverTasks,
    episode: Episode,
    features: Tensor,
    n_splits: int,
) -> Tensor:
    """Return the gradient of the loss of each part of each task by the features of the task."""
    by_task = features.view(len(episode.tasks), -1, *features.shape[1:])
    given = by_task.repeat_interleave(n_splits, dim=0).flatten(0, 1).requires_grad_()
    probe = copy.copy(module)
    probe._modules = {**module._modules, str(module.shared_network): _Given(given)}
    losses = probe.task_losses(split(episode, n_splits), objective)
    (slopes,) = torch.autograd.grad(losses.sum(), given)
    return slopes


class _Given(nn.Module):
    """What a network has returned."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, X: Tensor) -> Tensor:
        return self.features
