"""The meta-loss and its gradient as one compiled graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skmeta.inner import Episode, EpisodeModule
from skmeta.inner._compile import (
    compiled,
    distinct_sizes,
    memory_order,
    without_torch_warnings,
)
from skmeta.training._objective import MeanOverTasks

__all__ = ["CompiledGradient"]


class CompiledGradient:
    """Compute a meta-loss, and leave its gradient in the parameters, by a compiled graph.

    The whole meta-step is traced, inner gradients included, so that nothing of autograd or vmap is
    left at run time; the graph then is compiled to native code. The first size of episodes has a
    graph of its own; if others come, a second one serves them all. The number of tasks is fixed.

    Parameters
    ----------
    module : EpisodeModule
        What is trained.
    objective : MeanOverTasks
        The meta-loss.
    """

    def __init__(self, module: EpisodeModule, objective: MeanOverTasks) -> None:
        self.whole = _MetaLoss(module, objective)
        self.trained = {n: p for n, p in self.whole.named_parameters() if p.requires_grad}
        self.held = {
            name: value
            for name, value in (*self.whole.named_parameters(), *self.whole.named_buffers())
            if name not in self.trained
        }
        self.values = [*self.trained.values(), *self.held.values()]
        self.layout: list[Any] | None = None  # of the first episode
        self.special: Any = None
        self.general: Any = None
        self.fails = False  # whether no graph serves other sizes
        self.found: list[str] = []

    def __call__(self, episode: Episode) -> tuple[Tensor, Tensor] | None:
        """Return the meta-loss of an episode, and the loss of each of its tasks.

        It is None if no graph serves episodes of this size.
        """
        parts = _parts(episode)
        layout = _layout(parts)
        if self.layout is None:
            self.layout, self.special = layout, self._trace(parts, "given")
        graph = self.special if layout == self.layout else self._for_all_sizes(parts)
        if graph is None:
            return None
        with torch.no_grad():
            loss, losses, *rest = graph(*self.values, *parts.values())
        for parameter, slope in zip(self.trained.values(), rest, strict=False):
            parameter.grad = slope
        found = rest[len(self.trained) :]
        self.whole.objective.latest = dict(zip(self.found, found, strict=True))
        return loss, losses

    def _for_all_sizes(self, parts: dict[str, Tensor]) -> Any:
        """Return the graph that serves other sizes, after trying to make one; None without."""
        for name, part in parts.items():
            if name.startswith(("support_", "query_")):
                torch._dynamo.maybe_mark_dynamic(part, 1)
        if self.general is None and not self.fails:
            try:
                with without_torch_warnings():
                    general = self._trace(parts, "any")
                    with torch.no_grad():
                        general(*self.values, *parts.values())
                self.general = general
            except Exception:  # of the many kinds that tracing with free sizes has
                self.fails = True
        return self.general

    def _trace(self, parts: dict[str, Tensor], sizes: str) -> Any:
        names, objective = (*self.trained, *self.held), self.whole.objective

        def whole(*tensors: Tensor) -> list[Tensor]:
            values = dict(zip(names, tensors[: len(names)], strict=True))
            leaves = [values[name].detach().requires_grad_() for name in self.trained]
            values |= dict(zip(self.trained, leaves, strict=True))
            episode = Episode(**dict(zip(parts, tensors[len(names) :], strict=True)))
            loss, losses = functional_call(self.whole, values, (episode,))
            slopes = torch.autograd.grad(loss, leaves, materialize_grads=True)
            gradient = map(_laid_out, slopes, self.trained.values())
            found, objective.latest = objective.latest, {}
            self.found = list(found)
            return [loss.detach(), losses.detach(), *gradient, *found.values()]

        weights = [value.detach() for value in self.values]
        examples = _resized(parts, weights) if sizes == "any" else parts.values()
        return compiled(whole, *weights, *examples, sizes=sizes)


def _laid_out(slope: Tensor, weight: Tensor) -> Tensor:
    """Return a gradient that lies in memory as its weight does, as optimizers' kernels expect."""
    order, back = memory_order(weight)
    return slope.permute(order).contiguous().permute(back)


def _parts(episode: Episode) -> dict[str, Tensor]:
    return {name: value for name, value in vars(episode).items() if value is not None}


def _layout(parts: dict[str, Tensor]) -> list[Any]:
    return [(part.shape, part.stride()) for part in parts.values()]


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
