"""The meta-loss and its gradient as one compiled graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skmeta.inner import Episode, EpisodeModule
from skmeta.inner._compile import compiled, distinct_sizes
from skmeta.training._objective import MeanOverTasks

__all__ = ["CompiledGradient"]


class CompiledGradient:
    """Compute a meta-loss, and leave its gradient in the parameters, by a compiled graph.

    The whole meta-step is traced, inner gradients included, so that nothing of autograd or vmap is
    left at run time; the graph then is compiled to native code. The number of tasks is fixed.

    Parameters
    ----------
    module : EpisodeModule
        What is trained.
    objective : MeanOverTasks
        The meta-loss.
    rows : {"any", "given"}, default="any"
        Whether one trace serves all numbers of rows, though the first other number compiles it once
        more, or those of the first episode.
    """

    def __init__(self, module: EpisodeModule, objective: MeanOverTasks, rows: str = "any") -> None:
        self.whole = _MetaLoss(module, objective)
        self.trained = {n: p for n, p in self.whole.named_parameters() if p.requires_grad}
        self.held = {
            name: value
            for name, value in (*self.whole.named_parameters(), *self.whole.named_buffers())
            if name not in self.trained
        }
        self.rows = rows
        self.graph: Any = None
        self.shapes: list[torch.Size] = []
        self.found: list[str] = []

    def serves(self, episode: Episode) -> bool:
        """Whether the graph is one for episodes of this size."""
        return self.rows == "any" or self.shapes == [
            part.shape for part in vars(episode).values() if part is not None
        ]

    def __call__(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return the meta-loss of an episode, and the loss of each of its tasks."""
        parts = {name: value for name, value in vars(episode).items() if value is not None}
        weights = [value.detach() for value in (*self.trained.values(), *self.held.values())]
        if self.graph is None:
            self.graph = self._trace(weights, parts)
            self.shapes = [part.shape for part in parts.values()]
        loss, losses, *rest = self.graph(*weights, *parts.values())
        for parameter, slope in zip(self.trained.values(), rest, strict=False):
            parameter.grad = slope
        found = rest[len(self.trained) :]
        self.whole.objective.latest = dict(zip(self.found, found, strict=True))
        return loss, losses

    def _trace(self, weights: list[Tensor], parts: dict[str, Tensor]) -> Any:
        names, objective = (*self.trained, *self.held), self.whole.objective

        def whole(*tensors: Tensor) -> list[Tensor]:
            values = dict(zip(names, tensors[: len(names)], strict=True))
            leaves = [values[name].detach().requires_grad_() for name in self.trained]
            values |= dict(zip(self.trained, leaves, strict=True))
            episode = Episode(**dict(zip(parts, tensors[len(names) :], strict=True)))
            loss, losses = functional_call(self.whole, values, (episode,))
            gradient = torch.autograd.grad(loss, leaves, materialize_grads=True)
            found, objective.latest = objective.latest, {}
            self.found = list(found)
            return [loss.detach(), losses.detach(), *gradient, *found.values()]

        examples = _resized(parts, weights) if self.rows == "any" else parts.values()
        return compiled(whole, *weights, *examples, sizes=self.rows)


def _resized(parts: dict[str, Tensor], others: list[Tensor]) -> list[Tensor]:
    """Return episodes of other lengths that agree with no size by chance.

    The number of tasks stays: a mean over tasks fixes it in the trace.
    """
    sides = ("support", "query")
    lengths = [parts[f"{side}_X"].shape[1] for side in sides]
    sizes = distinct_sizes(lengths, [*parts.values(), *others])
    rows = dict(zip(sides, sizes, strict=True))
    resized = []
    for name, part in parts.items():
        n_rows = rows.get(name.partition("_")[0])
        shape = part.shape if n_rows is None else (len(part), n_rows, *part.shape[2:])
        resized.append(part.new_zeros(shape))
    return resized


class _MetaLoss(nn.Module):
    def __init__(self, module: EpisodeModule, objective: MeanOverTasks) -> None:
        super().__init__()
        self.module = module
        self.objective = objective

    def forward(self, episode: Episode) -> tuple[Tensor, Tensor]:
        losses = self.module.training_losses(episode, self.objective)
        weights = self.objective.weigh(losses.detach(), episode.tasks)
        return self.objective.aggregate(losses, weights), losses
