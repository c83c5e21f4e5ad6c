"""Task weights that rise where losses are high."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmeta.robust._selection import SelectedTasks

__all__ = ["WorstCaseWeights"]


class WorstCaseWeights(SelectedTasks):
    """``min_φ max_p Σ_i p_i ℓ_i(φ)`` over weights p on the simplex of all tasks (TR-MAML).

    After each meta-update p takes a step of projected gradient ascent. Losses are divided by their
    mean in it, and the step is a share of a uniform weight, so that it suits any loss and any
    number of tasks.

    Parameters
    ----------
    lr : float
        The step.
    **selection : Any
        As for `SelectedTasks`.
    """

    p: Tensor

    def __init__(self, loss: Any, *, lr: float, **selection: Any) -> None:
        super().__init__(loss, **selection)
        self.lr = lr
        n_tasks = len(self.scales)
        self.register_buffer("p", torch.full((n_tasks,), 1 / n_tasks, dtype=torch.float64))

    def choose(self, scores: Tensor, tasks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of the drawn tasks, unbiased for uniform draws."""
        weights = (len(self.p) * self.p[tasks]).to(scores.dtype)
        return weights, scores.new_tensor([-torch.inf, torch.inf])

    def learn(self, scores: Tensor, tasks: Tensor) -> None:
        """Ascend, and project back on the simplex."""
        rise = (scores / scores.abs().mean().clamp(min=1e-12)).to(self.p.dtype)
        p = self.p.index_add(0, tasks, rise, alpha=self.lr / len(self.p))
        self.p.copy_(_on_simplex(p))


def _on_simplex(p: Tensor) -> Tensor:
    """Return the nearest point with entries >= 0 of sum 1."""
    descending = p.sort(descending=True).values
    excess = (descending.cumsum(dim=0) - 1) / torch.arange(1, len(p) + 1, device=p.device)
    n_positive = (descending > excess).sum()
    return (p - excess[n_positive - 1]).clamp(min=0.0)
