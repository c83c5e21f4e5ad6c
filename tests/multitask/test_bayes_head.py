"""The Bayesian head inside its estimator; its formulas are tested in tests/inner."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, WhiteKernel
from sklearn.linear_model import Ridge
from torch import nn

import skmeta
from skmeta import EmpiricalBayesRegressor, MultiHeadRegressor, UnseenTaskWarning
from skmeta.multitask import _bayes_head, _multi_head

SHORT = {"max_iter": 50, "hidden_layer_sizes": (6,), "random_state": 0}


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(30, (3, 12), 3, noise=0.5, random_state=0)


@pytest.fixture(scope="module")
def model(tasks):
    return MultiHeadRegressor(**SHORT).fit(tasks.data, tasks.target, groups=tasks.groups)


def with_std(model, X, groups=None):
    return model.predict(X, groups=groups, return_std=True)


@pytest.mark.parametrize("n_rows", [2, 7, 20])
def test_a_fitted_learner_is_a_gaussian_process_for_each_task(model, tasks, n_rows):
    """On its representation: mean ``w0'[1, φ]``, kernel ``[1, φ]'Ω[1, φ]``, noise σ²."""
    (prior,) = model.bayes_head_.priors
    rows, asked = slice(0, n_rows), slice(n_rows, 30)
    F = np.column_stack([np.ones(len(tasks.data)), model.transform(tasks.data)])
    values, vectors = np.linalg.eigh(prior.covariance)
    Z = F @ (vectors * np.sqrt(np.maximum(values, 0)))
    center, scale = model._y_center[0], model._y_scale[0]
    kernel = DotProduct(0.0, "fixed") + WhiteKernel(prior.noise, "fixed")
    process = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0)
    process.fit(Z[rows], (tasks.target[rows] - center) / scale - F[rows] @ prior.mean)
    mean, std = process.predict(Z[asked], return_std=True)
    found, spread = with_std(model.adapt(tasks.data[rows], tasks.target[rows]), tasks.data[asked])
    expected = (mean + F[asked] @ prior.mean) * scale + center
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(spread, std * scale, rtol=1e-6)


def test_mean_is_the_same_with_and_without_its_deviation(model, tasks):
    mean, _ = with_std(model, tasks.data, tasks.groups)
    np.testing.assert_allclose(
        mean, model.predict(tasks.data, groups=tasks.groups), rtol=1e-10, atol=1e-12
    )


def test_mixing_the_features_of_the_trained_network_changes_nothing(model, tasks):
    """``f -> fA``, heads ``-> A⁻¹w``: as if joint training had found the other network."""
    A = np.random.default_rng(0).normal(size=(6, 6))
    other = copy.deepcopy(model)
    joint = other.net_.module_
    joint.body = nn.Sequential(joint.body, nn.Linear(6, 6, bias=False).double())
    heads = joint.heads.detach().numpy().copy()
    heads[:, 1:] = np.linalg.solve(A, heads[:, 1:])
    with torch.no_grad():
        joint.body[1].weight.copy_(torch.tensor(A.T))
        joint.heads.copy_(torch.tensor(heads))
    support = other._support
    other.bayes_head_ = _bayes_head.BayesHead.learn(
        other._design(support.X), other._encode(support), support.table, heads
    )
    for one, same in zip(
        with_std(model, tasks.data, tasks.groups),
        with_std(other, tasks.data, tasks.groups),
        strict=True,
    ):
        np.testing.assert_allclose(same, one, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("entries", [1, 300])
def test_chunks_of_covariances_do_not_matter(model, tasks, monkeypatch, entries):
    expected = with_std(model, tasks.data, tasks.groups)
    monkeypatch.setattr(_bayes_head, "_ENTRIES", entries)
    found = with_std(model, tasks.data, tasks.groups)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    again = model.adapt(tasks.data, tasks.target, groups=tasks.groups)
    found = with_std(again, tasks.data, tasks.groups)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_task_never_seen_is_predicted_by_the_prior(model, tasks):
    (prior,) = model.bayes_head_.priors
    with pytest.warns(UnseenTaskWarning):
        mean, std = with_std(model, tasks.data[:9], [-1] * 9)
    F = np.column_stack([np.ones(9), model.transform(tasks.data[:9])])
    scale = model._y_scale[0]
    np.testing.assert_allclose(mean, F @ prior.mean * scale + model._y_center[0], rtol=1e-9)
    variance = np.einsum("nd,de,ne->n", F, prior.covariance, F) + prior.noise
    np.testing.assert_allclose(std, scale * np.sqrt(variance), rtol=1e-9)
    known = with_std(model, tasks.data[:9], tasks.groups[:9])[1]
    assert (known < std).all()


def test_outputs_have_priors_of_their_own(tasks):
    y = np.column_stack([tasks.target, 10 + tasks.target, tasks.target + 50 * tasks.data[:, 0]])
    model = MultiHeadRegressor(**SHORT).fit(tasks.data, y, groups=tasks.groups)
    mean, std = with_std(model, tasks.data, tasks.groups)
    assert mean.shape == std.shape == y.shape
    assert len(model.bayes_head_.priors) == 3
    np.testing.assert_allclose(mean[:, 1], mean[:, 0] + 10, rtol=1e-3, atol=1e-3)
    assert not np.allclose(std[:, 2], std[:, 0], rtol=0.1)


def test_given_features_make_it_empirical_bayes():
    """With the rows themselves as features, both learn ``w ~ N(w0, Ω)`` by the likelihood."""
    tasks = skmeta.make_linear_tasks(200, 10, 2, noise=0.5, random_state=0)
    new = skmeta.make_linear_tasks(20, 10, 2, noise=0.5, random_state=1)
    support = np.arange(200) % 10 < 3
    predicted = []
    for learner in (
        MultiHeadRegressor(module=nn.Identity, max_iter=300, lr=1e-2, random_state=0),
        EmpiricalBayesRegressor(),
    ):
        model = learner.fit(tasks.data, tasks.target, groups=tasks.groups)
        adapted = model.adapt(new.data[support], new.target[support], groups=new.groups[support])
        predicted.append(adapted.predict(new.data[~support], groups=new.groups[~support]))
    spread = predicted[1].std()
    assert np.abs(predicted[0] - predicted[1]).max() < 0.1 * spread


def test_a_prior_of_some_tasks_serves_all(model, tasks, monkeypatch):
    monkeypatch.setattr(_multi_head, "_PRIOR_TASKS", 12)
    some = MultiHeadRegressor(**SHORT).fit(tasks.data, tasks.target, groups=tasks.groups)
    assert len(some.tasks_) == 30
    scores = [m.score(tasks.data, tasks.target, groups=tasks.groups) for m in (some, model)]
    assert scores[0] != scores[1]
    assert abs(scores[0] - scores[1]) < 0.2


def test_one_task_is_ordinary_regression(tasks):
    """Without a second task Ω is nothing: the network and its one head, for every task."""
    model = MultiHeadRegressor(**{**SHORT, "max_iter": 400, "lr": 1e-2, "n_queries": None})
    model.fit(tasks.data[:12], tasks.target[:12])
    (prior,) = model.bayes_head_.priors
    F = np.column_stack([np.ones(12), model.transform(tasks.data[:12])])
    expected = F @ prior.mean * model._y_scale[0] + model._y_center[0]
    np.testing.assert_allclose(model.predict(tasks.data[:12]), expected, rtol=1e-6)
    assert model.score(tasks.data[:12], tasks.target[:12]) > 0.9


def test_the_pooled_head_predicts_tasks_never_seen(tasks):
    model = MultiHeadRegressor(head=Ridge(), **SHORT)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    with pytest.warns(UnseenTaskWarning):
        found = model.predict(tasks.data[:9], groups=[-1] * 9)
    F = model.transform(tasks.data)
    expected = clone(Ridge()).fit(F, tasks.target).predict(F[:9])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
