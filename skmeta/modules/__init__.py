"""Torch modules to learn with."""

from skmeta.modules._conv4 import Conv4
from skmeta.modules._mlp import MLP
from skmeta.modules._resnet12 import ResNet12

__all__ = ["MLP", "Conv4", "ResNet12"]
