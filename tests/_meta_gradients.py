"""Modules of every kind, and a meta-batch's gradient, to compare meta-gradients with."""

from __future__ import annotations

import torch
from torch import nn

from skmeta.inner import (
    Episode,
    EpisodeModule,
    GradientSteps,
    JointHeads,
    RidgeSolve,
    squared_error,
)
from skmeta.training import MeanOverTasks

OBJECTIVE = MeanOverTasks(squared_error)


class Quadratic(EpisodeModule):
    """Losses ``½ θ'Aθ - b'θ``; A and b come as the query."""

    def __init__(self, d):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.theta = nn.Parameter(torch.randn(d, generator=generator).double())

    def task_losses(self, episode, objective):
        A, b = episode.query_X, episode.query_y[..., 0]
        return 0.5 * torch.einsum("i,tij,j->t", self.theta, A, self.theta) - b @ self.theta


def quadratics(n_tasks=6, d=4):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(n_tasks, d, d, generator=generator).double()
    b = torch.randn(n_tasks, d, 1, generator=generator).double()
    empty = torch.zeros(n_tasks, 1, 1).double()
    mask = torch.ones(n_tasks, d).double()
    tasks = torch.arange(n_tasks)
    return Episode(empty, empty, empty[..., 0], root @ root.mT, b, mask, tasks)


def gradient_of(module, episode, way, weights=None, chunk_size=None, objective=OBJECTIVE):
    """Return the gradient that a way to make one leaves, the meta-loss and those of the tasks."""
    module.zero_grad()
    loss, losses = way(module, objective, episode, weights, chunk_size)
    parts = [p.grad.flatten() for p in module.parameters() if p.requires_grad]
    return torch.cat(parts), loss, losses


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def modules():
    torch.manual_seed(0)
    steps = {"loss": squared_error, "lr": 0.1, "n_steps": 2}
    normed = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)).double()
    body = nn.Sequential(nn.Linear(3, 5), nn.Tanh()).double()
    looped = GradientSteps(normed, 3, 2, **steps).train()
    looped.use("loop")
    return {
        "stacked": GradientSteps(network(), 3, 2, **steps).train(),
        "first order": GradientSteps(network(), 3, 2, first_order=True, **steps).train(),
        "wrong under vmap": looped,
        "ridge": RidgeSolve(body, 3, alpha=1.0, learn_alpha=True, scale=None).double().train(),
        "heads": JointHeads(body, 3, 4, 2).double().train(),
    }
