"""What an inner rule is, and the tensors it works on."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = [
    "Episode",
    "EpisodeModule",
    "InnerRule",
    "Objective",
    "Regularizer",
    "TaskTensors",
    "all_rows",
    "network_width",
    "squared_norm",
]

TaskTensors = dict[str, Tensor]
"""What adaptation leaves of tasks; the first dimension of each tensor runs over the tasks."""


@dataclass(frozen=True)
class Episode:
    """A meta-batch: support and query of several tasks, padded and masked.

    Parameters
    ----------
    support_X, query_X : Tensor of shape (n_tasks, n_rows, n_features)
        Features.
    support_y, query_y : Tensor of shape (n_tasks, n_rows, n_outputs)
        Real targets, or class indicators; 0 in padded rows.
    support_mask, query_mask : Tensor of shape (n_tasks, n_rows)
        1 for a row, 0 for padding.
    tasks : Tensor of shape (n_tasks,)
        Numbers of the tasks.
    classes : Tensor of shape (n_tasks, n_way), default=None
        Numbers of the classes drawn, where episodes are drawn by class.
    there : Tensor of shape (n_tasks, n_outputs), default=None
        1 for an output that the task uses, where tasks differ in their number of classes.
    """

    support_X: Tensor
    support_y: Tensor
    support_mask: Tensor
    query_X: Tensor
    query_y: Tensor
    query_mask: Tensor
    tasks: Tensor
    classes: Tensor | None = None
    there: Tensor | None = None

    def chunks(self, n_tasks: int | None) -> Iterator[Episode]:
        """Yield episodes of at most `n_tasks` of these tasks; None leaves them together."""
        if n_tasks is None or n_tasks >= len(self.tasks):
            yield self
            return
        for start in range(0, len(self.tasks), n_tasks):
            yield self.take(slice(start, start + n_tasks))

    def take(self, tasks: Tensor | slice) -> Episode:
        """Return the episode of some of these tasks."""
        parts: Any = {name: t if t is None else t[tasks] for name, t in vars(self).items()}
        return Episode(**parts)


def all_rows(episode: Episode) -> Episode:
    """Return an episode whose query is the support and the query taken together."""
    return dataclasses.replace(
        episode,
        query_X=torch.cat([episode.support_X, episode.query_X], dim=1),
        query_y=torch.cat([episode.support_y, episode.query_y], dim=1),
        query_mask=torch.cat([episode.support_mask, episode.query_mask], dim=1),
    )


class Objective(Protocol):
    """What is minimised over tasks."""

    def task_losses(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the query loss of each task."""
        ...

    def as_target(self, predicted: Tensor, episode: Episode) -> Tensor:
        """Return the query targets that predictions stand for."""
        ...


class Regularizer(Protocol):
    """Changes the losses of tasks in training."""

    def __call__(self, module: EpisodeModule, episode: Episode, losses: Tensor) -> Tensor:
        """Return the losses to train on, one for each task."""
        ...


class EpisodeModule(nn.Module):
    """A module that learns from episodes."""

    own_parameters: tuple[str, ...] = ()
    """Names of the parameters of which each training task has a part to itself.

    They are trained on tasks that do not count too: their losses would stay high without.
    """

    shared_network: str | None = None
    """Name of the network that all tasks share and have heads on, where there is one.

    A pass of an episode calls it once, first with the rows of one task after another.
    """

    regularizer: Regularizer | None = None
    """What changes the losses of tasks in training."""

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return the loss of each task, whose gradient is the task's meta-gradient."""
        return objective.task_losses(self(episode), episode)

    def training_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return the losses to train on, one for each task."""
        losses = self.task_losses(episode, objective)
        return losses if self.regularizer is None else self.regularizer(self, episode, losses)


class InnerRule(EpisodeModule, ABC):
    """From the support of each task to a predictor of its own, batched over tasks."""

    @abstractmethod
    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Learn each task from its support.

        Parameters
        ----------
        X : Tensor of shape (n_tasks, n_rows, n_features)
            Features.
        y : Tensor of shape (n_tasks, n_rows, n_outputs)
            Targets, 0 in padded rows.
        mask : Tensor of shape (n_tasks, n_rows)
            1 for a row, 0 for padding; a task may have no row at all.

        Returns
        -------
        state : dict of Tensor
            Tensors whose first dimension runs over the tasks. Where another runs over support
            rows, zeros behind the last row must be as good as none: tasks are padded alike.
        """

    @abstractmethod
    def predict(self, X: Tensor, state: TaskTensors) -> Tensor:
        """Predict rows of each task, shape (n_tasks, n_rows, n_outputs)."""

    @abstractmethod
    def represent(self, X: Tensor) -> Tensor:
        """Return the meta-learned representation of rows, shape (n_rows, width)."""

    @property
    @abstractmethod
    def bytes_per_task(self) -> int:
        """Size of what adaptation keeps of a task, beside what it keeps of its rows."""

    @property
    def bytes_per_row(self) -> int:
        """Size of what adaptation keeps of each support row."""
        return 0

    def forward(self, episode: Episode) -> Tensor:
        """Adapt on the support and predict the query."""
        state = self.adapt(episode.support_X, episode.support_y, episode.support_mask)
        return self.predict(episode.query_X, state)


def squared_norm(weights: TaskTensors) -> Tensor:
    """Return the squared norm of each task's weights, shape (n_tasks,)."""
    return torch.stack([w.flatten(1).square().sum(dim=1) for w in weights.values()]).sum(dim=0)


def network_width(network: nn.Module, n_features_in: int) -> int:
    """Return the number of outputs of a network.

    Parameters
    ----------
    network : Module
        Maps rows to vectors.
    n_features_in : int
        The number of features of a row.

    Returns
    -------
    width : int

    Raises
    ------
    ValueError
        If it does not return one vector for each row.
    """
    parameter = next(network.parameters(), torch.zeros(()))
    training = network.training
    network.eval()
    with torch.no_grad():
        rows = torch.zeros(2, n_features_in, dtype=parameter.dtype, device=parameter.device)
        output = network(rows)
    network.train(training)
    if output.ndim != 2 or len(output) != 2:
        raise ValueError(
            f"module maps 2 rows of {n_features_in} features to shape {tuple(output.shape)}; "
            "it must return one vector for each row."
        )
    return int(output.shape[1])
