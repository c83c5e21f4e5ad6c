"""Weights of tasks by their neural tangent kernels (NTKMTL)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from skmeta.balancing._balanced import BalancedGradient
from skmeta.balancing._weighed import DrawnWeights, split
from skmeta.inner import Episode

__all__ = ["NTKGradient"]


class NTKGradient(DrawnWeights, BalancedGradient):
    """``mean_i ω_i g_i`` with ``ω_i = sqrt(mean_j λ_j / λ_i)``, constant in differentiation.

    λ_i is the largest eigenvalue of the tangent kernel of task i, that of the losses of parts of
    its query rows: ``K_i = G_i G_i'`` with a gradient in each row of G_i.

    Parameters
    ----------
    n_splits : int
        The number of parts.
    """

    def combine(
        self,
        jacobian: Tensor,
        counts: Tensor,
        episode: Episode,
        jacobian_of: Callable[[Episode], Tensor],
    ) -> Tensor:
        """Return the update of the shared parameters."""
        parts = jacobian[:, None]
        if self.n_splits > 1:
            parts = jacobian_of(split(episode, self.n_splits))
            parts = parts.view(len(jacobian), self.n_splits, -1)
        return (counts * self.weigh(parts, counts, episode)) @ jacobian / len(counts)
