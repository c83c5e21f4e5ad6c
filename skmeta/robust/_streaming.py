"""Thresholds of a ranked range by stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmeta.robust._selection import Choice, SelectedTasks, median, within

__all__ = ["StreamingThresholds"]


class StreamingThresholds(SelectedTasks):
    """Tasks count with ``λ <= s < λ̂``, s the logarithm of a loss; the thresholds follow the losses.

    ``λ ← λ - η (k/n - mean 1[s > λ])`` descends and ``λ̂ ← λ̂ + η (mean 1[s > λ̂] - m/n)`` ascends in
    the saddle problem of the ranked range (Hu et al., theorem 1). Logarithms change no rank, and
    let one η serve losses of any size.

    Parameters
    ----------
    drop_hardest, drop_easiest : float
        m/n and 1 - k/n.
    lr : float
        The step η.
    **selection : Any
        As for `SelectedTasks`.
    """

    above: Tensor
    ends: Tensor

    def __init__(
        self, loss: Any, *, drop_hardest: float, drop_easiest: float, lr: float, **selection: Any
    ) -> None:
        super().__init__(loss, **selection)
        self.lr = lr
        above = torch.tensor([1 - drop_easiest, drop_hardest], dtype=torch.float64)
        self.register_buffer("above", above)
        self.register_buffer("ends", torch.full_like(above, torch.nan))

    def choose(self, scores: Tensor, tasks: Tensor) -> Choice:
        """Return equal weights for the tasks between the thresholds, which then move."""
        logs = self.logs(scores)
        low, high = ends = self._ends(logs)
        above = (logs > ends[:, None]).to(self.ends.dtype).mean(dim=1)
        weights = within(logs, low, high, median(logs))
        moved = ends.to(self.ends.dtype) + self.lr * (above - self.above)
        return Choice(weights, self.unlog(ends), logs >= high, {"ends": moved})

    def _ends(self, logs: Tensor) -> Tensor:
        """Return the thresholds, at first the quantiles of a meta-batch."""
        first = logs.quantile((1 - self.above).to(logs.dtype))
        open_ended = (self.above <= 0) | (self.above >= 1)
        sides = first.new_tensor([-torch.inf, torch.inf])
        first = torch.where(open_ended, sides, first)
        return torch.where(self.ends.isnan(), first, self.ends.to(first.dtype))
