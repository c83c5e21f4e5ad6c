"""Meta-gradients that combine the gradients of tasks otherwise than by their mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from skmeta.inner import Episode, EpisodeModule
from skmeta.training import MeanGradient, MeanOverTasks, TaskGradients

__all__ = ["BalancedGradient"]

Weights = dict[str, Tensor]


class BalancedGradient(ABC):
    """A combination of the rows of the Jacobian: each task's gradient by shared parameters.

    Parameters that belong to one task alone get the gradient of the meta-loss.
    """

    def __init__(self) -> None:
        self.batched: bool | None = None

    @abstractmethod
    def combine(
        self,
        jacobian: Tensor,
        counts: Tensor,
        episode: Episode,
        jacobian_of: Callable[[Episode], Tensor],
    ) -> Tensor:
        """Return the update of the shared parameters.

        Parameters
        ----------
        jacobian : Tensor of shape (n_tasks, n_parameters)
            The gradient of each task.
        counts : Tensor of shape (n_tasks,)
            How much each counts, 1 on average and never 0.
        episode : Episode
            The tasks.
        jacobian_of : callable
            Returns the Jacobian of another episode.

        Returns
        -------
        update : Tensor of shape (n_parameters,)
        """

    def __call__(
        self,
        module: EpisodeModule,
        objective: MeanOverTasks,
        episode: Episode,
        weights: Tensor | None,
        chunk_size: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Differentiate the meta-loss of an episode."""
        tasks = TaskGradients(module, objective, episode, chunk_size)
        shared = [name for name in tasks.weights if name not in module.own_parameters]
        if not shared:  # there is nothing that tasks could disagree on
            return MeanGradient()(module, objective, episode, weights, chunk_size)
        if self.batched is None:
            self.batched = tasks.vmap_is_right(_all_gradients)
        tasks.batched = self.batched
        gradients, losses = tasks.gradients(tasks.weights)
        if weights is None:
            weights = objective.weigh(losses, episode.tasks)

        def jacobian_of(episode: Episode) -> Tensor:
            others = TaskGradients(module, objective, episode, chunk_size)
            others.batched = tasks.batched
            return _rows(others.gradients(others.weights)[0], shared)

        jacobian, counts = _rows(gradients, shared), torch.ones_like(losses)
        if weights is not None:
            kept = weights.nonzero()[:, 0]
            counts = weights[kept] * (len(kept) / len(weights))
            jacobian, episode = jacobian[kept], episode.take(kept)
        update = self.combine(jacobian, counts, episode, jacobian_of)
        sizes = [tasks.weights[name].numel() for name in shared]
        parts = dict(zip(shared, torch.split(update, sizes), strict=True))
        for name, parameter in tasks.trained.items():
            if name in parts:
                parameter.grad = parts[name].view_as(parameter)
            else:
                parameter.grad = gradients[name].mean(dim=0)
        return objective.aggregate(losses, weights), losses


def _all_gradients(tasks: TaskGradients) -> list[Tensor]:
    gradients, _ = tasks.gradients(tasks.weights)
    return list(gradients.values())


def _rows(gradients: Weights, names: list[str]) -> Tensor:
    rows = [gradients[name].reshape(len(gradients[name]), -1) for name in names]
    return torch.cat(rows, dim=1)
