"""Outer optimizers beside torch's, and gradients without derivatives."""

from skmeta.optim._sam import SAM
from skmeta.optim._zero_order import zero_order_gradient

__all__ = ["SAM", "zero_order_gradient"]
