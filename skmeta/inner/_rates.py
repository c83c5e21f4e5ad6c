"""The inner rates: one number, one for each layer, or one for each weight; fixed or learned."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skmeta.inner._networks import Rates
from skmeta.inner._rule import TaskTensors

__all__ = ["InnerRates"]


class InnerRates(nn.Module):
    """The step along each weight.

    Parameters
    ----------
    weights : dict of Tensor
        What takes the steps, before any.
    lr : float, (float, float) or dict
        A rate for all; a range to draw the rate of each weight from; or a rate for each of the
        parameters whose names start so, such as ``{"0": 0.01, "2": 0.1}``, the longest such name
        counting, and 0 for the others.
    learn : {None, "layer", "weight"}
        Whether to meta-learn one rate for each parameter tensor, or one for each weight.

    Raises
    ------
    ValueError
        If a name in `lr` is of no parameter.
    """

    def __init__(
        self,
        weights: TaskTensors,
        lr: float | tuple[float, float] | Mapping[str, float],
        learn: str | None,
    ) -> None:
        super().__init__()
        if isinstance(lr, Mapping):
            for prefix in lr:
                if not any(_belongs(name, prefix) for name in weights):
                    raise ValueError(
                        f"inner_lr has a rate for {prefix!r}, which is no parameter of the module; "
                        f"its parameters are {list(weights)}."
                    )
        self.fixed: dict[str, float] = {}
        self.names = list(weights)
        self.learned = nn.ParameterList()
        for name, weight in weights.items():
            shape = weight.shape if learn == "weight" else ()
            rate = lr
            if isinstance(rate, Mapping):
                longest = max((p for p in rate if _belongs(name, p)), key=len, default=None)
                rate = 0.0 if longest is None else rate[longest]
            if isinstance(rate, tuple):
                start = torch.empty(shape, dtype=weight.dtype).uniform_(*rate)
            else:
                start = torch.full(shape, float(rate), dtype=weight.dtype)
            if learn is not None:
                self.learned.append(nn.Parameter(start))
            else:
                self.fixed[name] = float(start if isinstance(rate, tuple) else rate)

    def forward(self) -> Rates:
        """Return the rate of each parameter."""
        if self.fixed:
            return self.fixed
        learned: dict[str, Tensor] = dict(zip(self.names, self.learned, strict=True))
        return learned


def _belongs(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")
