"""One network with weights of its own for each task: three ways to run and differentiate it."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from skmeta.inner._losses import RowLoss
from skmeta.inner._rule import TaskTensors

__all__ = [
    "LoopedNetworks",
    "Rates",
    "StackedMLP",
    "TaskNetworks",
    "VmappedNetworks",
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


@dataclass(frozen=True)
class _Activation:
    """A nonlinearity, and its product with a slope: (slope, what enters, what leaves)."""

    run: Callable[[Tensor], Tensor]
    back: Callable[[Tensor, Tensor, Tensor], Tensor]


def _back_gelu(slope: Tensor, z: Tensor, out: Tensor) -> Tensor:
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return slope * (torch.special.ndtr(z) + z * density)


def _back_silu(slope: Tensor, z: Tensor, out: Tensor) -> Tensor:
    s = z.sigmoid()
    return slope * (s * (1 + z * (1 - s)))


_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.Identity: _Activation(lambda z: z, lambda slope, z, out: slope),
    nn.ReLU: _Activation(torch.relu, lambda slope, z, out: slope * (out > 0)),
    nn.Tanh: _Activation(torch.tanh, lambda slope, z, out: slope * (1 - out.square())),
    nn.SiLU: _Activation(functional.silu, _back_silu),
    nn.GELU: _Activation(functional.gelu, _back_gelu),
}


@dataclass(frozen=True)
class _Layer:
    weight: str
    bias: str | None
    behind: type[nn.Module] = nn.Identity

    @property
    def activation(self) -> _Activation:
        return _ACTIVATIONS[self.behind]

    def affine(self, X: Tensor, weights: TaskTensors) -> Tensor:
        W = weights[self.weight]
        b = None if self.bias is None else weights[self.bias]
        if W.ndim == 2:
            return functional.linear(X, W, b)
        return X @ W.mT if b is None else torch.baddbmm(b[:, None], X, W.mT)


class StackedMLP(TaskNetworks):
    """A multilayer perceptron with the task dimension in its matrix products.

    The slope is back-propagation written out, and a step is fused into the product that makes it;
    autograd sees plain forward operations.

    Parameters
    ----------
    network : Module
        A linear layer, or a `Sequential` of linear layers and ReLU, Tanh, SiLU, GELU or Identity.
    loss : RowLoss
        The loss of each row.

    Raises
    ------
    ValueError
        If the network is none of these, or has frozen or shared weights, or hooks.
    """

    def __init__(self, network: nn.Module, loss: RowLoss) -> None:
        super().__init__(network, loss)
        self._layers = _read_layers(network)

    def run(self, weights: TaskTensors, X: Tensor) -> Tensor:
        """Run the network of every task."""
        for layer in self._layers:
            X = layer.activation.run(layer.affine(X, weights))
        return X

    def slope(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> TaskTensors:
        """Back-propagate the loss of every task."""
        gradient: TaskTensors = {}
        for layer, entering, delta in self._backward(weights, X, y, share):
            gradient[layer.weight] = delta.mT @ entering
            if layer.bias is not None:
                gradient[layer.bias] = delta.sum(dim=1)
        return gradient

    def squared_slope(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor
    ) -> TaskTensors:
        """Back-propagate the loss of every row; a row's slope is an outer product."""
        squares: TaskTensors = {}
        for layer, entering, delta in self._backward(weights, X, y, torch.ones_like(share)):
            square = delta.square() * share[..., None]
            squares[layer.weight] = square.mT @ entering.square()
            if layer.bias is not None:
                squares[layer.bias] = square.sum(dim=1)
        return squares

    def descend(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor, rates: Rates
    ) -> TaskTensors:
        """Step along every task's slope, without holding it."""
        stepped = dict(weights)
        for layer, entering, delta in self._backward(weights, X, y, share):
            W, rate = weights[layer.weight], rates[layer.weight]
            if isinstance(rate, float):
                stepped[layer.weight] = torch.baddbmm(W, delta.mT, entering, alpha=-rate)
            elif rate.ndim == 0:
                stepped[layer.weight] = torch.baddbmm(W, (-rate * delta).mT, entering)
            else:
                stepped[layer.weight] = W - rate * (delta.mT @ entering)
            if layer.bias is not None:
                b = weights[layer.bias]
                stepped[layer.bias] = step(b, delta.sum(dim=1), rates[layer.bias])
        return stepped

    def _backward(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor
    ) -> Iterator[tuple[_Layer, Tensor, Tensor]]:
        """Yield, from the last layer on, what enters it and the slope of its affine map's value."""
        values: list[tuple[Tensor, Tensor, Tensor]] = []
        for layer in self._layers:
            z = layer.affine(X, weights)
            out = layer.activation.run(z)
            values.append((X, z, out))
            X = out
        slope = self.loss.slope(X, y) * share[..., None]
        for layer, (entering, z, out) in zip(self._layers[::-1], values[::-1], strict=True):
            delta = layer.activation.back(slope, z, out)
            yield layer, entering, delta
            if layer is not self._layers[0]:
                slope = delta @ weights[layer.weight]


def _read_layers(network: nn.Module) -> list[_Layer]:
    """Return the layers of a chain that `StackedMLP` can run."""
    chain: list[tuple[str, nn.Module | None]] = []
    if type(network) is nn.Linear:
        chain = [("", network)]
    elif isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        chain = [(f"{name}.", layer) for name, layer in network._modules.items()]
    layers: list[_Layer] = []
    activated = True
    for name, module in chain:
        assert module is not None
        if type(module) is nn.Linear:
            bias = None if module.bias is None else f"{name}bias"
            layers.append(_Layer(f"{name}weight", bias))
            activated = False
        elif type(module) in _ACTIVATIONS and not activated:
            if getattr(module, "approximate", "none") != "none":
                raise ValueError("The approximate GELU has no slope here.")
            layers[-1] = dataclasses.replace(layers[-1], behind=type(module))
            activated = True
        else:
            raise ValueError(f"{type(module).__name__} is not of a chain of linear layers.")
    weights = dict(network.named_parameters())
    named = {name for layer in layers for name in (layer.weight, layer.bias) if name}
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    if not layers or hooked or named != set(weights):
        raise ValueError("The network is not a plain chain of linear layers.")
    if not all(weight.requires_grad for weight in weights.values()):
        raise ValueError("The network has frozen weights.")
    return layers


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
        parts = torch.autograd.grad(
            loss(at), list(at.values()), create_graph=again, materialize_grads=True
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
