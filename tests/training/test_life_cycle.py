"""What skorch brings: callbacks, history, parameters, interruption, pickling."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

import skmeta
from skmeta import EpisodicKFold, MAMLRegressor, MultiHeadRegressor, RidgeHeadRegressor
from skmeta.base import _batched

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


class Count(Callback):
    """Counts meta-updates; interrupts after some."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def initialize(self):
        self.updates = 0
        return self

    def on_batch_end(self, net, **kwargs):
        self.updates += 1
        if self.updates == self.stop_after:
            raise KeyboardInterrupt


@LEARNER
@pytest.mark.parametrize("max_iter", [1, 99, 250])
def test_exactly_max_iter_updates(learner, tasks, max_iter):
    count = Count()
    model = fitted(learner, tasks, max_iter=max_iter, callbacks=[("count", count)])
    assert model.n_iter_ == count.updates == max_iter
    assert sum(row["train_batch_count"] for row in model.net_.history) == max_iter
    assert len(model.net_.history) <= 100


@LEARNER
def test_ctrl_c_keeps_the_model_trained_so_far(learner, tasks):
    model = fitted(learner, tasks, callbacks=[("count", Count(stop_after=7))])
    assert model.n_iter_ == 7
    expected = fitted(learner, tasks, max_iter=7)
    np.testing.assert_array_equal(predictions(model, tasks), predictions(expected, tasks))


def test_skorch_callbacks_and_their_parameters(tasks):
    learner = RidgeHeadRegressor(
        n_shots=3,
        callbacks=[
            ("decay", LRScheduler("StepLR", step_size=1, gamma=0.5)),
            ("stop", EarlyStopping("train_loss", patience=2, threshold=1e6, sink=lambda _: None)),
        ],
        **{**SHORT, "max_iter": 100},
    )
    stopped = fitted(learner, tasks)
    assert len(stopped.net_.history) < 10
    patient = fitted(learner, tasks, callbacks__stop__patience=200)
    assert len(patient.net_.history) == 100
    assert patient.net_.optimizer_.param_groups[0]["lr"] < 1e-6


def test_parameters_of_the_net_reach_it_and_clone_keeps_them(tasks):
    learner = RidgeHeadRegressor(n_shots=3, **SHORT).set_params(optimizer__weight_decay=0.5)
    assert clone(learner).get_params()["optimizer__weight_decay"] == 0.5
    model = fitted(learner, tasks)
    assert model.net_.optimizer_.param_groups[0]["weight_decay"] == 0.5
    assert learner.net_params == {"optimizer__weight_decay": 0.5}


def test_grid_search_over_the_optimizer_and_the_network(tasks):
    X = np.column_stack([tasks.groups, tasks.data])
    grid = {"optimizer__weight_decay": [0.0, 0.1], "hidden_layer_sizes": [(4,), (8,)]}
    cv = EpisodicKFold(2, 3, task_column=0, random_state=0)
    learner = RidgeHeadRegressor(n_shots=3, task_column=0, **SHORT)
    search = GridSearchCV(learner, grid, cv=cv).fit(X, tasks.target)
    assert len(set(search.cv_results_["mean_test_score"])) == 4


@LEARNER
def test_the_global_generator_of_torch_is_left_alone(learner, tasks):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    fitted(learner, tasks)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_two_processes_agree_to_the_bit(tasks):
    code = (
        "import skmeta, sys, numpy as np;"
        "t = skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0);"
        "m = skmeta.MAMLRegressor(n_shots=3, max_iter=30, hidden_layer_sizes=(8,), random_state=0);"
        "m.fit(t.data, t.target, groups=t.groups);"
        "sys.stdout.buffer.write(m.predict(t.data, groups=t.groups).tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    expected = predictions(fitted(LEARNERS[2], tasks), tasks)
    np.testing.assert_array_equal(np.frombuffer(other), expected)


@LEARNER
def test_an_adapted_copy_does_not_carry_the_training_rows(learner):
    tasks = skmeta.make_linear_tasks(400, 50, 3, random_state=0)
    model = fitted(learner, tasks)
    adapted = model.adapt(tasks.data[:5], tasks.target[:5])
    if not isinstance(learner, MultiHeadRegressor):  # whose net keeps a head of each training task
        assert len(pickle.dumps(adapted)) < len(pickle.dumps(model)) / 10
    again = pickle.loads(pickle.dumps(adapted))
    np.testing.assert_array_equal(again.predict(tasks.data[:9]), adapted.predict(tasks.data[:9]))


@pytest.mark.filterwarnings("ignore::skmeta.DivergenceWarning")  # of targets as they are
@LEARNER
def test_targets_of_any_unit(learner, tasks):
    """Fits follow ``y -> 1e6 y + 1e8``, up to other draws, for rows are ordered by content."""
    y = 1e6 * tasks.target + 1e8
    expected = fitted(learner, tasks).score(tasks.data, tasks.target, groups=tasks.groups)
    other = clone(learner).fit(tasks.data, y, groups=tasks.groups)
    assert abs(other.score(tasks.data, y, groups=tasks.groups) - expected) < 0.15
    raw = clone(learner).set_params(normalize_y=False).fit(tasks.data, y, groups=tasks.groups)
    if not isinstance(learner, MultiHeadRegressor):  # whose exact head finds any scale
        assert raw.score(tasks.data, y, groups=tasks.groups) < expected - 0.15


@LEARNER
def test_several_outputs(learner, tasks):
    y = np.column_stack([tasks.target, -2 * tasks.target, tasks.data[:, 0]])
    model = clone(learner).fit(tasks.data, y, groups=tasks.groups)
    assert predictions(model, tasks).shape == y.shape
    new = model.adapt(tasks.data[:6], y[:6])
    assert new.predict(tasks.data[:2]).shape == (2, 3)


@LEARNER
def test_representation(learner, tasks):
    model = clone(learner).set_output(transform="pandas")
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    frame = model.transform(tasks.data)
    assert list(frame.columns) == list(model.get_feature_names_out())
    assert frame.shape == (len(tasks.data), 8)


@LEARNER
def test_chunks_do_not_matter(learner, tasks, monkeypatch):
    model = fitted(learner, tasks)
    expected = predictions(model, tasks)
    monkeypatch.setattr(_batched, "_CELLS", 20)
    monkeypatch.setattr(_batched, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(_batched, "_LEAST_TASKS", 2)
    monkeypatch.setattr(_batched, "_STATE_BYTES", 1000)
    np.testing.assert_allclose(predictions(model, tasks), expected, rtol=1e-6)
    many = model.adapt(tasks.data, tasks.target, groups=tasks.groups)
    np.testing.assert_allclose(predictions(many, tasks), expected, rtol=1e-6)


@LEARNER
def test_adapting_and_predicting_keep_no_graph(learner, tasks, monkeypatch):
    model = fitted(learner, tasks)
    rule, recording = model.net_.module_, []

    def recorded(given, *args):
        recording.append(torch.is_grad_enabled())
        return given(*args)

    for name in {"adapt", "predict", "represent"}.intersection(dir(rule)):
        monkeypatch.setattr(rule, name, partial(recorded, getattr(rule, name)))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        model.adapt(tasks.data[:6], tasks.target[:6]).predict(tasks.data[:3])
        predictions(model, tasks)
    assert not saved
    assert recording
    assert not any(recording)


@pytest.mark.parametrize("wrong", [
    {"max_iter": -1}, {"meta_batch_size": 0}, {"lr": 0.0}, {"n_queries": 0},
    {"net_params": [1]}, {"activation": "step"}, {"unseen": "ignore"},
])  # fmt: skip
def test_wrong_parameters_are_named_in_fit(tasks, wrong):
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        fitted(LEARNERS[0], tasks, **wrong)
