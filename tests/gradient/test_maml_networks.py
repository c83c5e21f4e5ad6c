"""MAML's meta-gradient through given networks, against plain automatic differentiation."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from _episodes import (
    assert_close,
    descend,
    loop_gradient,
    meta_gradient,
    ragged,
    run,
    weights_of,
)
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import skmeta
from skmeta import MAMLClassifier, MAMLRegressor

SHORT = {"max_iter": 5, "meta_batch_size": 4, "n_shots": 4, "random_state": 0}


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(12, 12, 3, random_state=0)


class Normalised(nn.Sequential):
    def __init__(self, n_features_in, n_outputs, affine=True):
        super().__init__(
            nn.Linear(n_features_in, 6),
            nn.LayerNorm(6, elementwise_affine=affine),
            nn.Tanh(),
            nn.Linear(6, n_outputs),
        )


class Attentive(nn.Module):
    """Attends from feature to feature."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.embed = nn.Linear(1, 4)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4 * n_features_in, n_outputs)

    def forward(self, X):
        tokens = self.embed(X[..., None])
        attended, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        return self.head(attended.flatten(1))


class Frozen(nn.Sequential):
    """Its first layer is given, as of a network trained elsewhere."""

    def __init__(self, n_features_in, n_outputs):
        first = nn.Linear(n_features_in, 6).requires_grad_(False)
        super().__init__(first, nn.Tanh(), nn.Linear(6, n_outputs))


class Convolutional(nn.Module):
    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.body = nn.Conv1d(1, 3, 2)
        self.head = nn.Linear(3 * (n_features_in - 1), n_outputs)

    def forward(self, X):
        return self.head(torch.relu(self.body(X[:, None])).flatten(1))


NETWORKS = {
    "layer norm": (Normalised, True),
    "plain norm": (partial(Normalised, affine=False), False),
    "attention": (Attentive, False),
    "frozen": (Frozen, False),
    "convolution": (Convolutional, False),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_meta_gradient_of_a_fitted_learner_is_right(tasks, name):
    """Whether tasks run batched or, where torch differentiates that wrongly, one by one."""
    module, warns = NETWORKS[name]
    model = MAMLRegressor(module=module, n_inner_steps=2, inner_lr=0.1, **SHORT)
    turns = pytest.warns(RuntimeWarning, match="one after another") if warns else nullcontext()
    with turns:
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
    rule, episode = model.net_.module_, ragged(n_outputs=1)

    def one_task(support, query):
        adapted = descend(rule.network, weights_of(rule.network), support, 2, 0.1)
        return (run(rule.network, adapted, query[0]) - query[1]).square().mean()

    with sdpa_kernel(SDPBackend.MATH):
        expected = loop_gradient(rule, episode, one_task)
    assert_close(meta_gradient(rule, episode), expected)


def test_frozen_weights_stay_in_training_and_in_use(tasks):
    torch.manual_seed(0)
    network = Frozen(3, 1)
    given = network[0].weight.detach().clone().double()
    model = MAMLRegressor(module=network, inner_lr=0.1, **SHORT)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    torch.testing.assert_close(model.net_.module_.network[0].weight.detach(), given)
    adapted = model.adapt(tasks.data[:6], tasks.target[:6])
    assert set(adapted._state) == {"2.weight", "2.bias", "n_steps"}
    body = nn.Sequential(nn.Linear(3, 6), nn.Tanh()).double()
    body[0].load_state_dict(model.net_.module_.network[0].state_dict())
    with torch.no_grad():
        expected = body(torch.tensor(tasks.data)).numpy()
    np.testing.assert_allclose(model.transform(tasks.data), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["attention", "frozen", "convolution"])
def test_the_representation_is_what_enters_the_last_layer(tasks, name):
    model = MAMLRegressor(module=NETWORKS[name][0], **SHORT)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    network = model.net_.module_.network
    head = network.head if name != "frozen" else network[-1]
    with torch.no_grad():
        expected = network(torch.tensor(tasks.data)).numpy()
        found = head(torch.tensor(model.transform(tasks.data))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_layer_registered_last_but_run_first_is_not_the_last(tasks):
    class Backwards(nn.Module):
        def __init__(self, n_features_in, n_outputs):
            super().__init__()
            self.head = nn.Linear(5, n_outputs)
            self.body = nn.Linear(n_features_in, 5)

        def forward(self, X):
            return self.head(torch.relu(self.body(X)))

    model = MAMLRegressor(module=Backwards, **SHORT)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.transform(tasks.data).shape == (len(tasks.data), 5)
    assert model.transform(tasks.data).min() >= 0


def test_a_network_without_a_linear_layer_represents_by_its_output(tasks):
    class Scaled(nn.Module):
        def __init__(self, n_features_in):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(n_features_in, 1))

        def forward(self, X):
            return X @ self.weight

    model = MAMLRegressor(module=Scaled, **SHORT)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.transform(tasks.data).shape == (len(tasks.data), 1)


def test_dropout_acts_in_training_alone(tasks):
    def network(n_features_in, n_outputs, share):
        return nn.Sequential(
            nn.Linear(n_features_in, 20), nn.Dropout(share), nn.Linear(20, n_outputs)
        )

    fits = [
        MAMLRegressor(
            module=lambda n_features_in, n_outputs, share=share: network(
                n_features_in, n_outputs, share
            ),
            **SHORT,
        ).fit(tasks.data, tasks.target, groups=tasks.groups)
        for share in (0.0, 0.5, 0.5)
    ]
    without, one, other = (f.predict(tasks.data, groups=tasks.groups) for f in fits)
    assert not np.allclose(without, one)
    np.testing.assert_array_equal(one, other)
    again = fits[1].predict(tasks.data, groups=tasks.groups)
    np.testing.assert_array_equal(one, again)


def test_the_meta_gradient_is_compared_only_where_a_network_is_given(tasks):
    """The default network is known to be right, so nothing is drawn for a comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        default = MAMLRegressor(hidden_layer_sizes=(6,), **SHORT)
        default.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert default.net_.module_.engine == "stacked"


@pytest.mark.parametrize("params", [
    {"inner_lr": -0.1}, {"n_inner_steps": -1}, {"n_inner_steps": 1.5}, {"n_adapt_steps": -1},
])  # fmt: skip
def test_wrong_parameters_are_named(tasks, params):
    model = MAMLRegressor(**{**SHORT, **params})
    with pytest.raises((TypeError, ValueError), match=next(iter(params))):
        model.fit(tasks.data, tasks.target, groups=tasks.groups).adapt(
            tasks.data[:5], tasks.target[:5]
        )


def test_a_shared_label_set_keeps_the_meaning_of_outputs():
    tasks = skmeta.make_classification_tasks(40, 20, 3, random_state=0)
    model = MAMLClassifier(
        n_shots=8, inner_lr=0.5, max_iter=300, lr=1e-2, hidden_layer_sizes=(16,), random_state=0
    ).fit(tasks.data, tasks.target, groups=tasks.groups)
    new = model.adapt(tasks.data[:3], tasks.target[:3])
    np.testing.assert_array_equal(new.classes_, model.classes_)
    prior = model.set_params(n_adapt_steps=0).adapt(tasks.data[:3], tasks.target[:3])
    assert model.score(tasks.data, tasks.target, groups=tasks.groups) > 0.5
    expected = model.net_.module_.network(torch.tensor(tasks.data)).softmax(1).detach().numpy()
    np.testing.assert_allclose(prior.predict_proba(tasks.data), expected, rtol=1e-10)


def test_own_label_sets_are_learned_from_the_support():
    """Episodes number classes anew, so nothing but the support tells them apart."""
    train, new = (
        skmeta.make_classification_tasks(
            80, 20, 4, shared_labels=False, n_classes=80, n_ways=2,
            prior_mean=np.zeros(4), prior_covariance=9 * np.eye(4), random_state=seed,
        )
        for seed in (0, 1)
    )  # fmt: skip
    model = MAMLClassifier(
        n_shots=10, inner_lr=0.3, max_iter=300, lr=1e-2, hidden_layer_sizes=(16,), random_state=0
    ).fit(train.data, train.target, groups=train.groups)
    support = np.arange(len(new.data)) % 20 < 10  # classes take turns: five rows of each
    accuracy = []
    for steps in (0, 1):
        model.set_params(n_adapt_steps=steps)
        adapted = model.adapt(new.data[support], new.target[support], groups=new.groups[support])
        accuracy.append(
            adapted.score(new.data[~support], new.target[~support], groups=new.groups[~support])
        )
    assert 0.35 < accuracy[0] < 0.65
    assert accuracy[1] > 0.8
