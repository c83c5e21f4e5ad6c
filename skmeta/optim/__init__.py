"""Outer optimizers beside torch's."""

from skmeta.optim._sam import SAM

__all__ = ["SAM"]
