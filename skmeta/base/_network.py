"""The skorch net of a learner: what it is made of, and its parameters."""

from __future__ import annotations

import copy
import inspect
import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, check_scalar
from skorch.callbacks import EarlyStopping
from torch import nn

from skmeta.base._batched import BatchedLearner
from skmeta.base._callbacks import EpochTasks
from skmeta.base._params import DeepParams
from skmeta.inner._losses import RowLoss
from skmeta.modules import MLP
from skmeta.tasks import TaskData
from skmeta.training import EpisodeNet, MeanOverTasks, OuterLoop, ProgressLine

__all__ = ["NetworkLearner", "reject_diverged", "reject_running_statistics"]

_SKORCH_PREFIXES = ("module", "optimizer", "criterion", "callbacks")
_EPOCHS = 100  # of a fit: how often callbacks see it and a history row is written


class NetworkLearner(DeepParams, BatchedLearner):
    """Base of learners whose body is a torch network."""

    _outer = OuterLoop()  # what meta-transformers change
    _body_has_outputs = False  # whether the network ends in the outputs or in features

    @abstractmethod
    def _wrapper(self, data: TaskData) -> Callable[[nn.Module], nn.Module]:
        """Return what makes the module to train out of the user's network; it must pickle."""

    @property
    @abstractmethod
    def _row_loss(self) -> RowLoss:
        """Return the loss of each row."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return what is set of skorch's, such as ``module__width``, too.

        Returns
        -------
        params : dict
            Parameter names and values.
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        if deep and isinstance(self.net_params, dict):
            params.update(self.net_params)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of skorch's net included.

        Parameters
        ----------
        **params : dict
            Parameters of the learner, and ``module__...``, ``optimizer__...`` or
            ``callbacks__...``, which go into `net_params`.

        Returns
        -------
        self : estimator
            This estimator.
        """
        for_net = {
            name: value
            for name, value in params.items()
            if name.partition("__")[1] and name.partition("__")[0] in _SKORCH_PREFIXES
        }
        super().set_params(**{k: v for k, v in params.items() if k not in for_net})
        if for_net:
            self.net_params = {**(self.net_params or {}), **for_net}
        return self

    @property
    def _updates_per_epoch(self) -> int:
        return max(1, -(-self.max_iter // _EPOCHS))

    @property
    def _n_epochs(self) -> int:
        return -(-self.max_iter // self._updates_per_epoch)

    @property
    def _n_fit_parts(self) -> int:
        return self._n_epochs

    def _fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> Self:
        self._check_params()
        return super()._fit(X, y, groups, sample_weight)

    def _adapt(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> Self:
        check_is_fitted(self)
        self._check_use()
        return super()._adapt(X, y, groups, sample_weight)

    def _read_features(self, X: Any, groups: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        check_is_fitted(self)
        self._check_use()
        return super()._read_features(X, groups)

    def _check_use(self) -> None:
        """Refuse a network that makes the prediction of a row depend on those beside it."""
        if (found := _batch_statistics(self.net_.module_)) is not None:
            raise ValueError(
                f"module has a {found}, with which the prediction of a row depends on the rows "
                "that are asked for with it; use LayerNorm or GroupNorm."
            )

    def _check_params(self) -> None:
        check_scalar(self.meta_batch_size, "meta_batch_size", Integral, min_val=1)
        check_scalar(self.max_iter, "max_iter", Integral, min_val=0)
        check_scalar(self.n_iter_no_change, "n_iter_no_change", Integral, min_val=1)
        check_scalar(self.lr, "lr", Real, min_val=0, include_boundaries="neither")
        if not (self.net_params is None or isinstance(self.net_params, dict)):
            raise ValueError(f"net_params={self.net_params!r} must be a dict of skorch parameters.")

    def _make_net(self, data: TaskData) -> EpisodeNet:
        """Configure skorch."""
        module, given = self.module, dict(self.net_params or {})
        if module is None:
            module = MLP
            given.setdefault("module__hidden_layer_sizes", self.hidden_layer_sizes)
            given.setdefault("module__activation", self.activation)
        if isinstance(module, nn.Module):
            module = copy.deepcopy(module)  # training must not change the parameter
        else:
            accepted = inspect.signature(module).parameters
            if "n_features_in" in accepted:
                given.setdefault("module__n_features_in", self._n_net_inputs(data))
            if "n_outputs" in accepted and self._body_has_outputs:
                given.setdefault("module__n_outputs", self._n_net_outputs)
        if self.optimizer in (torch.optim.Adam, torch.optim.AdamW):
            given.setdefault("optimizer__fused", True)  # one kernel for all parameters
        dtype = torch.float64 if data.X.dtype == np.float64 else torch.float32
        objective = self._outer.objective
        wrap = self._wrapper(data)
        if self._outer.network is not None:
            wrap = partial(_in_turn, self._outer.network(self, data), wrap)
        own: dict[str, Any] = {
            "wrap": wrap,
            "dtype": dtype,
            "criterion": MeanOverTasks if objective is None else objective(self, data),
            "criterion__loss": self._row_loss,
            "gradient": self._outer.gradient,
            "two_passes": self._outer.two_passes,
            "regularizer": self._outer.regularizer,
            "optimizer": self.optimizer,
            "lr": self.lr,
            "max_epochs": self._n_epochs,
            "callbacks": [*self._base_callbacks(data), *(self.callbacks or [])],
            "train_split": None,
            "device": self.device,
            "verbose": int(self.verbose > 1),
        }
        taken = sorted(own.keys() & given.keys())
        if taken:
            raise ValueError(
                f"net_params sets {taken}, which this learner sets itself: from its own "
                "parameters, or because it trains on episodes."
            )
        return EpisodeNet(module, **own, **given)

    @property
    def _n_net_outputs(self) -> int:
        """Return the number of columns of `_encode`."""
        raise NotImplementedError

    def _n_net_inputs(self, data: TaskData) -> int:
        """Return the number of inputs of the network."""
        return int(data.X.shape[1])

    def _base_callbacks(self, data: TaskData) -> list[tuple[str, Any]]:
        """Return what comes before the user's callbacks, those first that raise nothing."""
        called: list[tuple[str, Any]] = []
        if self.verbose == 1:
            called += [("progress", ProgressLine(type(self).__name__, self.max_iter))]
        called += [("epochs", EpochTasks(self._fit_task, partial(self._as_of_now, data)))]
        called += self._own_callbacks()
        if self.validation_fraction is not None and self.max_iter:
            stop = EarlyStopping(patience=self.n_iter_no_change, threshold=0, load_best=True)
            called += [("validation", stop)]
        return called

    def _as_of_now(self, data: TaskData) -> dict[str, Any]:
        """Return the attributes of the learner if training ended now."""
        now = copy.copy(self)
        now.net_ = copy.deepcopy(self.net_)
        now._conclude(data)
        return now.__dict__

    @abstractmethod
    def _conclude(self, data: TaskData) -> None:
        """Make a learner that can be used of one whose network is trained."""

    def _own_callbacks(self) -> list[tuple[str, Any]]:
        """Return what the algorithm itself wants called."""
        return []


def _in_turn(
    change: Callable[[nn.Module], nn.Module],
    wrap: Callable[[nn.Module], nn.Module],
    network: nn.Module,
) -> nn.Module:
    changed = change(network)
    module = wrap(changed)
    if isinstance(beside := getattr(changed, "beside", None), nn.Module):
        module.add_module("beside", beside)
    return module


def reject_diverged(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(
                f"Meta-training diverged: {name} is not finite. Scale the features to unit "
                "variance, or lower lr."
            )


def reject_running_statistics(network: nn.Module) -> None:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats:
            raise ValueError(
                f"module has a {type(layer).__name__} with running statistics ({name}), which mix "
                "the rows of different tasks; use LayerNorm, GroupNorm or InstanceNorm without."
            )
    if (found := _batch_statistics(network)) is not None:
        warnings.warn(
            f"module has a {found}, whose statistics run over all rows that are given together, "
            "padding included. It can be trained, but adapt, predict and transform refuse it: use "
            "LayerNorm or GroupNorm.",
            RuntimeWarning,
            stacklevel=2,
        )


def _batch_statistics(network: nn.Module) -> str | None:
    """Return which layer makes rows depend on each other, if one does."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            return f"{type(layer).__name__} ({name})"
    return None
