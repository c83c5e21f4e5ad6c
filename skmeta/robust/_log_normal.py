"""Thresholds at quantiles of a log-normal distribution of task losses."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from skmeta.robust._selection import Choice, SelectedTasks, median, within

__all__ = ["LogNormalWindow"]

_MAD_TO_SIGMA = 1 / NormalDist().inv_cdf(0.75)


class LogNormalWindow(SelectedTasks):
    """Tasks count whose loss is between ``exp(μ + z_low σ)`` and ``exp(μ + z_high σ)``.

    μ and σ are those of the logarithms of losses, by median and median absolute deviation so
    that odd tasks do not hide themselves, and moving averages over meta-batches.

    Parameters
    ----------
    drop_hardest, drop_easiest : float
        What the tails of the normal distribution above z_high and below z_low hold.
    decay : float
        Of the moving averages.
    **selection : Any
        As for `SelectedTasks`.
    """

    z: Tensor
    moments: Tensor
    mass: Tensor

    def __init__(
        self,
        loss: Any,
        *,
        drop_hardest: float,
        drop_easiest: float,
        decay: float,
        **selection: Any,
    ) -> None:
        super().__init__(loss, **selection)
        normal = NormalDist()
        high = normal.inv_cdf(1 - drop_hardest) if drop_hardest else torch.inf
        low = normal.inv_cdf(drop_easiest) if drop_easiest else -torch.inf
        self.decay = decay
        self.register_buffer("z", torch.tensor([low, high]))
        self.register_buffer("moments", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("mass", torch.zeros((), dtype=torch.float64))

    def choose(self, scores: Tensor, tasks: Tensor) -> Choice:
        """Return equal weights for the tasks inside of the window."""
        logs = self.logs(scores)
        center = median(logs)
        now = torch.stack([center, _MAD_TO_SIGMA * median((logs - center).abs())])
        # The sums have this meta-batch in them; at first they are of little mass.
        moments = self.decay * self.moments + (1 - self.decay) * now
        mass = self.decay * self.mass + (1 - self.decay)
        mu, sigma = (moments / mass).to(logs.dtype)
        # Where losses are all alike there are no odd ones.
        sigma = torch.where(sigma > 0, sigma, torch.inf)
        ends = mu + self.z * sigma
        weights = within(logs, ends[0], ends[1], mu)
        learned = {"moments": moments, "mass": mass}
        return Choice(weights, self.unlog(ends), logs >= ends[1], learned)
