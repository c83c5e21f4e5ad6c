"""Torch modules to learn with."""

from skmeta.modules._mlp import MLP

__all__ = ["MLP"]
