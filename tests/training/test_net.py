"""One skorch net trains every deep learner: epochs, history, what may be set of it."""

from __future__ import annotations

import copy
import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, Checkpoint, GradientNormClipping
from torch import nn

import skmeta
from skmeta import EpisodicKFold, MAMLRegressor, MultiHeadRegressor, RidgeHeadRegressor
from skmeta.tasks import _data

SHORT = {"max_iter": 30, "hidden_layer_sizes": (8,), "random_state": 0}
LEARNERS = [
    RidgeHeadRegressor(n_shots=3, **SHORT),
    MultiHeadRegressor(**SHORT),
    MAMLRegressor(n_shots=3, **SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0)


def fitted(learner, tasks, **params):
    model = clone(learner).set_params(**params)
    return model.fit(tasks.data, tasks.target, groups=tasks.groups)


def predictions(model, tasks):
    return model.predict(tasks.data, groups=tasks.groups)


class Record(Callback):
    """Keeps the loss of each meta-update and the size of its gradient; interrupts after some."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def initialize(self):
        self.losses, self.norms = [], []
        return self

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.norms.append(float(nn.utils.get_total_norm(p.grad for _, p in named_parameters)))

    def on_batch_end(self, net, loss, **kwargs):
        self.losses.append(loss.item())
        if len(self.losses) == self.stop_after:
            raise KeyboardInterrupt


class Watch(Callback):
    """Counts which losses of former meta-updates are still there; interrupts after some."""

    def initialize(self):
        self.former, self.alive = [], []
        return self

    def on_batch_end(self, net, loss, losses, **kwargs):
        self.alive.append(sum(reference() is not None for reference in self.former))
        self.former += [weakref.ref(loss), weakref.ref(losses)]
        if len(self.alive) == 5:
            raise KeyboardInterrupt


class Spoil(Callback):
    """Makes the gradient of the last meta-update infinite."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if getattr(net, "n_updates_", 0) == SHORT["max_iter"] - 1:
            next(p for _, p in named_parameters).grad.fill_(torch.inf)


@pytest.mark.parametrize("max_iter", [1, 30, 100, 101, 250])
def test_each_epoch_has_updates_and_their_mean_loss(tasks, max_iter):
    record = Record()
    model = fitted(LEARNERS[0], tasks, max_iter=max_iter, callbacks=[("record", record)])
    history = model.net_.history
    sizes = history[:, "train_batch_count"]
    assert len(history) <= 100
    assert min(sizes) > 0
    assert sum(sizes) == max_iter
    parts = np.split(record.losses, np.cumsum(sizes)[:-1])
    np.testing.assert_allclose(history[:, "train_loss"], [part.mean() for part in parts])


@LEARNER
def test_a_meta_update_leaves_no_tensor_behind(learner, tasks):
    watch = Watch()
    fitted(learner, tasks, max_iter=1000, callbacks=[("watch", watch)])
    assert watch.alive == [0] * 5


@LEARNER
def test_the_loss_falls(learner, tasks):
    model = fitted(learner, tasks, max_iter=400, lr=1e-2)
    losses = model.net_.history[:, "train_loss"]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_without_updates_the_network_stays_as_it_starts(tasks):
    model = fitted(LEARNERS[0], tasks, max_iter=0)
    assert model.n_iter_ == len(model.net_.history) == 0
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    weight = network.weight.detach().clone()
    model = fitted(LEARNERS[0], tasks, max_iter=0, module=network)
    torch.testing.assert_close(model.net_.module_.body.weight, weight.double(), rtol=0, atol=0)


def test_a_checkpoint_returns_to_the_best_epoch(tasks, tmp_path):
    keep = Checkpoint(
        monitor="train_loss_best", dirname=str(tmp_path), load_best=True, sink=lambda _: None
    )
    record = Record()
    learner = clone(LEARNERS[0]).set_params(max_iter=200, lr=0.3)
    model = fitted(learner, tasks, callbacks=[("keep", keep), ("record", record)])
    losses = np.reshape(record.losses, (100, 2)).mean(axis=1)
    best = int(losses.argmin())
    assert best < 99
    expected = fitted(learner, tasks, callbacks=[("stop", Record(stop_after=2 * (best + 1)))])
    np.testing.assert_array_equal(predictions(model, tasks), predictions(expected, tasks))


def test_gradients_are_clipped_by_skorch(tasks):
    record = Record()
    fitted(LEARNERS[2], tasks, callbacks=[("clip", GradientNormClipping(1e-3)), ("see", record)])
    assert len(record.norms) == 30
    assert max(record.norms) < 1.001e-3


@LEARNER
def test_weights_that_are_not_finite_stop_fit(learner, tasks):
    model = clone(learner).set_params(callbacks=[("spoil", Spoil())])
    with pytest.raises(ValueError, match=r"diverged.*lower lr"):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert not hasattr(model, "net_")


def test_verbose_prints_the_loss_of_each_epoch(tasks, capsys):
    fitted(LEARNERS[0], tasks)
    assert capsys.readouterr().out == ""
    fitted(LEARNERS[0], tasks, verbose=2)
    said = capsys.readouterr().out
    assert "train_loss" in said
    assert len(said.splitlines()) >= 30


@pytest.mark.parametrize("name", ["lr", "max_epochs", "criterion", "train_split", "device"])
def test_net_params_do_not_take_what_the_learner_sets(tasks, name):
    with pytest.raises(ValueError, match=rf"net_params sets \['{name}'\]"):
        fitted(LEARNERS[0], tasks, net_params={name: 1})


@LEARNER
def test_any_optimizer(learner, tasks):
    slow, fast = (
        fitted(learner, tasks, optimizer=torch.optim.SGD, optimizer__momentum=momentum)
        for momentum in (0.0, 0.9)
    )
    assert isinstance(slow.net_.optimizer_, torch.optim.SGD)
    assert not np.array_equal(predictions(slow, tasks), predictions(fast, tasks))


def test_grid_search_over_the_parameters_of_a_module(tasks):
    class Body(nn.Sequential):
        def __init__(self, n_features_in, width):
            super().__init__(nn.Linear(n_features_in, width), nn.Tanh())

    X = np.column_stack([tasks.groups, tasks.data])
    cv = EpisodicKFold(2, 3, task_column=0, random_state=0)
    learner = clone(LEARNERS[0]).set_params(task_column=0, module=Body)
    search = GridSearchCV(learner, {"module__width": [2, 5]}, cv=cv).fit(X, tasks.target)
    width = search.best_params_["module__width"]
    assert search.transform(X).shape == (len(X), width)
    assert len(set(search.cv_results_["mean_test_score"])) == 2


@LEARNER
def test_a_deep_copy_is_another_model(learner, tasks):
    model = fitted(learner, tasks)
    before = predictions(model, tasks)
    other = copy.deepcopy(model)
    np.testing.assert_array_equal(predictions(other, tasks), before)
    with torch.no_grad():
        for parameter in other.net_.module_.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(predictions(model, tasks), before)


@LEARNER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_network_computes_in_the_type_of_the_rows(learner, tasks, dtype):
    model = clone(learner).fit(tasks.data.astype(dtype), tasks.target, groups=tasks.groups)
    expected = {np.float32: torch.float32, np.float64: torch.float64}[dtype]
    assert {p.dtype for p in model.net_.module_.parameters()} == {expected}
    assert model.transform(tasks.data.astype(dtype)).dtype == dtype
    adapted = model.adapt(tasks.data[:5].astype(dtype), tasks.target[:5])
    assert adapted.predict(tasks.data[:3].astype(dtype)).dtype == dtype


@LEARNER
def test_single_and_double_precision_agree(learner, tasks):
    double = fitted(learner, tasks, max_iter=3)
    single = clone(learner).set_params(max_iter=3)
    X = tasks.data.astype(np.float32)
    single.fit(X, tasks.target, groups=tasks.groups)
    with torch.no_grad():  # the weights start elsewhere
        for one, other in zip(
            single.net_.module_.parameters(), double.net_.module_.parameters(), strict=True
        ):
            one.copy_(other)
    if isinstance(learner, MultiHeadRegressor):
        single.bayes_head_ = double.bayes_head_
    np.testing.assert_allclose(
        single.adapt(X[:6], tasks.target[:6]).predict(X[:50]),
        double.adapt(tasks.data[:6], tasks.target[:6]).predict(tasks.data[:50]),
        rtol=1e-3,
        atol=1e-3,
    )


@LEARNER
@pytest.mark.parametrize(("scale", "shift"), [(4.0, 0.0), (0.3, 7.0)])
def test_predictions_follow_the_unit_of_targets(learner, tasks, monkeypatch, scale, shift):
    """``y -> a y + b``, if the order of rows, which seeds the episodes, does not see y."""
    keys = _data.row_keys
    monkeypatch.setattr(_data, "row_keys", lambda X, y, weight: keys(X, 0 * y, weight))
    expected = scale * predictions(fitted(learner, tasks), tasks) + shift
    other = clone(learner).fit(tasks.data, scale * tasks.target + shift, groups=tasks.groups)
    np.testing.assert_allclose(predictions(other, tasks), expected, rtol=1e-6, atol=1e-6)


@LEARNER
def test_y_is_left_in_its_unit_if_asked(learner, tasks):
    model = fitted(learner, tasks, normalize_y=False, max_iter=0)
    assert not np.any(model._y_center)
    assert np.all(model._y_scale == 1)


def test_a_learner_with_nothing_to_train_trains_nothing(tasks):
    learner = RidgeHeadRegressor(module=nn.Identity, learn_alpha=False, max_iter=3)
    model = fitted(learner, tasks)
    assert model.n_iter_ == 3
    np.testing.assert_array_equal(model.transform(tasks.data), tasks.data)


def test_training_on_the_cpu_wakes_no_other_device(tasks, monkeypatch):
    """A CUDA context in each worker of a search takes seconds and gigabytes."""

    def fail(*args, **kwargs):
        raise AssertionError

    expected = predictions(fitted(LEARNERS[0], tasks), tasks)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_rng_state", fail)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", fail)
    np.testing.assert_array_equal(predictions(fitted(LEARNERS[0], tasks), tasks), expected)
