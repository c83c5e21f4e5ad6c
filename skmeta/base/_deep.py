"""What every learner with a torch network shares: training on episodes, batched adaptation."""

from __future__ import annotations

import copy
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._learner import BaseMetaLearner, State, groups_keyword
from skmeta.base._memory import activation_bytes
from skmeta.base._params import ClassifierParams, DeepParams, RegressorParams
from skmeta.base._targets import MetaClassifierMixin, MetaRegressorMixin
from skmeta.inner import InnerRule, TaskTensors, cross_entropy, squared_error
from skmeta.inner._losses import RowLoss
from skmeta.modules import MLP
from skmeta.tasks import EpisodeSampler, TaskData, TaskTable
from skmeta.training import EpisodeNet, EpisodeStream, MeanOverTasks, OuterLoop

__all__ = ["BaseDeepLearner", "DeepClassifierMixin", "DeepRegressorMixin"]

_SKORCH_PREFIXES = ("module", "optimizer", "criterion", "callbacks")
_EPOCHS = 100  # of a fit: how often callbacks see it and a history row is written
_CELLS = 1 << 15  # padded rows adapted or predicted at once
_CHUNK_BYTES = 2 << 20  # of per-task weights at once: what a cache holds is also the fastest
_LEAST_TASKS = 8
_MOST_BYTES = 64 << 20  # of per-task weights, and of what layers hold of rows, at once
_STATE_BYTES = 256 << 20  # of adapted tasks held at once; more are adapted again when asked for


class BaseDeepLearner(
    DeepParams, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseMetaLearner
):
    """Base of learners whose body is a torch network, trained by skorch."""

    __metadata_request__transform = {"groups": True}

    net_: EpisodeNet
    _outer = OuterLoop()  # what meta-transformers change
    _class_way: int | None = None
    _by_class = False
    _loss_is_likelihood = False  # minus its logarithm, which may be negative
    _body_has_outputs = False  # whether the network ends in the outputs or in features
    _activation_bytes = 1  # what layers hold of a row

    @abstractmethod
    def _wrapper(self, data: TaskData) -> Callable[[nn.Module], nn.Module]:
        """Return what makes the module to train out of the user's network; it must pickle."""

    @property
    @abstractmethod
    def _row_loss(self) -> RowLoss:
        """Return the loss of each row."""

    @abstractmethod
    def _encode(self, data: TaskData) -> NDArray[Any]:
        """Return targets as the network sees them, shape (n_samples, n_outputs)."""

    @abstractmethod
    def _prepare(self, data: TaskData) -> TaskData:
        """Learn what encoding targets needs; return data to train on."""

    def transform(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return the meta-learned representation of rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row; the representation is the same for all tasks.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            What the network computes before its head.
        """
        features, _ = self._read_features(X, groups)
        return self._represent(features)

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> NDArray[Any]:
        """Fit, then transform the same rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            The representation.
        """
        return self.fit(X, y, **groups_keyword(groups)).transform(X, **groups_keyword(groups))

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

    def _fit_prior(self, data: TaskData) -> None:
        self._check_params()
        data = self._prepare(data)
        seed = check_random_state(self.random_state).randint(2**31)
        sampler = self._sampler(data, np.random.default_rng(seed))
        with _seeded(seed, torch.device(self.device)):
            self.net_ = self._make_net(data).initialize()
            _reject_running_statistics(self.net_.module_)
            self._before_training(data, sampler)
            self.net_.partial_fit(self._stream(data, sampler))
        _reject_diverged(self.net_.module_)
        self.net_.module_.eval()
        self.n_iter_ = getattr(self.net_, "n_updates_", 0)
        # Two rows and more, for layers that take statistics over them.
        self._n_features_out = self._represent(data.X[[0, 0]]).shape[1]
        rows = self._tensor(data.X[[0, 0, 0, 0]])
        self._activation_bytes = activation_bytes(self._rule.represent, rows)

    @property
    def _shots(self) -> int | tuple[int, int]:
        """Return the number of support rows of a training episode."""
        return 0

    def _before_training(self, data: TaskData, sampler: EpisodeSampler) -> None:
        """Do what needs the initialised network and the episodes."""

    def _sampler(self, data: TaskData, random: np.random.Generator) -> EpisodeSampler:
        return EpisodeSampler(
            data,
            self._shots,
            self.n_queries,
            n_way=self._class_way,
            stratify=self._by_class,
            random=random,
            choose=self._outer.choose,
        )

    def _stream(self, data: TaskData, sampler: EpisodeSampler) -> EpisodeStream:
        n_tasks = self.meta_batch_size
        if self._class_way is None:
            n_tasks = min(n_tasks, len(sampler.eligible))
        augment = None
        if self._outer.augment is not None:
            # Of a source of its own, so that the episodes are those of the learner alone.
            augment = self._outer.augment(self._rule, sampler.random.spawn(1)[0])
        return EpisodeStream(
            self._tensor(data.X),
            self._tensor(self._encode(data)),
            sampler,
            n_tasks=n_tasks,
            n_updates=self.max_iter,
            per_epoch=self._updates_per_epoch,
            augment=augment,
        )

    @property
    def _updates_per_epoch(self) -> int:
        return max(1, -(-self.max_iter // _EPOCHS))

    def _check_params(self) -> None:
        check_scalar(self.meta_batch_size, "meta_batch_size", Integral, min_val=1)
        check_scalar(self.max_iter, "max_iter", Integral, min_val=0)
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
            "max_epochs": -(-self.max_iter // self._updates_per_epoch),
            "callbacks": [*self._own_callbacks(), *(self.callbacks or [])] or None,
            "train_split": None,
            "device": self.device,
            "verbose": int(self.verbose),
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

    def _own_callbacks(self) -> list[tuple[str, Any]]:
        """Return what the algorithm itself wants called."""
        return []

    @property
    def _rule(self) -> InnerRule:
        return cast(InnerRule, self.net_.module_)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array, dtype=self.net_.dtype, device=self.device)

    @property
    def _task_bytes(self) -> int:
        """Size of what is kept of a task: states of tasks are padded to the largest."""
        largest = int(self._support.sizes.max(initial=0))
        return max(1, self._rule.bytes_per_task + largest * self._rule.bytes_per_row)

    @property
    def _tasks_at_once(self) -> int:
        fitting = max(1, _MOST_BYTES // self._task_bytes)
        return min(fitting, max(_LEAST_TASKS, _CHUNK_BYTES // self._task_bytes))

    @property
    def _cells_at_once(self) -> int:
        return max(1, min(_CELLS, _MOST_BYTES // self._activation_bytes))

    @property
    def _tasks_per_pass(self) -> int:
        return max(1, _STATE_BYTES // self._task_bytes)

    def _adapt_tasks(self, data: TaskData) -> State:
        X, y = self._tensor(data.X), self._tensor(self._encode(data))
        order: list[NDArray[np.int64]] = []
        parts: list[dict[str, NDArray[Any]]] = []
        with torch.no_grad():
            for tasks in data.table.chunks(self._cells_at_once, self._tasks_at_once):
                rows, mask = data.table.padded(tasks)
                there = self._tensor(mask)
                state = self._rule.adapt(X[rows], y[rows] * there[..., None], there)
                parts.append({name: v.contiguous().cpu().numpy() for name, v in state.items()})
                order.append(tasks)
        place = np.argsort(np.concatenate(order), kind="stable")
        whole = parts[0]
        if len(parts) > 1:
            whole = {name: _stacked([p[name] for p in parts]) for name in whole}
        return {name: _take(values, place) for name, values in whole.items()}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        outputs = self._run_rule(self._predict_padded, state, X, codes)
        return self._decode(outputs).astype(X.dtype, copy=False)

    def _predict_padded(self, X: Tensor, mask: Tensor, state: TaskTensors) -> Tensor:
        """Predict all rows that are asked for of some tasks; `mask` is 0 for padding."""
        return self._rule.predict(X, state)

    def _run_rule(
        self,
        predict: Callable[[Tensor, Tensor, TaskTensors], Tensor],
        state: State,
        X: NDArray[Any],
        codes: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Return what a rule predicts of rows, in the units of the network."""
        table = TaskTable.from_labels(codes)
        inputs = self._tensor(X)
        names = [name for name in state if name != "ways"]
        outputs: NDArray[Any] | None = None
        with torch.no_grad():
            for tasks in table.chunks(self._cells_at_once, self._tasks_at_once):
                positions, mask = table.padded(tasks)
                rows = table.order[positions]
                which = table.labels[tasks]
                known = {name: self._tensor(_take(state[name], which)) for name in names}
                predicted = predict(inputs[rows], self._tensor(mask), known).cpu().numpy()
                if outputs is None:
                    outputs = np.empty((len(X), predicted.shape[2]), dtype=predicted.dtype)
                outputs[rows[mask]] = predicted[mask]
        assert outputs is not None
        return outputs

    def _decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return outputs

    def _represent(self, X: NDArray[Any]) -> NDArray[Any]:
        step = max(2, self._cells_at_once)
        with torch.no_grad():
            parts = [
                self._rule.represent(self._tensor(X[start : start + step])).cpu().numpy()
                for start in range(0, len(X), step)
            ]
        return np.concatenate(parts).astype(X.dtype, copy=False)


class DeepRegressorMixin(RegressorParams, MetaRegressorMixin, BaseDeepLearner):
    """Real targets as a network sees them."""

    @property
    def _row_loss(self) -> RowLoss:
        return squared_error

    @property
    def _n_net_outputs(self) -> int:
        return int(self.n_outputs_)

    def _prepare(self, data: TaskData) -> TaskData:
        self._y_center = np.zeros(data.y.shape[1])
        self._y_scale = np.ones(data.y.shape[1])
        if self.normalize_y:
            self._y_center = data.y.mean(axis=0)
            spread = data.y.std(axis=0)
            self._y_scale = np.where(spread > 0, spread, 1.0)
        return data

    def _encode(self, data: TaskData) -> NDArray[Any]:
        encoded: NDArray[Any] = (data.y - self._y_center) / self._y_scale
        return encoded

    def _decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        decoded: NDArray[Any] = outputs * self._y_scale + self._y_center
        return decoded


class DeepClassifierMixin(ClassifierParams, MetaClassifierMixin, BaseDeepLearner):
    """Class indicators as a network sees them."""

    _n_slots: int
    _fixed_outputs = False  # whether the network has an output for each class

    @property
    def _class_way(self) -> int | None:  # type: ignore[override]
        return self.n_way

    @property
    def _by_class(self) -> bool:  # type: ignore[override]
        return self.stratify

    @property
    def _row_loss(self) -> RowLoss:
        return cross_entropy

    @property
    def _n_net_outputs(self) -> int:
        return self._n_slots

    def _prepare(self, data: TaskData) -> TaskData:
        if self.n_way is not None:
            check_scalar(self.n_way, "n_way", Integral, min_val=2)
            if self.n_way > len(self.classes_):
                raise ValueError(
                    f"n_way={self.n_way} is above the number of classes, {len(self.classes_)}."
                )
        self._fit_labels(data, self.n_way)
        if self.n_way is not None:
            self._n_slots = self.n_way
            return data
        if not self._own_labels:
            self._n_slots = len(self.classes_)
            return data
        local, _ = self._local(data)
        assert local.n_ways is not None
        self._n_slots = int(local.n_ways.max())
        return local

    def _encode(self, data: TaskData) -> NDArray[Any]:
        if self.n_way is not None and data.n_ways is None:
            return np.zeros((len(data.y), self._n_slots))  # numbered anew in each episode
        width = self._n_slots if data.n_ways is None else max(int(data.n_ways.max()), 1)
        if self._fixed_outputs:
            if width > self._n_slots:
                raise ValueError(
                    f"A task has {width} classes, but the network was meta-trained with "
                    f"{self._n_slots} outputs; adapt to at most that many."
                )
            width = self._n_slots
        return np.eye(width)[data.y]


def _in_turn(
    change: Callable[[nn.Module], nn.Module],
    wrap: Callable[[nn.Module], nn.Module],
    network: nn.Module,
) -> nn.Module:
    return wrap(change(network))


def _stacked(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate chunks of tasks; what runs over rows is padded with 0 to the largest task."""
    width = np.max([part.shape[1:] for part in parts], axis=0)
    padded = (
        np.pad(part, [(0, 0), *((0, int(n)) for n in width - part.shape[1:])])
        if part.shape[1:] != tuple(width)
        else part
        for part in parts
    )
    return np.concatenate(list(padded))


def _take(values: NDArray[Any], which: NDArray[np.int64]) -> NDArray[Any]:
    """Index the first dimension, without a copy where what is taken lies side by side."""
    start, stop = (which[0], which[0] + len(which)) if len(which) else (0, 0)
    if start >= 0 and (which == np.arange(start, stop)).all():  # -1 is the last one
        return values[start:stop]
    taken: NDArray[Any] = values[which]
    return taken


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, and wake no device that is not used."""
    on_cpu = device.type == "cpu"
    with torch.random.fork_rng([] if on_cpu else [device], device_type=device.type):
        torch.default_generator.manual_seed(seed)
        if not on_cpu:
            torch.manual_seed(seed)
        yield


def _reject_diverged(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(
                f"Meta-training diverged: {name} is not finite. Scale the features to unit "
                "variance, or lower lr."
            )


def _reject_running_statistics(network: nn.Module) -> None:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats:
            raise ValueError(
                f"module has a {type(layer).__name__} with running statistics ({name}), which mix "
                "the rows of different tasks; use LayerNorm or GroupNorm, or "
                "track_running_stats=False."
            )
