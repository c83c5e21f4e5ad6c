"""The gradient of each task of a meta-batch by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from skmeta.inner import Episode, EpisodeModule
from skmeta.inner._audit import few_in_double, vmap_is_right
from skmeta.inner._networks import gradient_by_name
from skmeta.training._objective import MeanOverTasks

__all__ = ["TaskGradients", "mean_over_tasks"]

Weights = dict[str, Tensor]


class TaskGradients:
    """The losses of the tasks of an episode, as functions of the meta-parameters of each.

    Parameters
    ----------
    module : EpisodeModule
        What is trained.
    objective : MeanOverTasks
        The meta-loss.
    episode : Episode
        The tasks.
    chunk_size : int or None
        Tasks to differentiate at once.

    Attributes
    ----------
    trained : dict of Parameter
        The parameters that are trained, by name.
    weights : dict of Tensor
        Their values.
    batched : bool
        Whether tasks are differentiated by vmap, or one after another. To be set after a look at
        `vmap_is_right`.
    """

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
        self.parts = _there(episode)
        self.chunk_size = chunk_size
        self.batched = False

    def gradients(self, weights: Weights) -> tuple[Weights, Tensor]:
        """Return the gradient of each task's loss, and the losses.

        They can be differentiated by `weights` that require it.
        """
        # Rules that call on autograd themselves run under its plain form alone.
        one_task = grad_and_value(self._loss) if self.batched else self._differentiated
        found: tuple[Weights, Tensor] = self._over_tasks(one_task, weights)
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

    def _differentiated(self, weights: Weights, parts: Weights) -> tuple[Weights, Tensor]:
        again = any(w.requires_grad for w in weights.values())
        at = weights if again else {n: w.detach().requires_grad_() for n, w in weights.items()}
        loss = self._loss(at, parts)
        gradient = gradient_by_name(loss, at, create_graph=again)
        return gradient, loss if again else loss.detach()

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

    def vmap_is_right(self, compute: Callable[[TaskGradients], Sequence[Tensor]]) -> bool:
        """Compare what is batched with one task after another, in double precision.

        Parameters
        ----------
        compute : callable
            From some of these tasks, batched or not, to the tensors to compare.

        Returns
        -------
        right : bool
        """
        probe = copy.copy(self)
        probe.whole = copy.deepcopy(self.whole).double().eval()
        probe.weights = {name: w.double() for name, w in self.weights.items()}
        probe.parts = _there(few_in_double(Episode(**self.parts)))

        def parts(batched: bool) -> Sequence[Tensor]:
            probe.batched = batched
            return compute(probe)

        return vmap_is_right(parts)


def _there(episode: Episode) -> Weights:
    return {name: part for name, part in vars(episode).items() if part is not None}


class _TaskLosses(nn.Module):
    def __init__(self, module: EpisodeModule, objective: MeanOverTasks) -> None:
        super().__init__()
        self.module = module
        self.objective = objective

    def forward(self, episode: Episode) -> Tensor:
        return self.module.training_losses(episode, self.objective)


def mean_over_tasks(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over tasks; weights are 1 on average."""
    if weights is None:
        return values.mean(dim=0)
    return torch.tensordot(weights / len(weights), values, dims=1)
