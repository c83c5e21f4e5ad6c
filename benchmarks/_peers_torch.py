"""The contenders of `peers.py` that run on torch, skmeta among them."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from itertools import cycle, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn import functional

import skmeta

if TYPE_CHECKING:
    from peers import Array, Batch, Workload

Weights = list[Tensor]


def hidden_layers(weights: Weights, X: Tensor) -> Tensor:
    for W, b in zip(weights[::2], weights[1::2], strict=True):
        X = functional.linear(X, W, b).relu()
    return X


def mlp(weights: Weights, X: Tensor) -> Tensor:
    return functional.linear(hidden_layers(weights[:-2], X), *weights[-2:])


def conv4(weights: Weights, X: Tensor) -> Tensor:
    X = X.reshape(-1, 1, 28, 28)
    for i in range(0, 16, 4):
        W, b, scale, shift = weights[i : i + 4]
        X = functional.conv2d(X, W, b, padding=1)
        X = functional.batch_norm(X, None, None, scale, shift, training=True)
        X = functional.max_pool2d(X.relu(), 2)
    return functional.linear(X.flatten(1), *weights[-2:])


class Conv4(nn.Sequential):
    def __init__(self, n_outputs: int) -> None:
        layers: list[nn.Module] = [nn.Unflatten(1, (1, 28, 28))]
        for n_in in (1, 32, 32, 32):
            norm = nn.BatchNorm2d(32, track_running_stats=False)
            layers += [nn.Conv2d(n_in, 32, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(32, n_outputs))


def ridge(F: Tensor, y: Tensor, Fq: Tensor) -> Tensor:
    """Predict by ridge regression on features and a column of ones, solved in the space of rows."""
    F, Fq = (torch.cat([f, torch.ones_like(f[:, :1])], dim=1) for f in (F, Fq))
    return Fq @ (F.mT @ torch.linalg.solve(F @ F.mT + torch.eye(len(F), dtype=F.dtype), y))


def bayesian(prior: Weights, F: Tensor, y: Tensor, Fq: Tensor) -> Tensor:
    """Return mean and variance under ``w ~ N(w0, σ²AA')``, side by side."""
    mean, A, log_noise = prior
    F, Fq = (torch.cat([f, torch.ones_like(f[:, :1])], dim=1) for f in (F, Fq))
    Z, Zq = F @ A.tril(), Fq @ A.tril()
    gram = Z @ Z.mT + torch.eye(len(Z), dtype=Z.dtype)
    solved = torch.linalg.solve(gram, torch.cat([y - F @ mean, Z @ Zq.mT], dim=1))
    spread = 1 + Zq.square().sum(dim=1) - (Zq @ Z.mT * solved[:, 1:].mT).sum(dim=1)
    predicted = Fq @ mean + Zq @ Z.mT @ solved[:, :1]
    return torch.cat([predicted, spread[:, None] * (2 * log_noise).exp()], dim=1)


def surprise(predicted: Tensor, y: Tensor) -> Tensor:
    mean, variance = predicted[:, :1], predicted[:, 1:]
    return 0.5 * (variance.log() + (y - mean).square() / variance).mean()


class Loop:
    """The tasks one after another, differentiated by autograd."""

    versions = {"torch": str(torch.__version__)}

    def __init__(self, spec: Workload, weights: list[Array], dtype: torch.dtype = torch.float32):
        self.spec, self.dtype = spec, dtype
        self.weights = self.build([torch.from_numpy(w).to(dtype) for w in weights])
        if spec.rule == "svm" and type(self) is not Learn2Learn:
            raise NotImplementedError("there is no solver of quadratic programs")
        classes = spec.ways or spec.classes
        self.loss = functional.cross_entropy if classes else functional.mse_loss
        if spec.rule == "bayesian":
            self.loss = surprise
        self.network = conv4 if spec.ways else mlp
        self.optimizer = torch.optim.Adam(self.weights, lr=1e-3, fused=True)

    def build(self, weights: Weights) -> Weights:
        return [w.requires_grad_() for w in weights]

    def inner_slope(self, fast: Weights, X: Tensor, y: Tensor) -> Weights:
        loss = self.loss(self.network(fast, X), y)
        again = not (self.spec.first_order or self.spec.only_adapt)
        return list(torch.autograd.grad(loss, fast, create_graph=again))

    def predict_task(self, weights: Weights, X: Tensor, y: Tensor, Xq: Tensor) -> Tensor:
        shared, fast = weights[: self.spec.n_shared], weights[self.spec.n_shared :]
        X, Xq = hidden_layers(shared, X), hidden_layers(shared, Xq)
        if self.spec.rule == "ridge":
            return ridge(X, y, Xq)
        if self.spec.rule == "bayesian":
            return bayesian(fast, X, y, Xq)
        for _ in range(self.spec.steps):
            slope = self.inner_slope(fast, X, y)
            fast = [w - self.spec.inner_lr * g for w, g in zip(fast, slope, strict=True)]
        return self.network(fast, Xq)

    def meta_loss(self, *batch: Tensor) -> Tensor:
        tasks = zip(*batch, strict=True)
        losses = [self.loss(self.predict_task(self.weights, *task[:3]), task[3]) for task in tasks]
        return torch.stack(losses).mean()

    def predict(self, *batch: Tensor) -> Tensor:
        tasks = zip(*batch, strict=True)
        return torch.stack([self.predict_task(self.weights, *task).detach() for task in tasks])

    def update(self, batch: Weights) -> None:
        if self.spec.only_adapt:
            self.predict(*batch[:3])
            return
        self.optimizer.zero_grad()
        self.meta_loss(*batch).backward()
        self.optimizer.step()

    def tensors(self, batch: Batch) -> Weights:
        parts = map(torch.from_numpy, batch)
        return [part.to(self.dtype) if part.is_floating_point() else part for part in parts]

    def check(self, batch: Batch) -> Array:
        """Return what must be equal among contenders: the meta-gradient, or the predictions."""
        tensors = self.tensors(batch)
        if self.spec.only_adapt:
            return self.predict(*tensors[:3]).numpy()
        slope = torch.autograd.grad(self.meta_loss(*tensors), self.weights)
        return torch.cat([g.flatten() for g in slope]).numpy()

    def train(self, batches: list[Batch], blocks: Iterator[None]) -> None:
        ready = [self.tensors(batch) for batch in batches]
        for tensors, _ in zip(cycle(ready), blocks, strict=False):
            self.update(tensors)


class Func(Loop):
    """All tasks at once: `vmap` of a function of one task that differentiates by `grad`."""

    def inner_slope(self, fast: Weights, X: Tensor, y: Tensor) -> Weights:
        slope = grad(lambda weights: self.loss(self.network(weights, X), y))(fast)
        return [g.detach() for g in slope] if self.spec.first_order else slope

    def meta_loss(self, *batch: Tensor) -> Tensor:
        def task_loss(weights: Weights, X: Tensor, y: Tensor, Xq: Tensor, yq: Tensor) -> Tensor:
            return self.loss(self.predict_task(weights, X, y, Xq), yq)

        losses: Tensor = vmap(task_loss, (None, 0, 0, 0, 0))(self.weights, *batch)
        return losses.mean()

    @torch.no_grad()
    def predict(self, *batch: Tensor) -> Tensor:
        predicted: Tensor = vmap(self.predict_task, (None, 0, 0, 0))(self.weights, *batch)
        return predicted


class Learn2Learn(Loop):
    """Its wrapper of a module: a clone for each task, adapted in place."""

    def build(self, weights: Weights) -> Weights:
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(self.spec.layers):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        # A layer and its ReLU are two modules, as a weight and a bias are two arrays.
        self.body = nn.Sequential(*layers[: self.spec.n_shared])
        net: nn.Module = nn.Sequential(*layers[self.spec.n_shared : -1])
        if len(layers) - self.spec.n_shared == 2:  # a single layer adapts
            net = layers[-2]
        if self.spec.ways:
            net = Conv4(self.spec.ways)
        parameters: Weights = [*self.body.parameters(), *net.parameters()]
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.data = weight
        if self.spec.rule == "svm":
            self.svm = importlib.import_module("learn2learn.nn.metaoptnet").SVClassifier()
            return parameters
        first_order = self.spec.first_order or self.spec.only_adapt
        maml = importlib.import_module("learn2learn.algorithms.maml").MAML
        self.maml = maml(net, lr=self.spec.inner_lr, first_order=first_order)
        return parameters

    def predict_task(self, weights: Weights, X: Tensor, y: Tensor, Xq: Tensor) -> Tensor:
        X, Xq = self.body(X), self.body(Xq)
        if self.spec.rule == "svm":
            self.svm.fit_(X, y, self.spec.classes)
            logits: Tensor = self.svm(Xq)
            return logits
        learner = self.maml.clone()
        for _ in range(self.spec.steps):
            learner.adapt(self.loss(learner(X), y))
        predicted: Tensor = learner(Xq)
        return predicted


def open_learn2learn(root: str) -> str:
    """Make `learn2learn.algorithms` and `.nn` importable, and return the version.

    `__init__` is left out: it imports gym, torchvision and extensions that want to be compiled.
    """
    if not Path(root, "learn2learn").is_dir():
        raise ImportError("there is no learn2learn; give a checkout as --learn2learn")
    for name in ("learn2learn", "learn2learn.algorithms", "learn2learn.nn"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(root, *name.split(".")))]
        sys.modules[name] = package
    version: str = importlib.import_module("learn2learn._version").__version__
    return version


class Estimator:
    """A skmeta estimator, timed inside `fit`, or `adapt` and `predict`."""

    versions = {"skmeta": skmeta.__version__}

    def __init__(self, spec: Workload, compiled: bool) -> None:
        names = {"maml": "MAML", "anil": "ANIL", "ridge": "RidgeHead", "bayesian": "BayesianHead"}
        name = names.get(spec.rule, "SVMHead")
        name += "Classifier" if spec.ways or spec.classes else "Regressor"
        if not hasattr(skmeta, name):
            raise NotImplementedError(f"skmeta has no {name}")
        given: dict[str, Any] = {
            "n_shots": spec.support // max(spec.ways, 1),
            "n_queries": spec.query // max(spec.ways, 1),
            "meta_batch_size": spec.tasks,
            "random_state": 0,
        }
        if spec.rule == "ridge":
            # The others add 1 to the diagonal, skmeta alpha for each row.
            given |= {"alpha": 1 / spec.support, "learn_alpha": False}
        elif spec.rule in ("maml", "anil"):
            given |= {"inner_lr": spec.inner_lr, "n_inner_steps": spec.steps}
            given |= {"first_order": True} if spec.first_order else {}
        if spec.ways:
            given |= {"module": Conv4, "n_way": spec.ways}
        else:
            hidden = spec.layers[1:-1] if spec.rule in ("maml", "anil") else spec.layers[1:]
            given |= {"hidden_layer_sizes": hidden}
            given |= {"label_sets": "shared"} if spec.classes else {"normalize_y": False}
        if compiled:
            given["compile"] = True
            warnings.filterwarnings("error", ".*uncompiled")  # or it would be timed as compiled
        cls = getattr(skmeta, name)
        unknown = given.keys() - cls().get_params().keys()
        if unknown:
            raise NotImplementedError(f"{name} has no {', '.join(sorted(unknown))}")
        self.spec, self.model = spec, cls(**given)

    def check(self, batch: Batch) -> None:
        """Leave it to the tests."""

    def train(self, batches: list[Batch], blocks: Iterator[None]) -> None:
        if not self.spec.only_adapt:
            self.model.set_params(max_iter=1_000_000, callbacks=[Turns(blocks)])
            self.model.fit(*as_rows(*stacked(batches)))
            return
        self.model.set_params(max_iter=1, meta_batch_size=25).fit(*as_rows(*stacked(batches)))
        parts = [(as_rows(X, y), as_rows(Xq, yq)) for X, y, Xq, yq in batches]
        for ((X, y, groups), (Xq, _, asked)), _ in zip(cycle(parts), blocks, strict=False):
            self.model.adapt(X, y, groups=groups).predict(Xq, groups=asked)


class Turns(Callback):
    """Have each meta-update wait for its turn."""

    def __init__(self, blocks: Iterator[None]) -> None:
        self.blocks = blocks

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        if next(self.blocks, self) is self:
            raise KeyboardInterrupt  # which makes skorch end the training


def stacked(batches: list[Batch]) -> tuple[Array, Array]:
    """Return all rows of all tasks, tasks first."""
    X, y, Xq, yq = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return np.concatenate([X, Xq], axis=1), np.concatenate([y, yq], axis=1)


def as_rows(X: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return X, y and groups as estimators take them."""
    groups = np.repeat(np.arange(len(X)), X.shape[1])
    return X.reshape(len(groups), -1), y.ravel(), groups


def make(name: str, spec: Workload, weights: list[Array], learn2learn: str) -> Loop | Estimator:
    """Return a contender by name."""
    if name.startswith("skmeta"):
        return Estimator(spec, compiled=name == "skmeta-compile")
    if name == "learn2learn":
        if spec.rule in ("ridge", "bayesian"):
            raise NotImplementedError(f"learn2learn has no {spec.rule} head")
        Learn2Learn.versions = {"learn2learn": open_learn2learn(learn2learn)}
        return Learn2Learn(spec, weights)
    if name == "torch.func":
        return Func(spec, weights)
    return Loop(spec, weights, torch.float64 if name == "float64" else torch.float32)
