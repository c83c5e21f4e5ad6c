"""Shared features with one linear head for each training task, or one row for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta.inner._head import unit_rows
from skmeta.inner._rule import Episode, EpisodeModule, network_width

__all__ = ["JointHeads", "SharedFeatures"]


class SharedFeatures(EpisodeModule):
    """A body that all tasks train together.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    unit_norm : bool
        Whether features are scaled to length 1.
    """

    shared_network = "body"

    def __init__(self, body: nn.Module, n_features_in: int, *, unit_norm: bool) -> None:
        super().__init__()
        self.body = body
        self.width = network_width(body, n_features_in)
        self.unit_norm = unit_norm

    def represent(self, X: Tensor) -> Tensor:
        """Return the features of rows."""
        features: Tensor = self.body(X)
        return unit_rows(features) if self.unit_norm else features


class JointHeads(SharedFeatures):
    """The network of multi-task training.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    n_heads : int
        Training tasks; with `by_class`, classes.
    n_outputs : int
        Outputs of a head.
    by_class : bool, default=False
        Keep one row of weights for each class of all tasks; the logits of an episode are the
        products with the rows of its classes.
    unit_norm : bool, default=False
        Whether features are scaled to length 1.
    """

    def __init__(
        self,
        body: nn.Module,
        n_features_in: int,
        n_heads: int,
        n_outputs: int,
        *,
        by_class: bool = False,
        unit_norm: bool = False,
    ) -> None:
        super().__init__(body, n_features_in, unit_norm=unit_norm)
        self.by_class = by_class
        self.own_parameters = () if by_class else ("heads",)  # tasks share classes
        shape = (n_heads, self.width) if by_class else (n_heads, self.width + 1, n_outputs)
        # Random rows of hundreds of classes would first teach the body to undo their noise.
        self.heads = nn.Parameter(torch.zeros(shape))

    def forward(self, episode: Episode) -> Tensor:
        """Predict the query rows by the heads of their tasks."""
        n_tasks, n_rows, _ = episode.query_X.shape
        features = self.represent(episode.query_X.flatten(0, 1)).view(n_tasks, n_rows, -1)
        if self.by_class:
            assert episode.classes is not None
            return features @ self.heads[episode.classes].mT
        heads = self.heads[episode.tasks]
        return features @ heads[:, 1:] + heads[:, :1]
