"""Gradient steps on the support loss with a pull towards the meta-parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from skmeta.inner._gradient import GradientSteps
from skmeta.inner._networks import Rates
from skmeta.inner._networks import step as move
from skmeta.inner._rule import TaskTensors

__all__ = ["ProximalSteps"]


class ProximalSteps(GradientSteps):
    """Descend ``L_support(w) + λ/2 ‖w - θ‖²`` from θ on.

    Parameters
    ----------
    network : Module
        Maps rows to outputs.
    n_features_in, n_outputs : int
        The sizes of a row and of its prediction.
    alpha : float
        The strength λ of the pull.
    **steps : dict
        As for `GradientSteps`.
    """

    def __init__(
        self, network: nn.Module, n_features_in: int, n_outputs: int, *, alpha: float, **steps: Any
    ) -> None:
        super().__init__(network, n_features_in, n_outputs, **steps)
        self.alpha = alpha

    def step(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor, rates: Rates
    ) -> TaskTensors:
        """Take one step for every task."""
        stepped = super().step(weights, X, y, share, rates)
        start = self.networks.start()
        return {
            name: move(w, self.alpha * (weights[name] - start[name]), rates[name])
            for name, w in stepped.items()
        }
