"""Dropout of contiguous squares of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DropBlock"]


class DropBlock(nn.Module):
    """Drop squares of each channel, in training only.

    A square starts at each place where it fits with probability
    ``drop_rate / block_size² · h w / ((h - block_size + 1) (w - block_size + 1))``, which drops
    about that share of the map, a little less where squares overlap (the paper's γ). What stays is
    divided by the probability that it does, so each number keeps its expectation; the paper
    divides by the share of the batch that stays, through which rows depend on each other.

    Parameters
    ----------
    drop_rate : float
        The share to drop, below 1.
    block_size : int
        The side of a square, at most that of the map; 1 is Dropout.

    Raises
    ------
    ValueError
        If either is out of range.

    References
    ----------
    .. [1] Ghiasi, G., Lin, T.-Y. and Le, Q. V. (2018). "DropBlock: a regularization method for
       convolutional networks". NeurIPS.
    """

    def __init__(self, drop_rate: float, block_size: int) -> None:
        super().__init__()
        if not 0 <= drop_rate < 1:
            raise ValueError(f"drop_rate={drop_rate!r} must be at least 0 and below 1.")
        if block_size < 1:
            raise ValueError(f"block_size={block_size!r} must be at least 1.")
        self.drop_rate = drop_rate
        self.block_size = block_size

    def forward(self, X: Tensor) -> Tensor:
        """Drop squares of the feature maps.

        Parameters
        ----------
        X : Tensor of shape (n_rows, n_channels, height, width)
            Feature maps.

        Returns
        -------
        X : Tensor of the same shape
            The maps, with squares of zeros.
        """
        if not self.training or self.drop_rate == 0:
            return X
        *rows, height, width = X.shape
        size = min(self.block_size, height, width)
        starts = (height - size + 1, width - size + 1)
        γ = self.drop_rate / size**2 * height * width / (starts[0] * starts[1])
        seeds = torch.rand(*rows, *starts, dtype=X.dtype, device=X.device) < γ
        padding = size - 1
        blocks = functional.pad(seeds.to(X.dtype), (padding, padding, padding, padding))
        dropped = functional.max_pool2d(blocks, size, stride=1)
        covering = torch.outer(*(_n_covering(side, size).to(X) for side in (height, width)))
        return X * (1 - dropped) / (1 - γ) ** covering


def _n_covering(side: int, size: int) -> Tensor:
    """Return how many of the segments of a size that fit into a side cover each place of it."""
    places = torch.arange(side)
    return torch.minimum(places + 1, side - places).clamp(max=min(size, side - size + 1))
