"""One network with weights of its own for each task, run and differentiated by vmap or in turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from skmeta.inner._losses import RowLoss
from skmeta.inner._rule import TaskTensors

__all__ = [
    "LoopedNetworks",
    "Rates",
    "TaskNetworks",
    "VmappedNetworks",
    "gradient_by_name",
    "plain_attention",
    "run_with",
    "slope_of",
    "step",
]

_ROWS_AT_ONCE = 16  # of each task, where every row has a gradient of its own

Rates = Mapping[str, float | Tensor]
"""The step along each weight: a number, or a tensor that broadcasts to the weight."""


class TaskNetworks(ABC):
    """A network, run with weights of its own for each task.

    Parameters
    ----------
    network : Module
        Maps rows to outputs. Its frozen weights (``requires_grad=False``) are the same for all.
    loss : RowLoss
        The loss of each row.
    """

    def __init__(self, network: nn.Module, loss: RowLoss) -> None:
        self.network = network
        self.loss = loss
        weights = dict(network.named_parameters())
        self._n_dims = {name: weight.ndim for name, weight in weights.items()}
        self._adapted = [name for name, weight in weights.items() if weight.requires_grad]

    def start(self) -> TaskTensors:
        """Return the network's own weights, shared by all tasks: as yet without their dimension."""
        weights = dict(self.network.named_parameters())
        return {name: weights[name] for name in self._adapted}

    def for_each(self, weights: TaskTensors, n_tasks: int) -> TaskTensors:
        """Give weights that tasks share the dimension of tasks."""
        return {
            name: w.expand(n_tasks, *w.shape) if self._is_shared(name, w) else w
            for name, w in weights.items()
        }

    def _is_shared(self, name: str, weight: Tensor) -> bool:
        return weight.ndim == self._n_dims[name]

    @abstractmethod
    def run(self, weights: TaskTensors, X: Tensor) -> Tensor:
        """Return the outputs for rows of each task, shape (n_tasks, n_rows, n_outputs)."""

    @abstractmethod
    def slope(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> TaskTensors:
        """Return the gradient, by its weights, of each task's loss: Σ share · loss over rows."""

    def squared_slope(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor
    ) -> TaskTensors:
        """Return Σ share · (gradient of the row's loss)² for each task; they share the weights."""
        total: TaskTensors = {}
        n_tasks, n_rows = share.shape
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            alone = (
                part[:, rows].flatten(0, 1)[:, None] for part in (X, y, torch.ones_like(share))
            )
            for name, slope in self.slope(weights, *alone).items():
                squares = slope.square().view(n_tasks, -1, *slope.shape[1:])
                sums = torch.einsum("tr...,tr->t...", squares, share[:, rows])
                total[name] = total[name] + sums if name in total else sums
        return total

    def descend(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor, rates: Rates
    ) -> TaskTensors:
        """Return ``w - rate ∘ ∇L(w)`` for every task."""
        slope = self.slope(weights, X, y, share)
        return {name: step(w, slope[name], rates[name]) for name, w in weights.items()}


class VmappedNetworks(TaskNetworks):
    """Any network, all tasks at once by `torch.func.vmap`."""

    def run(self, weights: TaskTensors, X: Tensor) -> Tensor:
        """Run the network of every task."""
        with plain_attention():
            output: Tensor = self._over_tasks(self._run, weights, X)
        return output

    def slope(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> TaskTensors:
        """Differentiate the loss of every task."""
        with plain_attention():
            gradient: TaskTensors = self._over_tasks(grad(self._task_loss), weights, X, y, share)
        return gradient

    def _run(self, weights: TaskTensors, X: Tensor) -> Tensor:
        output: Tensor = run_with(self.network, weights, X)
        return output

    def _task_loss(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> Tensor:
        return (self.loss(self._run(weights, X), y) * share).sum()

    def _over_tasks(self, function: Callable[..., Any], weights: TaskTensors, *rows: Tensor) -> Any:
        of_weights = {n: None if self._is_shared(n, w) else 0 for n, w in weights.items()}
        in_dims = (of_weights, *(0 for _ in rows))
        return vmap(function, in_dims=in_dims, randomness="different")(weights, *rows)


class LoopedNetworks(VmappedNetworks):
    """Any network, one task after another: for operators that vmap gets wrong or makes slower."""

    def slope(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> TaskTensors:
        """Differentiate the loss of each task."""

        def slope(own: TaskTensors, *rows: Tensor) -> TaskTensors:
            return slope_of(lambda at: self._task_loss(at, *rows), own, self.network)

        with plain_attention():
            gradient: TaskTensors = self._over_tasks(slope, weights, X, y, share)
        return gradient

    def _over_tasks(self, function: Callable[..., Any], weights: TaskTensors, *rows: Tensor) -> Any:
        results = [
            function(
                {n: w if self._is_shared(n, w) else w[task] for n, w in weights.items()},
                *(part[task] for part in rows),
            )
            for task in range(len(rows[0]))
        ]
        if isinstance(results[0], dict):
            return {name: torch.stack([r[name] for r in results]) for name in results[0]}
        return torch.stack(results)


def run_with(module: nn.Module, weights: TaskTensors, *inputs: Any) -> Any:
    """Run a module with other weights.

    `functional_call` itself, where a module has the same layer twice, leaves them in it.

    Parameters
    ----------
    module : Module
        What to run.
    weights : dict of Tensor
        By the names of `named_parameters` and `named_buffers`.
    *inputs : Any
        What to run it on.

    Returns
    -------
    output : Any
        What it returns.
    """
    first: dict[int, str] = {}
    values = dict(weights)
    for prefix, layer in module.named_modules():
        for short, weight in layer._parameters.items():
            name = f"{prefix}.{short}" if prefix else short
            if weight is not None and first.setdefault(id(weight), name) in weights:
                values[name] = weights[first[id(weight)]]
    return functional_call(module, values, inputs, tie_weights=False)


def slope_of(
    loss: Callable[[TaskTensors], Tensor], weights: TaskTensors, network: nn.Module
) -> TaskTensors:
    """Differentiate a loss by weights, once more differentiable where gradients are enabled.

    Parameters
    ----------
    loss : callable
        Of the weights; runs the network.
    weights : dict of Tensor
        Where.
    network : Module
        What is run: `torch.func.grad` works inside of others of its kind, but lets no layer change
        a buffer, so that autograd itself differentiates a network that has any.

    Returns
    -------
    slope : dict of Tensor
    """
    if next(network.buffers(), None) is None:
        gradient: TaskTensors = grad(loss)(weights)
        return gradient
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        at = {
            name: w if again and w.requires_grad else w.detach().requires_grad_()
            for name, w in weights.items()
        }
        return gradient_by_name(loss(at), at, create_graph=again)


def gradient_by_name(
    loss: Tensor, at: Mapping[str, Tensor], *, create_graph: bool = False
) -> TaskTensors:
    """Return the gradient of a loss by each tensor, 0 where it does not depend on one."""
    parts = torch.autograd.grad(
        loss, list(at.values()), create_graph=create_graph, materialize_grads=True
    )
    return dict(zip(at, parts, strict=True))


def step(weight: Tensor, slope: Tensor, rate: float | Tensor) -> Tensor:
    """Return ``weight - rate ∘ slope``."""
    if isinstance(rate, float):
        return torch.sub(weight, slope, alpha=rate)
    return weight - rate * slope


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attend by the operators that have a second derivative and run batched over tasks."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
