"""Losses of each row with their slopes, and means over the rows of a task."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["RowLoss", "cross_entropy", "mean_over_rows", "row_shares", "squared_error"]


class RowLoss(Protocol):
    """A loss of each row: (predictions, targets) of (..., rows, outputs) -> (..., rows)."""

    def __call__(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row."""
        ...

    def slope(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the derivative of each row's loss by its prediction."""
        ...

    def as_target(self, predicted: Tensor) -> Tensor:
        """Return the target that a prediction stands for."""
        ...


class _SquaredError:
    """The squared error of each row, mean over outputs."""

    def __call__(self, predicted: Tensor, target: Tensor) -> Tensor:
        return (predicted - target).square().mean(dim=-1)

    def slope(self, predicted: Tensor, target: Tensor) -> Tensor:
        return (predicted - target) * (2 / predicted.shape[-1])

    def as_target(self, predicted: Tensor) -> Tensor:
        return predicted


class _CrossEntropy:
    """The cross-entropy of logits with targets given as class indicators."""

    def __call__(self, predicted: Tensor, target: Tensor) -> Tensor:
        return -(target * predicted.log_softmax(dim=-1)).sum(dim=-1)

    def slope(self, predicted: Tensor, target: Tensor) -> Tensor:
        return predicted.softmax(dim=-1) * target.sum(dim=-1, keepdim=True) - target

    def as_target(self, predicted: Tensor) -> Tensor:
        return predicted.softmax(dim=-1)


squared_error = _SquaredError()
cross_entropy = _CrossEntropy()


def row_shares(mask: Tensor) -> Tensor:
    """Return the weight of each row in its task's mean: equal, and 0 where a mask marks none."""
    return mask / mask.sum(dim=-1, keepdim=True).clamp(min=1.0)


def mean_over_rows(loss: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the rows that a mask marks, 0 where it marks none."""
    return (loss * row_shares(mask)).sum(dim=-1)
