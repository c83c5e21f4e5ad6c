"""Gradients at displaced parameters, which penalise disagreement between tasks."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from skmeta.inner import Episode, EpisodeModule
from skmeta.inner._networks import gradient_by_name
from skmeta.training import MeanGradient, MeanOverTasks, TaskGradients, mean_over_tasks

__all__ = ["DisplacedGradient"]

Weights = dict[str, Tensor]


class DisplacedGradient:
    """``mean_i ∇ℓ_i(θ + β (g_i - ḡ))`` with ``g_i = ∇ℓ_i(θ)`` (Task Groupings Regularization).

    To first order in β this is the gradient of ``mean_i ℓ_i + β/2 tr Cov(g)``, without a second
    derivative. Parameters that belong to one task alone are not displaced.

    Parameters
    ----------
    beta : float
        The displacement β; 0 is the plain gradient.
    detach : bool, default=True
        Whether the displacement is a constant in differentiation. If not, the penalty is
        ``β tr Cov(g)``, at the price of Hessian-vector products.
    measure_every : int, default=1
        Meta-updates between two measurements of the gradient's variance.
    """

    def __init__(self, beta: float, *, detach: bool = True, measure_every: int = 1) -> None:
        self.beta = beta
        self.detach = detach
        self.measure_every = measure_every
        self.variances: list[Tensor] = []
        self.n_calls = 0
        self.batched: bool | None = None

    def __call__(
        self,
        module: EpisodeModule,
        objective: MeanOverTasks,
        episode: Episode,
        weights: Tensor | None,
        chunk_size: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Differentiate the meta-loss of an episode."""
        measure = self.n_calls % self.measure_every == 0
        self.n_calls += 1
        if not self.beta and not measure:
            return MeanGradient()(module, objective, episode, weights, chunk_size)
        tasks = TaskGradients(module, objective, episode, chunk_size)
        if self.batched is None:
            self.batched = tasks.vmap_is_right(partial(self._all, own=module.own_parameters))
        tasks.batched = self.batched
        gradients, losses = tasks.gradients(tasks.weights)
        if weights is None:
            weights = objective.weigh(losses, episode.tasks)
        apart = _deviations(gradients, weights, module.own_parameters)
        if measure:
            self.variances.append(mean_over_tasks(_squared_norms(apart), weights))
        if not self.beta:
            return MeanGradient()(module, objective, episode, weights, chunk_size)
        slope = self._slope(tasks, apart, weights, module.own_parameters)
        slope |= {name: gradients[name].mean(dim=0) for name in module.own_parameters}
        for name, parameter in tasks.trained.items():
            parameter.grad = slope[name]
        return objective.aggregate(losses, weights), losses

    def _all(self, tasks: TaskGradients, own: tuple[str, ...]) -> list[Tensor]:
        """Return all gradients that are computed, for tasks that count alike."""
        gradients, _ = tasks.gradients(tasks.weights)
        slope = self._slope(tasks, _deviations(gradients, None, own), None, own)
        return [*gradients.values(), *slope.values()]

    def _slope(
        self, tasks: TaskGradients, apart: Weights, weights: Tensor | None, own: tuple[str, ...]
    ) -> Weights:
        """Return the gradient at the displaced parameters."""
        if self.detach:
            at = {name: w + self.beta * apart[name] for name, w in tasks.weights.items()}
            displaced, _ = tasks.gradients(at)
            return {name: mean_over_tasks(parts, weights) for name, parts in displaced.items()}

        at = {name: w.detach().requires_grad_() for name, w in tasks.weights.items()}
        gradients, _ = tasks.gradients(at)
        apart = _deviations(gradients, weights, own)
        moved = {name: w + self.beta * apart[name] for name, w in at.items()}
        loss = mean_over_tasks(tasks.losses(moved), weights)
        return gradient_by_name(loss, at)


def _deviations(gradients: Weights, weights: Tensor | None, own: tuple[str, ...]) -> Weights:
    """Return ``g_i - ḡ``, and 0 for parameters of one task alone."""
    return {
        name: torch.zeros_like(g) if name in own else g - mean_over_tasks(g, weights)
        for name, g in gradients.items()
    }


def _squared_norms(parts: Weights) -> Tensor:
    norms = [part.reshape(len(part), -1).square().sum(dim=1) for part in parts.values()]
    return torch.stack(norms).sum(dim=0)
