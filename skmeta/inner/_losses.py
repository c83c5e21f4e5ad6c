"""Losses of each row, and their mean over the rows of a task."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["RowLoss", "cross_entropy", "mean_over_rows", "squared_error"]

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""(predictions, targets), both (..., rows, outputs) -> (..., rows)."""


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of each row, mean over outputs."""
    return (predicted - target).square().mean(dim=-1)


def cross_entropy(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of logits with targets given as class indicators."""
    return -(target * predicted.log_softmax(dim=-1)).sum(dim=-1)


def mean_over_rows(loss: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the rows that a mask marks, 0 where it marks none."""
    return (loss * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1.0)
