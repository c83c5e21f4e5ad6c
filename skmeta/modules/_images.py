"""What networks for images share: rows of pixels as images, and a normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

__all__ = ["group_norm", "image_size"]

_LEAST_SIDE = 16  # halved four times


def image_size(n_features_in: int, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Return the channels, height and width of images that come as rows of numbers.

    Parameters
    ----------
    n_features_in : int
        Numbers of a row.
    image_shape : (height, width), (channels, height, width) or None
        None for a square of one channel.

    Returns
    -------
    size : (int, int, int)
        Channels, height and width.

    Raises
    ------
    ValueError
        If rows are no such images, or these are too small to halve four times.
    """
    if image_shape is None:
        side = math.isqrt(n_features_in)
        if side * side != n_features_in:
            raise ValueError(
                f"n_features_in={n_features_in} is no square image; give image_shape=(height, "
                "width) or (channels, height, width)."
            )
        image_shape = (side, side)
    if len(image_shape) not in (2, 3):
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width) or (channels, height, width)."
        )
    channels, height, width = (1, *image_shape)[-3:]
    if channels * height * width != n_features_in:
        raise ValueError(
            f"image_shape={image_shape!r} has {math.prod(image_shape)} numbers, but rows have "
            f"n_features_in={n_features_in}."
        )
    if min(height, width) < _LEAST_SIDE:
        raise ValueError(
            f"Images of {height} x {width} pixels are too small to halve four times: both sides "
            f"must be at least {_LEAST_SIDE}."
        )
    return channels, height, width


def group_norm(n_channels: int, n_groups: int) -> nn.GroupNorm:
    """Return a normalisation over groups of the channels of one image.

    Parameters
    ----------
    n_channels : int
        Channels of the image.
    n_groups : int
        Groups of as many channels each.

    Returns
    -------
    layer : GroupNorm
        The normalisation.

    Raises
    ------
    ValueError
        If groups cannot be of equal size.
    """
    if n_groups < 1 or n_channels % n_groups:
        raise ValueError(f"n_groups={n_groups} must divide the number of channels, {n_channels}.")
    return nn.GroupNorm(n_groups, n_channels)
