"""What rules share that know how sure they are: a normal distribution of each row."""

from __future__ import annotations

import math
from abc import abstractmethod

from torch import Tensor

from skmeta.inner._head import HeadRule
from skmeta.inner._rule import TaskTensors

__all__ = ["GaussianRule", "normal_surprise"]


class GaussianRule(HeadRule):
    """A rule on the features of a body that predicts the mean and the variance of each target."""

    @abstractmethod
    def head_moments(self, features: Tensor, state: TaskTensors) -> tuple[Tensor, Tensor]:
        """Return mean and variance of new observations of rows, noise included."""

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Return the mean."""
        return self.head_moments(features, state)[0]

    def moments(self, X: Tensor, state: TaskTensors) -> tuple[Tensor, Tensor]:
        """Return mean and variance of new observations of rows.

        Parameters
        ----------
        X : Tensor of shape (n_tasks, n_rows, n_features)
            Features.
        state : dict of Tensor
            What adaptation left of the tasks.

        Returns
        -------
        mean, variance : Tensor of shape (n_tasks, n_rows, n_outputs)
        """
        return self.head_moments(self._features(X), state)


def normal_surprise(mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    """Return ``-log N(y; mean, variance)`` of each row, the sum over outputs."""
    scaled = (y - mean).square() / variance + (2 * math.pi * variance).log()
    return scaled.sum(dim=-1) / 2
