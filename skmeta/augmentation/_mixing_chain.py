"""A chain of layers that mixes two rows behind one of its layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta.augmentation._refusals import layers_of

__all__ = ["MixingChain"]


class MixingChain(nn.Sequential):
    """The layers of a `Sequential`, which also take a row and its partner together.

    A row of the usual width passes as ever. A longer one is ``[x, x', 1 - λ, context]``: x and x',
    each with the context, pass through the first `depth` layers; ``λ h + (1 - λ) h'`` through the
    rest. That λ travels with the row keeps such rows ordinary ones for all that batches, chunks or
    maps over tasks. The names of parameters are those of the given network.

    Parameters
    ----------
    network : Sequential
        The layers.
    n_features : int
        The length of x.
    width : int
        The length of a usual row: x and its context, if there is one.
    ends_in_features : bool
        Whether what the last layer returns is hidden too.

    Attributes
    ----------
    depth : int
        Layers before the mixture.
    depths : list of int
        All that can be chosen: before each linear layer, and behind the last of a body.

    Raises
    ------
    ValueError
        If the network is no plain `Sequential`.
    """

    def __init__(
        self, network: nn.Module, *, n_features: int, width: int, ends_in_features: bool
    ) -> None:
        super().__init__(
            layers_of(network, "layers='hidden' needs", "; layers='input' works for any")
        )
        self.n_features = n_features
        self.width = width
        self.depth = 0
        linear = {at for at, layer in enumerate(self) if isinstance(layer, nn.Linear)}
        self.depths = sorted({0} | linear | ({len(self)} if ends_in_features else set()))

    def forward(self, X: Tensor) -> Tensor:
        """Run the layers."""
        layers = list(self)
        if X.shape[-1] == self.width:
            return _run(layers, X)
        n = self.n_features
        sizes = [n, n, 1, X.shape[-1] - 2 * n - 1]
        first, second, share, context = torch.split(X, sizes, dim=-1)
        one, other = (
            _run(layers[: self.depth], torch.cat([rows, context], dim=-1))
            for rows in (first, second)
        )
        # A row has one λ, whatever the shape of what a layer makes of it.
        share = share.view(*share.shape[:-1], *[1] * (one.ndim - share.ndim + 1))
        return _run(layers[self.depth :], torch.lerp(one, other, share))


def _run(layers: list[nn.Module], X: Tensor) -> Tensor:
    for layer in layers:
        X = layer(X)
    return X
