"""Task weights that rise where losses are high."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.robust._selection import Choice, SelectedTasks, Suspects

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

    weights: Tensor

    def __init__(self, loss: Any, *, lr: float, **selection: Any) -> None:
        super().__init__(loss, **selection)
        self.lr = lr
        self.register_buffer("weights", torch.ones(self.n_tasks, dtype=torch.float64))  # n p

    def choose(self, scores: Tensor, tasks: Tensor) -> Choice:
        """Return the weights of the drawn tasks, unbiased for uniform draws.

        They then ascend, and are projected back on the simplex.
        """
        rise = (scores / scores.abs().mean().clamp(min=1e-12)).to(self.weights.dtype)
        risen = _on_simplex(self.weights.index_add(0, tasks, rise, alpha=self.lr))
        open_ended = scores.new_tensor([-torch.inf, torch.inf])
        now, none = self.weights[tasks].to(scores.dtype), torch.zeros_like(scores, dtype=torch.bool)
        return Choice(now, open_ended, none, {"weights": risen})

    def suspects(self) -> Suspects:
        """Return none: a weight that has fallen to 0 belongs to a task that is learned well."""
        none = np.zeros(0)
        return Suspects(none.astype(np.int64), none, none.astype(bool))


def _on_simplex(weights: Tensor) -> Tensor:
    """Return the nearest point with entries >= 0 of mean 1."""
    descending = weights.sort(descending=True).values
    counts = torch.arange(1, len(weights) + 1, device=weights.device)
    excess = (descending.cumsum(dim=0) - len(weights)) / counts
    last = (descending > excess).sum(dim=0, keepdim=True) - 1
    return (weights - excess.gather(0, last)).clamp(min=0.0)
