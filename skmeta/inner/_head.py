"""What rules that adapt a head alone share: one pass of a body for all rows of all tasks."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from skmeta.inner._rule import Episode, InnerRule, TaskTensors, network_width

__all__ = ["HeadRule", "PenalisedHead", "unit_rows"]


class HeadRule(InnerRule):
    """A rule on the features of a body that all tasks share.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    """

    shared_network = "body"

    def __init__(self, body: nn.Module, n_features_in: int) -> None:
        super().__init__()
        self.body = body
        self.width = network_width(body, n_features_in)

    @abstractmethod
    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Learn each task's head from the features of its support."""

    @abstractmethod
    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Predict rows of each task from their features."""

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Learn each task from its support."""
        return self.adapt_head(self._features(X), y, mask)

    def predict(self, X: Tensor, state: TaskTensors) -> Tensor:
        """Predict rows of each task."""
        return self.apply_head(self._features(X), state)

    def forward(self, episode: Episode) -> Tensor:
        """Adapt and predict with one pass through the body."""
        support, query = self.episode_features(episode)
        state = self.adapt_head(support, episode.support_y, episode.support_mask)
        return self.apply_head(query, state)

    def episode_features(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return the features of support and query, from one pass through the body."""
        rows = torch.cat([episode.support_X, episode.query_X], dim=1)
        n_support, n_query = episode.support_X.shape[1], episode.query_X.shape[1]
        support, query = torch.split(self._features(rows), [n_support, n_query], dim=1)
        return support, query

    def represent(self, X: Tensor) -> Tensor:
        """Return the features of the body."""
        features: Tensor = self.body(X)
        return features

    def _features(self, X: Tensor) -> Tensor:
        features: Tensor = self.body(X.flatten(0, 1)).view(*X.shape[:2], -1)
        return features


class PenalisedHead(HeadRule):
    """Linear heads fitted with a ridge penalty, which may be learned.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    alpha : float
        The first value of the penalty λ.
    learn_alpha : bool
        Whether λ is meta-learned.
    """

    def __init__(
        self, body: nn.Module, n_features_in: int, *, alpha: float, learn_alpha: bool
    ) -> None:
        super().__init__(body, n_features_in)
        start = torch.tensor(math.log(alpha), dtype=torch.float64)
        self.log_alpha = nn.Parameter(start, requires_grad=learn_alpha)

    @property
    def bytes_per_task(self) -> int:
        """Size of a head with one output and a bias."""
        return (self.width + 1) * self.log_alpha.element_size()


def unit_rows(features: Tensor) -> Tensor:
    """Scale rows to length 1, and leave zeros as they are.

    `torch.nn.functional.normalize` has no second derivative at 0, where a network of ReLUs puts a
    row that moves none of its units.
    """
    return features * features.square().sum(dim=-1, keepdim=True).clamp(min=1e-12).rsqrt()
