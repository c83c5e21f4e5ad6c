"""What layers hold of the rows that pass through them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["activation_bytes"]


def activation_bytes(run: Callable[[Tensor], Tensor], rows: Tensor) -> int:
    """Return the bytes that layers hold of a row, all layers together.

    Counted is what a backward pass would need: nearly all that a pass without one makes too,
    if not all at the same time.

    Parameters
    ----------
    run : callable
        From rows to what a network makes of them.
    rows : Tensor of shape (4, n_features)
        Any. What four take more than two do is theirs: weights are held once.
    """
    few, more = _held(run, rows[:2]), _held(run, rows)
    return max(1, (more - few) // 2)


def _held(run: Callable[[Tensor], Tensor], rows: Tensor) -> int:
    held: dict[int, Tensor] = {}  # by address, for neighbouring layers keep the same tensor

    def keep(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        run(rows.detach().clone().requires_grad_())
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())
