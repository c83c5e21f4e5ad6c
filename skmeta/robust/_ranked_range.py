"""The average of a ranked range of task losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmeta.robust._selection import Choice, SelectedTasks, within

__all__ = ["RankedRange", "ranks"]


class RankedRange(SelectedTasks):
    """``1/(k-m) Σ_{j=m+1..k} ℓ_[j]`` over losses in descending order (HeTRoM, equation 2).

    m = 0 and k = n is the mean, k = 1 the maximum, m = 0 the average of the top k, which is the
    conditional value at risk, and k = n the trimmed mean.

    Parameters
    ----------
    drop_hardest, drop_easiest : float
        m/n and 1 - k/n.
    buffer_size : int, default=0
        Rank each loss among those of this many earlier tasks too; the number that counts then
        differs between meta-batches.
    **selection : Any
        As for `SelectedTasks`.
    """

    past: Tensor

    def __init__(
        self,
        loss: Any,
        *,
        drop_hardest: float,
        drop_easiest: float,
        buffer_size: int = 0,
        **selection: Any,
    ) -> None:
        super().__init__(loss, **selection)
        self.drop_hardest, self.drop_easiest = drop_hardest, drop_easiest
        self.register_buffer("past", torch.full((buffer_size,), torch.nan, dtype=torch.float64))

    def choose(self, scores: Tensor, tasks: Tensor) -> Choice:
        """Return equal weights for those between the thresholds ``s_[k] <= s < s_[m]``."""
        if len(self.past):
            low, high, center = self._thresholds(scores)
            past = torch.cat([self.past, scores.to(self.past.dtype)])[-len(self.past) :]
            weights = within(scores, low, high, center)
            return Choice(weights, torch.stack([low, high]), scores >= high, {"past": past})
        # By rank, so that ties do not change how many count.
        ordered, order = scores.sort(descending=True, stable=True)
        m, k = ranks(len(scores), self.drop_hardest, self.drop_easiest)
        weights = torch.zeros_like(scores).index_fill(0, order[m:k], len(scores) / (k - m))
        low = ordered[k - 1] if k < len(scores) else scores.new_full((), -torch.inf)
        high = ordered[m - 1] if m else scores.new_full((), torch.inf)
        above = torch.zeros_like(scores, dtype=torch.bool).index_fill(0, order[:m], True)
        return Choice(weights, torch.stack([low, high]), above)

    def _thresholds(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        known = torch.cat([scores, self.past.to(scores.dtype)])
        low = known.nanquantile(self.drop_easiest)
        high = known.nanquantile(1 - self.drop_hardest)
        if not self.drop_hardest:
            high = torch.full_like(high, torch.inf)
        return low, high, known.nanmedian()


def ranks(n: int, drop_hardest: float, drop_easiest: float) -> tuple[int, int]:
    """Return m and k for n tasks; one at least counts.

    Parameters
    ----------
    n : int
        Tasks in a meta-batch.
    drop_hardest, drop_easiest : float
        Shares of them.

    Returns
    -------
    m, k : int
        Tasks m + 1 to k, the hardest first, count.
    """
    m = min(round(drop_hardest * n), n - 1)
    return m, max(n - round(drop_easiest * n), m + 1)
