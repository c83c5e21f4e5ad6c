"""Meta-gradients by an aggregator of Jacobians."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import Tensor

from skmeta.balancing._balanced import BalancedGradient
from skmeta.inner import Episode

__all__ = ["AggregatedGradient"]


class AggregatedGradient(BalancedGradient):
    """What an aggregator, such as TorchJD's, makes of the Jacobian.

    Parameters
    ----------
    aggregator : callable
        From a Jacobian of shape (n_tasks, n_parameters) to a vector of length n_parameters.
    """

    def __init__(self, aggregator: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.aggregator = copy.deepcopy(aggregator)  # some have a state, that of one training

    def combine(
        self,
        jacobian: Tensor,
        counts: Tensor,
        episode: Episode,
        jacobian_of: Callable[[Episode], Tensor],
    ) -> Tensor:
        """Return the update of the shared parameters."""
        update = self.aggregator(counts[:, None] * jacobian)
        if update.shape != jacobian.shape[1:]:
            raise ValueError(
                f"method={self.aggregator!r} returns the shape {tuple(update.shape)} for a "
                f"Jacobian of shape {tuple(jacobian.shape)}; it must return a number for each "
                "parameter, as an Aggregator of TorchJD does."
            )
        return update
