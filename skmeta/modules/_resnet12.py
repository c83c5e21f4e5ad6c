"""The residual network of twelve convolutions for few-shot images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from skmeta.modules._dropblock import DropBlock
from skmeta.modules._images import group_norm, image_size

__all__ = ["ResNet12"]

_SLOPE = 0.1


class ResNet12(nn.Sequential):
    """Four residual blocks of three convolutions and pooling, for images as rows.

    The larger of the standard bodies of few-shot image classification, as in [1]_ with the widths
    that most later work has: LeakyReLU, pooling that halves the image behind each block, dropout
    there that takes squares behind the last two blocks (DropBlock [2]_), and the mean over pixels
    as features. Pick it over :class:`Conv4` where there are many classes to train on and time for
    some forty times the work.

    It normalises by groups of channels of one image [3]_ where the paper takes batch statistics:
    those make a prediction depend on the other rows asked for, and mix tasks.

    Parameters
    ----------
    n_features_in : int
        The number of inputs: pixels times channels. Learners fill it in from the data.
    n_outputs : int or None, default=None
        The number of outputs of a linear layer behind the blocks; None ends with the features, as
        a body for a head.
    image_shape : (height, width), (channels, height, width) or None, default=None
        The image that a row is, channels first; None for a square of one channel. Both sides have
        at least 16 pixels.
    n_channels : sequence of four int, default=(64, 160, 320, 640)
        Channels of each block; the last number is that of features.
    n_groups : int, default=1
        Groups of channels that are normalised together; 1 takes all of them, as a layer
        normalisation does.
    drop_rate : float, default=0.1
        The share of features to drop behind each block, in training.
    block_size : int, default=5
        The side of the squares dropped behind the last two blocks, at most that of the map.

    Raises
    ------
    ValueError
        If a row is no such image, there are not four numbers of channels, `n_groups` does not
        divide each of them, or `drop_rate` or `block_size` is out of range.

    References
    ----------
    .. [1] Lee, K., Maji, S., Ravichandran, A. and Soatto, S. (2019). "Meta-learning with
       differentiable convex optimization". CVPR.
    .. [2] Ghiasi, G., Lin, T.-Y. and Le, Q. V. (2018). "DropBlock: a regularization method for
       convolutional networks". NeurIPS.
    .. [3] Wu, Y. and He, K. (2018). "Group normalization". ECCV.

    Examples
    --------
    >>> import torch
    >>> from skmeta.modules import ResNet12
    >>> images = torch.zeros(2, 3 * 32 * 32)
    >>> ResNet12(3 * 32 * 32, image_shape=(3, 32, 32), n_channels=(8, 16, 24, 32))(images).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        n_features_in: int,
        n_outputs: int | None = None,
        image_shape: Sequence[int] | None = None,
        n_channels: Sequence[int] = (64, 160, 320, 640),
        n_groups: int = 1,
        drop_rate: float = 0.1,
        block_size: int = 5,
    ) -> None:
        if len(n_channels) != 4:
            raise ValueError(f"n_channels={n_channels!r} must have four numbers.")
        size = image_size(n_features_in, image_shape)
        layers: list[nn.Module] = [nn.Unflatten(1, size)]
        channels = size[0]
        for width, dropped in zip(n_channels, (1, 1, block_size, block_size), strict=True):
            layers += [
                _ResidualBlock(channels, width, n_groups),
                nn.MaxPool2d(2),
                DropBlock(drop_rate, dropped),
            ]
            channels = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if n_outputs is not None:
            layers.append(nn.Linear(channels, n_outputs))
        super().__init__(*layers)


class _ResidualBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int, n_groups: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (n_in, n_out, n_out):
            layers += [
                nn.Conv2d(channels, n_out, 3, padding=1, bias=False),
                group_norm(n_out, n_groups),
                nn.LeakyReLU(_SLOPE),
            ]
        self.path = nn.Sequential(*layers[:-1])  # the last slope is that of the sum
        self.shortcut = nn.Sequential(
            nn.Conv2d(n_in, n_out, 1, bias=False), group_norm(n_out, n_groups)
        )

    def forward(self, X: Tensor) -> Tensor:
        return leaky_relu(self.path(X) + self.shortcut(X), _SLOPE)
