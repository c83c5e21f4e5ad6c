"""A chain of layers that knows where a box around a row ends up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmeta.augmentation._refusals import layers_of

__all__ = ["IntervalChain"]

_MONOTONE = (nn.Identity, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)


class IntervalChain(nn.Sequential):
    """The layers of a `Sequential`, with the bounds of the first of them.

    A row of the usual width passes as ever. A longer one is ``[x, s, context]``: behind the bounded
    layers, ``|s|`` of what it has become is replaced by its upper bound if s > 0, or its lower one.

    Parameters
    ----------
    network : Sequential
        The layers.
    n_features : int
        The length of x.
    width : int
        The length of a usual row: x and its context, if there is one.
    ends_in_features : bool
        Whether the last linear layer is a hidden one.
    n_layers : int
        Hidden layers to bound.

    Attributes
    ----------
    epsilon : float
        Half the side of the box around x.
    depth : int
        The bounded modules.

    Raises
    ------
    ValueError
        If the network does not begin with so many linear layers and monotone activations.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        n_features: int,
        width: int,
        ends_in_features: bool,
        n_layers: int,
    ) -> None:
        super().__init__(layers_of(network, "Bounds need"))
        self.n_features = n_features
        self.width = width
        self.epsilon = 0.0
        layers = list(self)
        starts = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        ends = [*starts[1:], *[len(layers)][: int(ends_in_features)]]
        if n_layers > len(ends):
            raise ValueError(
                f"n_layers={n_layers} is above the number of hidden layers, {len(ends)}."
            )
        self.depth = ends[n_layers - 1]
        for layer in layers[: self.depth]:
            if type(layer) not in (nn.Linear, *_MONOTONE):
                raise ValueError(
                    f"Bounds pass through linear layers and monotone activations, "
                    f"{', '.join(kind.__name__ for kind in _MONOTONE)}, but one of the first "
                    f"{n_layers} hidden layer(s) has {type(layer).__name__}."
                )

    def bounds(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return lower bounds, values and upper bounds behind the bounded layers.

        Parameters
        ----------
        X : Tensor of shape (..., width)
            Rows; the box is around x, and the context is fixed.

        Returns
        -------
        lower, value, upper : Tensor of shape (..., n_hidden)
        """
        value = center = X
        around = torch.full_like(X[..., : self.n_features], self.epsilon)
        radius = torch.cat([around, torch.zeros_like(X[..., self.n_features :])], dim=-1)
        for layer in list(self)[: self.depth]:
            value = layer(value)
            if isinstance(layer, nn.Linear):
                center, radius = layer(center), functional.linear(radius, layer.weight.abs())
            else:
                lower, upper = layer(center - radius), layer(center + radius)
                center, radius = (lower + upper) / 2, (upper - lower) / 2
        return center - radius, value, center + radius

    def forward(self, X: Tensor) -> Tensor:
        """Run the layers."""
        layers = list(self)
        if X.shape[-1] > self.width:
            n = self.n_features
            x, share, context = torch.split(X, [n, 1, X.shape[-1] - n - 1], dim=-1)
            lower, value, upper = self.bounds(torch.cat([x, context], dim=-1))
            X = torch.lerp(value, torch.where(share > 0, upper, lower), share.abs())
            layers = layers[self.depth :]
        for layer in layers:
            X = layer(X)
        return X
