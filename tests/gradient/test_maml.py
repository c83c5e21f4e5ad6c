"""MAML with any torch module; the rule itself is tested in tests/inner."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import skmeta
from skmeta import MAMLClassifier, MAMLRegressor

SHORT = {"max_iter": 20, "meta_batch_size": 8, "n_shots": 4, "random_state": 0}


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(20, 12, 3, random_state=0)


class Network(nn.Module):
    """Sized by the data; `layer` goes between the linear ones."""

    def __init__(self, n_features_in, n_outputs, width=6, layer=nn.Identity):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features_in, width), layer(width), nn.Tanh())
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.head(self.body(X))


def fit(tasks, **params):
    return MAMLRegressor(**{**SHORT, **params}).fit(tasks.data, tasks.target, groups=tasks.groups)


def same(one, other, tasks):
    return np.array_equal(
        one.predict(tasks.data, groups=tasks.groups),
        other.predict(tasks.data, groups=tasks.groups),
    )


def test_a_module_class_is_sized_by_the_data_and_takes_its_parameters(tasks):
    model = MAMLRegressor(module=Network, **SHORT).set_params(module__width=5)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.net_.module_.network.body[0].in_features == 3
    assert model.transform(tasks.data).shape == (len(tasks.data), 5)


def test_a_module_instance_is_not_changed_and_fit_twice_is_fit_once(tasks):
    torch.manual_seed(0)
    network = Network(3, 1)
    before = copy.deepcopy(network.state_dict())
    model = fit(tasks, module=network)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    once = pickle.loads(pickle.dumps(model))
    assert same(model.fit(tasks.data, tasks.target, groups=tasks.groups), once, tasks)


@pytest.mark.filterwarnings("ignore:module has a BatchNorm1d:RuntimeWarning")
@pytest.mark.parametrize("layer", [nn.LayerNorm, lambda width: nn.BatchNorm1d(
    width, track_running_stats=False)], ids=["LayerNorm", "BatchNorm1d"])  # fmt: skip
def test_a_layer_that_vmap_differentiates_wrongly_falls_back_to_the_loop(tasks, layer):
    """torch's batched second derivative of these layers is wrong, without a word."""
    with pytest.warns(RuntimeWarning, match="one after another"):
        model = fit(tasks, module=Network, net_params={"module__layer": layer})
    assert model.net_.module_.engine == "loop"


@pytest.mark.parametrize("layer", [
    nn.Identity,
    lambda width: nn.LayerNorm(width, elementwise_affine=False),
    lambda width: nn.GroupNorm(2, width),
    lambda width: nn.Dropout(0.1),
])  # fmt: skip
def test_other_layers_stay_batched(tasks, layer):
    model = fit(tasks, module=Network, net_params={"module__layer": layer})
    assert model.net_.module_.engine == "vmap"
    assert same(model, model, tasks)


def test_running_statistics_are_rejected(tasks):
    with pytest.raises(ValueError, match="running statistics"):
        fit(tasks, module=Network, net_params={"module__layer": nn.BatchNorm1d})


def test_a_module_whose_output_does_not_fit_is_named(tasks):
    with pytest.raises(ValueError, match="module has 2 output"):
        fit(tasks, module=nn.Linear(3, 2))
    with pytest.raises(ValueError, match="module maps 2 rows"):
        fit(tasks, module=nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)))


def test_a_diverging_meta_loss_stops_fit_with_the_update_and_advice(tasks):
    model = fit(tasks)
    before = model.predict(tasks.data, groups=tasks.groups)
    with pytest.raises(ValueError, match=r"update \d+.*inner_lr"):
        model.set_params(inner_lr=1e200).fit(tasks.data, tasks.target, groups=tasks.groups)
    np.testing.assert_array_equal(
        model.set_params(inner_lr=0.01).predict(tasks.data, groups=tasks.groups), before
    )


def test_steps_in_use_may_differ_from_those_in_training(tasks):
    model = fit(tasks, inner_lr=0.05)
    rows = slice(0, 12)
    errors = [
        np.mean(
            (
                model.set_params(n_adapt_steps=steps)
                .adapt(tasks.data[rows], tasks.target[rows])
                .predict(tasks.data[rows])
                - tasks.target[rows]
            )
            ** 2
        )
        for steps in (0, 1, 10)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_first_order_learns_something_else(tasks):
    full, first = fit(tasks, inner_lr=0.1), fit(tasks, inner_lr=0.1, first_order=True)
    assert not same(full, first, tasks)
    still = [fit(tasks, inner_lr=0.0, first_order=flag) for flag in (False, True)]
    np.testing.assert_allclose(
        *(model.predict(tasks.data, groups=tasks.groups) for model in still), rtol=1e-6
    )


def test_classes_at_use_are_at_most_those_of_training():
    tasks = skmeta.make_classification_tasks(
        20, 20, 4, shared_labels=False, n_classes=8, n_ways=3, random_state=0
    )
    model = MAMLClassifier(n_way=3, n_shots=2, max_iter=10, random_state=0)
    model.fit(tasks.data, tasks.target)
    with pytest.raises(ValueError, match="8 classes"):
        model.predict(tasks.data)
    few = np.isin(tasks.target, np.unique(tasks.target)[:2])
    two = model.adapt(tasks.data[few], tasks.target[few])
    proba = two.predict_proba(tasks.data[few])
    assert proba.shape[1] == 2
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
