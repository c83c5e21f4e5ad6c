"""Multilayer perceptrons of all tasks at once, back-propagated by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmeta.inner._losses import RowLoss
from skmeta.inner._networks import Rates, TaskNetworks, step
from skmeta.inner._rule import TaskTensors

__all__ = ["StackedMLP"]


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
