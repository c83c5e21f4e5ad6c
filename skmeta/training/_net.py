"""The skorch net that trains an inner rule on episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import Tensor, nn

from skmeta.inner import Episode, EpisodeModule, Regularizer
from skmeta.training._adam import AdamKernel
from skmeta.training._compiled import CompiledGradient
from skmeta.training._objective import MeanOverTasks
from skmeta.training._outer import MeanGradient, MetaGradient
from skmeta.training._stream import EpisodeStream

__all__ = ["EpisodeNet"]


class _PrintLog(PrintLog):
    """Skorch's, which lays out a table of each epoch even where nobody sees it."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        if net.verbose:
            super().on_epoch_end(net, **kwargs)


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
    chunk_size : int, default=None
        Tasks to differentiate at once; None for the whole meta-batch.
    gradient : callable, default=MeanGradient
        Makes the `MetaGradient`.
    two_passes : bool, default=False
        Whether to compute losses first without a graph, and then to differentiate the tasks that
        count alone.
    regularizer : Regularizer, default=None
        What changes the losses of tasks.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        wrap: Callable[[nn.Module], nn.Module],
        dtype: torch.dtype,
        chunk_size: int | None = None,
        gradient: Callable[[], MetaGradient] = MeanGradient,
        two_passes: bool = False,
        regularizer: Regularizer | None = None,
        **kwargs: Any,
    ) -> None:
        self.wrap = wrap
        self.dtype = dtype
        self.chunk_size = chunk_size
        self.gradient = gradient
        self.two_passes = two_passes
        self.regularizer = regularizer
        super().__init__(module, *args, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [("epoch_timer", EpochTimer()), ("print_log", _PrintLog())]

    def initialize_module(self) -> EpisodeNet:
        """Build the network and wrap it."""
        network = self.initialized_instance(self.module, self.get_params_for("module"))
        self.module_ = self.wrap(network.to(self.dtype)).to(self.dtype)
        cast(EpisodeModule, self.module_).regularizer = self.regularizer
        self.n_updates_ = 0
        self.compiled_: CompiledGradient | None = None
        self.kernel_: AdamKernel | None = None
        self.gradient_ = self.gradient()
        return self

    def compile_gradient(self, episode: Episode) -> None:
        """Compile the meta-step for episodes like this one.

        Parameters
        ----------
        episode : Episode
            Any episode that training may draw.
        """
        module = cast(EpisodeModule, self.module_)
        compiled = CompiledGradient(module, self.criterion_)
        compiled(episode)
        self.compiled_ = compiled

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "compiled_": None, "kernel_": None}

    def initialize_callbacks(self) -> EpisodeNet:
        """Build the callbacks, and note who listens to what."""
        super().initialize_callbacks()
        self.listeners_: dict[str, list[Callable[..., None]]] = {}
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks that have something to do; meta-batches are small and many.

        Parameters
        ----------
        method_name : str
            Such as "on_batch_end".
        **cb_kwargs : dict
            What callbacks are given.
        """
        if method_name not in self.listeners_:
            idle = getattr(Callback, method_name)
            self.listeners_[method_name] = [
                getattr(callback, method_name)
                for _, callback in self.callbacks_
                if getattr(type(callback), method_name) is not idle
            ]
        getattr(self, method_name)(self, **cb_kwargs)
        for listener in self.listeners_[method_name]:
            listener(self, **cb_kwargs)

    def get_split_datasets(
        self, X: EpisodeStream, y: Any = None, **fit_params: Any
    ) -> tuple[EpisodeStream, Callable[[], float] | None]:
        """Return the stream: it is its own data set. The other one is what validates."""
        return X, X.validate

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the stream: it is its own iterator."""
        return dataset

    def train_step_single(self, batch: Episode, **fit_params: Any) -> dict[str, Any]:
        """Compute the meta-loss of a meta-batch and its gradient, a chunk of tasks at a time."""
        module, objective = cast(EpisodeModule, self.module_), cast(MeanOverTasks, self.criterion_)
        split = self.chunk_size is not None and self.chunk_size < len(batch.tasks)
        done = None if self.compiled_ is None else self.compiled_(batch)
        if done is not None:
            loss, losses = done
        elif objective.selects and (split or self.two_passes) and not module.own_parameters:
            losses = self._losses(batch)
            part, weights = _kept(batch, cast(Tensor, objective.weigh(losses, batch.tasks)))
            loss, _ = self.gradient_(module, objective, part, weights, self.chunk_size)
        else:
            loss, losses = self.gradient_(module, objective, batch, None, self.chunk_size)
        return {"loss": loss, "y_pred": None, "losses": losses, "latest": objective.latest}

    def _zero_grad_optimizer(self, set_to_none: bool | None = None) -> None:
        if self.kernel_ is None:
            super()._zero_grad_optimizer(set_to_none)
            return
        for parameter in self.kernel_.params:
            parameter.grad = None

    def _step_optimizer(self, step_fn: Callable[[], Tensor]) -> None:
        if self.kernel_ is None:
            super()._step_optimizer(step_fn)
            return
        step_fn()
        if not self.kernel_.step():
            self.optimizer_.step()

    def _losses(self, batch: Episode) -> Tensor:
        """Return the loss of each task, without a graph."""
        module = cast(EpisodeModule, self.module_)
        with torch.no_grad():
            parts = batch.chunks(self.chunk_size)
            return torch.cat([module.training_losses(part, self.criterion_) for part in parts])

    def run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Any,
        **kwargs: Any,
    ) -> None:
        """Run the meta-updates of an epoch, and record their mean loss.

        Unlike skorch's, the history has no entry for each batch: meta-batches are many and small.
        Losses stay on the device until the epoch ends, so that it never waits. To validate is to
        call the iterator.
        """
        if iterator is None:
            return
        self._set_training(training)
        if not training:
            self._record_loss(prefix, iterator())
            return
        self.kernel_ = None  # callbacks may have changed the optimizer
        objective = cast(MeanOverTasks, self.criterion_)
        # A tensor kept from each update would pin the memory between those of the next.
        losses = torch.zeros(len(iterator), dtype=self.dtype, device=self.device)
        for batch, loss in zip(iterator, losses.unbind(), strict=True):
            if self.kernel_ is None and AdamKernel.serves(self.optimizer_):
                self.kernel_ = AdamKernel(self.optimizer_)
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **kwargs)  # of an optimizer that looks twice, the first look
            objective.latest = step["latest"]
            objective.observe(step["losses"], batch.tasks)
            loss.copy_(step["loss"])
            self.n_updates_ += 1
            self.notify("on_batch_end", batch=batch, training=training, **step)
        value = losses.double().cpu()
        if not value.isfinite().all():
            first = int(value.isfinite().logical_not().nonzero()[0])
            raise ValueError(
                f"The meta-loss became {value[first]} at update "
                f"{self.n_updates_ - len(losses) + first + 1}. Scale the features to unit "
                "variance, or lower inner_lr or lr."
            )
        self.history.record(prefix + "_batch_count", len(losses))
        self._record_loss(prefix, float(value.mean()))
        objective.end_epoch()

    def _record_loss(self, prefix: str, loss: float) -> None:
        """Write a loss as skorch does, so that a Checkpoint can wait for it."""
        best = all(loss < row[prefix + "_loss"] for row in self.history[:-1])
        self.history.record(prefix + "_loss", loss)
        self.history.record(prefix + "_loss_best", best)


def _kept(episode: Episode, weights: Tensor) -> tuple[Episode, Tensor]:
    """Return the tasks that count, and weights with which their mean is that over all."""
    kept = weights.nonzero()[:, 0]
    return episode.take(kept), weights[kept] * (len(kept) / len(weights))
