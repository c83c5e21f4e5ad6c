"""One network for the rows of all tasks, and what it says of each task."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.inner import (
    Episode,
    GradientSteps,
    RowLoss,
    TaskTensors,
    row_shares,
    solve_ridge,
    with_ones,
)
from skmeta.tasks import TaskData

__all__ = ["ProbeClassifier", "ProbeRegressor", "require_targets"]


class TaskProbe(GradientSteps):
    """A network that takes no steps: what adaptation leaves of a task is its embedding.

    Parameters
    ----------
    network : Module
        Maps rows to outputs.
    n_features_in, n_outputs : int
        The sizes of a row and of its prediction.
    loss : RowLoss
        The loss of each row.
    embedding : {"fisher", "gradient", "head"}
        What describes a task.
    per_sample : bool
        Whether the Fisher information is the mean of squared gradients of rows, or the square of
        the mean gradient.
    alpha : float
        The penalty of a head, for each row.
    """

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        loss: RowLoss,
        embedding: str,
        per_sample: bool,
        alpha: float,
    ) -> None:
        for name, layer in network.named_modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                raise ValueError(
                    f"module has a {type(layer).__name__} ({name}), which mixes rows, so that no "
                    "row has a gradient of its own; use LayerNorm or GroupNorm."
                )
        super().__init__(network, n_features_in, n_outputs, loss=loss, lr=0.0, n_steps=0)
        self.embedding = embedding
        self.per_sample = per_sample
        self.alpha = alpha

    def forward(self, episode: Episode) -> Tensor:
        """Predict the query; no task differs from another."""
        X = episode.query_X
        outputs: Tensor = self.network(X.flatten(0, 1)).view(*X.shape[:2], -1)
        return outputs

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Embed each task."""
        if self.embedding == "head":
            features = self.represent(X.flatten(0, 1)).view(*X.shape[:2], -1)
            F = with_ones(features) * mask[..., None]
            return {"embedding": solve_ridge(F, y, self.alpha * mask.sum(dim=1)).flatten(1)}
        weights, share = self.networks.start(), row_shares(mask)
        if self.embedding == "fisher" and self.per_sample:
            slopes = self.networks.squared_slope(weights, X, y, share)
        else:
            slopes = self.networks.slope(weights, X, y, share)
            if self.embedding == "fisher":
                slopes = {name: slope.square() for name, slope in slopes.items()}
        return {"embedding": torch.cat([slopes[name].flatten(1) for name in weights], dim=1)}

    @property
    def blocks(self) -> tuple[int, ...]:
        """The number of weights of each parameter tensor."""
        return tuple(weight.numel() for weight in self.networks.start().values())


@meta_learner
class _Probe(BaseDeepLearner):
    n_queries: int | None = 32
    embedding: str = "fisher"
    per_sample: bool = True
    alpha: float = 0.1

    _body_has_outputs = True

    def embed(self, X: Any, y: Any, groups: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the labels of the tasks of some rows, and a row of numbers for each."""
        self._read_features(X, groups)
        require_targets(y)
        reader = copy.copy(self)  # the labels that it reads may be other ones
        data = reader._support = reader._read(X, y, groups, None, reset=False)
        return data.table.labels, reader._adapt_support(data)["embedding"]

    @property
    def blocks(self) -> tuple[int, ...]:
        """The number of weights of each parameter tensor."""
        return cast(TaskProbe, self._rule).blocks

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            TaskProbe,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_net_outputs,
            loss=self._row_loss,
            embedding=self.embedding,
            per_sample=self.per_sample,
            alpha=self.alpha,
        )


@meta_learner
class ProbeRegressor(DeepRegressorMixin, _Probe):
    """One regression for the rows of all tasks."""


@meta_learner
class ProbeClassifier(DeepClassifierMixin, _Probe):
    """One classifier for the rows of all tasks."""

    _fixed_outputs = True

    def _prepare(self, data: TaskData) -> TaskData:
        # An embedding sees all outputs, so training does, whatever classes a task lacks.
        return replace(super()._prepare(data), n_ways=None)


def require_targets(y: Any) -> None:
    """Raise an error if there are no targets."""
    if y is None:
        raise ValueError(
            "TaskEmbedding requires y to be passed, but the target y is None: a probe describes a "
            "task by what its targets say. Only a transformer as embedding does without."
        )
