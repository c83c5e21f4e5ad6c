"""The network of four convolutions that few-shot learning is compared on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from skmeta.modules._images import group_norm, image_size

__all__ = ["Conv4"]


class Conv4(nn.Sequential):
    """Four blocks of convolution, normalisation, ReLU and pooling, for images as rows.

    The standard body of few-shot image classification [1]_: each block convolves 3 x 3 pixels and
    halves the image. Images of 28 x 28 pixels leave it as `n_channels` features, those of 84 x 84
    as 25 times as many.

    It normalises by groups of channels of one image [2]_ where the paper takes batch statistics:
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
    n_channels : int, default=64
        Channels of each block.
    n_groups : int, default=1
        Groups of channels that are normalised together; 1 takes all of them, as a layer
        normalisation does.

    Raises
    ------
    ValueError
        If a row is no such image, or `n_groups` does not divide `n_channels`.

    References
    ----------
    .. [1] Vinyals, O., Blundell, C., Lillicrap, T., Kavukcuoglu, K. and Wierstra, D. (2016).
       "Matching networks for one shot learning". NeurIPS.
    .. [2] Wu, Y. and He, K. (2018). "Group normalization". ECCV.

    Examples
    --------
    >>> import torch
    >>> from skmeta.modules import Conv4
    >>> images = torch.zeros(5, 784)
    >>> Conv4(784)(images).shape, Conv4(784, 3)(images).shape
    (torch.Size([5, 64]), torch.Size([5, 3]))

    A learner takes it as `module`; its arguments go into `net_params`:

    >>> from skmeta import RidgeHeadClassifier
    >>> learner = RidgeHeadClassifier(
    ...     n_way=5, module=Conv4, net_params={"module__image_shape": (3, 32, 32)}
    ... )
    """

    def __init__(
        self,
        n_features_in: int,
        n_outputs: int | None = None,
        image_shape: Sequence[int] | None = None,
        n_channels: int = 64,
        n_groups: int = 1,
    ) -> None:
        channels, height, width = image_size(n_features_in, image_shape)
        layers: list[nn.Module] = [nn.Unflatten(1, (channels, height, width))]
        for _ in range(4):
            layers += [
                nn.Conv2d(channels, n_channels, 3, padding=1),
                group_norm(n_channels, n_groups),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = n_channels
        layers.append(nn.Flatten())
        if n_outputs is not None:
            layers.append(nn.Linear(channels * (height // 16) * (width // 16), n_outputs))
        super().__init__(*layers)
