"""The skorch net that trains an inner rule on episodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PrintLog
from torch import nn

from skmeta.training._stream import EpisodeStream

__all__ = ["EpisodeNet"]


class EpisodeNet(NeuralNet):
    """A skorch net whose batches are meta-batches and whose module is a body in an inner rule.

    Everything else is skorch's: optimiser, callbacks, history, checkpoints, device.

    Parameters
    ----------
    module : type or Module
        The user's network, `module__...` its arguments.
    wrap : callable
        Makes the module to train out of the network.
    dtype : torch.dtype
        The float type of the weights.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        wrap: Callable[[nn.Module], nn.Module],
        dtype: torch.dtype,
        **kwargs: Any,
    ) -> None:
        self.wrap = wrap
        self.dtype = dtype
        super().__init__(module, *args, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def initialize_module(self) -> EpisodeNet:
        """Build the network and wrap it."""
        network = self.initialized_instance(self.module, self.get_params_for("module"))
        self.module_ = self.wrap(network.to(self.dtype)).to(self.dtype)
        return self

    def get_dataset(self, X: EpisodeStream, y: Any = None) -> EpisodeStream:
        """Return the stream: it is its own data set."""
        return X

    def get_iterator(self, dataset: EpisodeStream, training: bool = False) -> EpisodeStream:
        """Return the stream: it is its own iterator."""
        return dataset

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the meta-loss of a meta-batch and its gradient."""
        self._set_training(True)
        predicted = self.module_(batch)
        loss = self.criterion_(predicted, batch)
        if loss.requires_grad:  # a head on given features may have nothing to train
            loss.backward()
        return {"loss": loss, "y_pred": predicted}

    def run_single_epoch(
        self,
        iterator: EpisodeStream | None,
        training: bool,
        prefix: str,
        step_fn: Any,
        **kwargs: Any,
    ) -> None:
        """Run the meta-updates of an epoch, and record their mean loss.

        Unlike skorch's, the history has no entry for each batch: meta-batches are many and small.
        """
        if iterator is None:
            return
        total = torch.zeros((), dtype=torch.float64)
        n_updates = 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **kwargs)
            value = step["loss"].item()
            self.n_updates_ = getattr(self, "n_updates_", 0) + 1
            if not math.isfinite(value):
                raise ValueError(
                    f"The meta-loss became {value} at update {self.n_updates_}. Scale the features "
                    "to unit variance, or lower inner_lr or lr."
                )
            total += value
            n_updates += 1
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(prefix + "_batch_count", n_updates)
        loss = float(total) / max(n_updates, 1)
        # As skorch writes it, so that a Checkpoint can wait for it.
        best = all(loss < row[prefix + "_loss"] for row in self.history[:-1])
        self.history.record(prefix + "_loss", loss)
        self.history.record(prefix + "_loss_best", best)
