"""What meta-transformers change in the outer loop of a learner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from skmeta.inner import Episode, EpisodeModule, Regularizer
from skmeta.tasks import TaskChooser, TaskData
from skmeta.training._objective import MeanOverTasks

__all__ = ["Augmentation", "MeanGradient", "MetaGradient", "OuterLoop", "leave_gradient"]

Augmentation = Callable[[Episode], Episode]
"""Makes the meta-batch to train on of a meta-batch of tasks."""

_EXCLUSIVE = {
    "objective": "says which tasks of a meta-batch count",
    "choose": "draws the tasks of meta-batches",
    "gradient": "makes the meta-gradient",
}


class MetaGradient(Protocol):
    """Leave in the parameters of a module the gradient of a meta-batch."""

    def __call__(
        self,
        module: EpisodeModule,
        objective: MeanOverTasks,
        episode: Episode,
        weights: Tensor | None,
        chunk_size: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Differentiate the meta-loss of an episode.

        Parameters
        ----------
        module : EpisodeModule
            What is trained.
        objective : MeanOverTasks
            The meta-loss.
        episode : Episode
            Some tasks.
        weights : Tensor of shape (n_tasks,)
            How much each of them counts, 1 on average; None leaves it to the objective.
        chunk_size : int or None
            Tasks to differentiate at once.

        Returns
        -------
        loss : Tensor
            The meta-loss.
        losses : Tensor of shape (n_tasks,)
            The loss of each task.
        """
        ...


class MeanGradient:
    """The gradient of the meta-loss itself."""

    def __call__(
        self,
        module: EpisodeModule,
        objective: MeanOverTasks,
        episode: Episode,
        weights: Tensor | None,
        chunk_size: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Differentiate the meta-loss of an episode."""
        n_tasks, done, total, found = len(episode.tasks), 0, torch.zeros(()), []
        for part in episode.chunks(chunk_size):
            losses = module.training_losses(part, objective)
            if weights is None:
                counts = objective.weigh(losses.detach(), part.tasks)
            else:
                counts = weights[done : done + len(losses)]
            loss = leave_gradient(module, objective, losses, counts, len(losses) / n_tasks)
            done += len(losses)
            total = total.to(loss) + loss
            found.append(losses.detach())
        return total, torch.cat(found)


def leave_gradient(
    module: EpisodeModule,
    objective: MeanOverTasks,
    losses: Tensor,
    counts: Tensor | None,
    share: float = 1.0,
) -> Tensor:
    """Add the gradient of the meta-loss of some tasks to what is there; return this loss.

    Parameters that belong to one task alone get their plain gradient, whatever the task counts.
    """
    own = [module.get_parameter(name) for name in module.own_parameters]
    loss = objective.aggregate(losses, counts) * share
    if counts is not None and own and loss.requires_grad:
        rest = objective.aggregate(losses, 1 - counts) * share
        rest.backward(inputs=own, retain_graph=True)  # type: ignore[no-untyped-call]
    if loss.requires_grad:  # a head on given features may have nothing to train
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


@dataclass(frozen=True)
class OuterLoop:
    """How a learner is to be trained.

    Parameters
    ----------
    objective : callable, default=None
        ``objective(learner, data)`` makes the class of the meta-loss, a `MeanOverTasks`.
    choose : TaskChooser, default=None
        Draws the tasks of meta-batches; None draws them uniformly.
    gradient : callable, default=MeanGradient
        Makes the meta-gradient.
    two_passes : bool, default=False
        Whether losses are computed first without a graph, and only the tasks that count then are
        differentiated.
    augment : callable, default=None
        ``augment(module, random)`` makes what changes the meta-batches of training, given what is
        trained and a source of randomness.
    regularizer : Regularizer, default=None
        What changes the losses of tasks in training.
    network : callable, default=None
        ``network(learner, data)`` makes what changes the network that is trained.
    """

    objective: Callable[[Any, TaskData], Callable[..., MeanOverTasks]] | None = None
    choose: TaskChooser | None = None
    gradient: Callable[[], MetaGradient] = MeanGradient
    two_passes: bool = False
    augment: Callable[[EpisodeModule, np.random.Generator], Augmentation] | None = None
    regularizer: Regularizer | None = None
    network: Callable[[Any, TaskData], Callable[[nn.Module], nn.Module]] | None = None

    def extended(self, **parts: Any) -> OuterLoop:
        """Return an outer loop with other parts, each of which only one meta-transformer may set.

        Parameters
        ----------
        **parts : Any
            Those to set.

        Returns
        -------
        outer : OuterLoop

        Raises
        ------
        ValueError
            If one has been set before.
        """
        for name, does in _EXCLUSIVE.items():
            if name in parts and getattr(self, name) is not getattr(OuterLoop, name):
                raise ValueError(
                    "A meta-transformer inside of another has no effect where both do the same: "
                    f"each of these two {does}; use one of them."
                )
        return replace(self, **parts)
