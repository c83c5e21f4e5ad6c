"""Gradients at displaced parameters, which penalise disagreement between tasks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap

from skmeta.inner import Episode, EpisodeModule
from skmeta.training import MeanGradient, MeanOverTasks

__all__ = ["DisplacedGradient"]

Weights = dict[str, Tensor]
_AUDIT_TASKS = 2
_AUDIT_TOLERANCE = 1e-6


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
        tasks = _Tasks(module, objective, episode, chunk_size)
        if self.batched is None:
            self.batched = self._vmap_is_right(tasks, module.own_parameters)
        tasks.batched = self.batched
        gradients, losses = tasks.gradients(tasks.weights)
        if weights is None:
            weights = objective.weigh(losses, episode.tasks)
        apart = _deviations(gradients, weights, module.own_parameters)
        if measure:
            self.variances.append(_mean(_squared_norms(apart), weights))
        if not self.beta:
            return MeanGradient()(module, objective, episode, weights, chunk_size)
        slope = self._slope(tasks, apart, weights, module.own_parameters)
        slope |= {name: gradients[name].mean(dim=0) for name in module.own_parameters}
        for name, parameter in tasks.trained.items():
            parameter.grad = slope[name]
        return objective.aggregate(losses, weights), losses

    def _slope(
        self, tasks: _Tasks, apart: Weights, weights: Tensor | None, own: tuple[str, ...]
    ) -> Weights:
        """Return the gradient at the displaced parameters."""
        if self.detach:
            at = {name: w + self.beta * apart[name] for name, w in tasks.weights.items()}
            displaced, _ = tasks.gradients(at)
            return {name: _mean(parts, weights) for name, parts in displaced.items()}

        def loss(at: Weights) -> Tensor:
            gradients, _ = tasks.gradients(at)
            apart = _deviations(gradients, weights, own)
            moved = {name: w + self.beta * apart[name] for name, w in at.items()}
            return _mean(tasks.losses(moved), weights)

        found: Weights = grad(loss)(tasks.weights)
        return found

    def _vmap_is_right(self, tasks: _Tasks, own: tuple[str, ...]) -> bool:
        """Compare batched gradients with those of one task after another, in double precision."""
        probe = tasks.probe(_AUDIT_TASKS)
        found = []
        for probe.batched in (False, True):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # on how fast a rule would be
                    gradients, _ = probe.gradients(probe.weights)
                    slope = self._slope(probe, _deviations(gradients, None, own), None, own)
            except (RuntimeError, ValueError):
                if not probe.batched:
                    raise
                return False
            parts = (*gradients.values(), *slope.values())
            found.append(torch.cat([part.flatten() for part in parts]))
        reference, batched = found
        error = (batched - reference).norm()
        return bool(error <= _AUDIT_TOLERANCE * reference.norm().clamp(min=1e-12))


class _Tasks:
    """The losses of the tasks of an episode, as functions of the meta-parameters of each."""

    def __init__(
        self,
        module: EpisodeModule,
        objective: MeanOverTasks,
        episode: Episode,
        chunk_size: int | None,
    ) -> None:
        self.whole = _TaskLosses(module, objective)
        named = dict(self.whole.named_parameters())
        prefix = "module."
        self.trained = {n.removeprefix(prefix): p for n, p in named.items() if p.requires_grad}
        self.weights = {name: p.detach() for name, p in self.trained.items()}
        self.parts = {name: part for name, part in vars(episode).items() if part is not None}
        self.chunk_size = chunk_size
        self.batched = False

    def gradients(self, weights: Weights) -> tuple[Weights, Tensor]:
        """Return the gradient of each task's loss, and the losses."""
        found: tuple[Weights, Tensor] = self._over_tasks(grad_and_value(self._loss), weights)
        return found

    def losses(self, weights: Weights) -> Tensor:
        """Return the losses alone."""
        found: Tensor = self._over_tasks(self._loss, weights)
        return found

    def _loss(self, weights: Weights, parts: Weights) -> Tensor:
        one = Episode(**{name: part[None] for name, part in parts.items()})
        values = {f"module.{name}": w for name, w in weights.items()}
        losses: Tensor = functional_call(self.whole, values, (one,))
        return losses[0]

    def _over_tasks(self, function: Callable[..., Any], weights: Weights) -> Any:
        """Call a function of one task for all; `weights` may have a dimension of tasks."""
        own = {name: w.ndim > self.weights[name].ndim for name, w in weights.items()}
        if self.batched:
            in_dims = ({name: 0 if one else None for name, one in own.items()}, 0)
            mapped = vmap(
                function, in_dims=in_dims, randomness="different", chunk_size=self.chunk_size
            )
            return mapped(weights, self.parts)
        n_tasks = len(self.parts["tasks"])
        results = [
            function(
                {name: w[task] if own[name] else w for name, w in weights.items()},
                {name: part[task] for name, part in self.parts.items()},
            )
            for task in range(n_tasks)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results)
        gradients, losses = zip(*results, strict=True)
        return {n: torch.stack([g[n] for g in gradients]) for n in weights}, torch.stack(losses)

    def probe(self, n_tasks: int) -> _Tasks:
        """Return some of these tasks in double precision."""
        probe = copy.copy(self)
        probe.whole = copy.deepcopy(self.whole).double().eval()
        probe.weights = {name: w.double() for name, w in self.weights.items()}
        probe.parts = {
            name: part[:n_tasks].double() if part.is_floating_point() else part[:n_tasks]
            for name, part in self.parts.items()
        }
        return probe


class _TaskLosses(nn.Module):
    def __init__(self, module: EpisodeModule, objective: MeanOverTasks) -> None:
        super().__init__()
        self.module = module
        self.objective = objective

    def forward(self, episode: Episode) -> Tensor:
        return self.module.training_losses(episode, self.objective)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over tasks; weights are 1 on average."""
    if weights is None:
        return values.mean(dim=0)
    return torch.tensordot(weights / len(weights), values, dims=1)


def _deviations(gradients: Weights, weights: Tensor | None, own: tuple[str, ...]) -> Weights:
    """Return ``g_i - ḡ``, and 0 for parameters of one task alone."""
    return {
        name: torch.zeros_like(g) if name in own else g - _mean(g, weights)
        for name, g in gradients.items()
    }


def _squared_norms(parts: Weights) -> Tensor:
    norms = [part.reshape(len(part), -1).square().sum(dim=1) for part in parts.values()]
    return torch.stack(norms).sum(dim=0)
