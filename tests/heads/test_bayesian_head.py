"""ALPaCA: a Gaussian process, ridge regression, and honest error bars."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct
from sklearn.linear_model import BayesianRidge, Ridge
from torch import nn

import skmeta
from skmeta import BayesianHeadRegressor


def on_given_features(tasks, **params):
    """Return a learner on the features as they are, its prior set by hand."""
    params = {"normalize_y": False, "max_iter": 0, "noise": 0.5} | params
    model = BayesianHeadRegressor(module=nn.Identity, **params)
    return model.fit(tasks.data, tasks.target, groups=tasks.groups)


def with_prior(model, mean, factor):
    rule = model.net_.module_
    with torch.no_grad():
        rule.mean.copy_(torch.as_tensor(mean))
        rule.factor.copy_(torch.as_tensor(factor))
    return model


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(60, 15, 3, noise=0.3, random_state=0)


@pytest.mark.parametrize("n_shots", [3, 12])
def test_is_a_gaussian_process(tasks, n_shots):
    """Of mean ``K̄₀'φ`` and kernel ``σ²φ'Λ₀⁻¹φ'``: here ``φ'φ'``, as the factor starts at I / σ."""
    mean = np.array([[0.5], [-1.0], [2.0], [0.3]])
    model = with_prior(on_given_features(tasks), mean, np.eye(4))
    X, y = tasks.data[:n_shots], tasks.target[:n_shots]
    rows = np.column_stack([tasks.data, np.ones(len(tasks.data))])
    kernel = ConstantKernel(1.0) * DotProduct(sigma_0=1.0)
    process = GaussianProcessRegressor(kernel, alpha=0.25, optimizer=None)
    process.fit(X, y - rows[:n_shots] @ mean[:, 0])
    expected, std = process.predict(tasks.data, return_std=True)
    found, found_std = model.adapt(X, y).predict(tasks.data, return_std=True)
    np.testing.assert_allclose(found, expected + rows @ mean[:, 0], rtol=1e-8)
    np.testing.assert_allclose(found_std, np.sqrt(std**2 + 0.25), rtol=1e-8)


def test_without_a_learned_prior_it_is_ridge(tasks):
    model = with_prior(on_given_features(tasks), np.zeros((4, 1)), 0.7 * np.eye(4))
    X, y = tasks.data[:6], tasks.target[:6]
    ridge = Ridge(alpha=(0.5 / 0.7) ** 2, fit_intercept=False)
    ridge.fit(np.column_stack([X, np.ones(6)]), y)
    expected = ridge.predict(np.column_stack([tasks.data, np.ones(len(tasks.data))]))
    np.testing.assert_allclose(model.adapt(X, y).predict(tasks.data), expected, rtol=1e-8)


@pytest.mark.parametrize("n_shots", [4, 40])
def test_on_fixed_features_it_is_scikit_learns_bayesian_ridge(tasks, n_shots):
    """Of the same precisions: scikit-learn's are learned from the rows, and then given to ours."""
    params = {"hidden_layer_sizes": (6,), "normalize_y": False, "max_iter": 0, "random_state": 0}
    features = BayesianHeadRegressor(**params)
    features.fit(tasks.data, tasks.target, groups=tasks.groups)
    F = np.column_stack([features.transform(tasks.data), np.ones(len(tasks.data))])
    X, y = tasks.data[:n_shots], tasks.target[:n_shots]
    ridge = BayesianRidge(fit_intercept=False, alpha_1=1, alpha_2=1, lambda_1=1, lambda_2=1)
    mean, std = ridge.fit(F[:n_shots], y).predict(F, return_std=True)
    model = BayesianHeadRegressor(**params, noise=ridge.alpha_**-0.5)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    with_prior(model, np.zeros((7, 1)), ridge.lambda_**-0.5 * np.eye(7))
    found, found_std = model.adapt(X, y).predict(tasks.data, return_std=True)
    np.testing.assert_allclose(found, mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found_std, std, rtol=1e-6)


def test_without_rows_it_is_the_prior(tasks):
    factor = np.tril(np.random.default_rng(0).normal(size=(4, 4)))
    model = with_prior(on_given_features(tasks), np.ones((4, 1)), factor)
    with pytest.warns(skmeta.UnseenTaskWarning):
        mean, std = model.predict(tasks.data[:5], groups=[-1] * 5, return_std=True)
    rows = np.column_stack([tasks.data[:5], np.ones(5)])
    np.testing.assert_allclose(mean, rows.sum(axis=1))
    np.testing.assert_allclose(std**2, ((rows @ factor) ** 2).sum(axis=1) + 0.25)


def test_rows_one_by_one_are_rows_together(tasks):
    """A posterior is the prior of the rows that follow."""
    rule = on_given_features(tasks).net_.module_
    F = np.column_stack([tasks.data[:4], np.ones(4)])
    y = tasks.target[:4]
    A = rule._prior_factor().detach().numpy()
    precision, mean = np.linalg.inv(A @ A.T), np.zeros(4)
    for row, value in zip(F, y, strict=True):
        updated = precision + np.outer(row, row)
        mean = np.linalg.solve(updated, precision @ mean + row * value)
        precision = updated
    found = on_given_features(tasks).adapt(tasks.data[:4], y).predict(tasks.data)
    np.testing.assert_allclose(
        found, np.column_stack([tasks.data, np.ones(len(tasks.data))]) @ mean, rtol=1e-8
    )


@pytest.mark.parametrize("seed", range(3))
def test_intervals_cover_what_they_say(seed):
    """On data drawn from the model: linear tasks with a Gaussian prior."""
    tasks = skmeta.make_linear_tasks(700, 20, 3, noise=0.5, random_state=seed)
    X, y, groups = tasks.data[6000:], tasks.target[6000:], tasks.groups[6000:]
    model = BayesianHeadRegressor(
        module=nn.Identity, max_iter=600, lr=0.02, meta_batch_size=32, random_state=seed
    ).fit(tasks.data[:6000], tasks.target[:6000], groups=tasks.groups[:6000])
    place = np.arange(len(X)) % 20
    asked = place >= 10
    for n_shots in (1, 5, 10):
        shown = place < n_shots
        adapted = model.adapt(X[shown], y[shown], groups=groups[shown])
        mean, std = adapted.predict(X[asked], groups=groups[asked], return_std=True)
        covered = (np.abs(y[asked] - mean) < 1.645 * std).mean()
        assert 0.87 < covered < 0.93
    assert model.noise_[0] == pytest.approx(0.5, rel=0.1)


def test_a_fixed_noise_stays(tasks):
    model = BayesianHeadRegressor(noise=0.2, learn_noise=False, max_iter=5, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    np.testing.assert_allclose(model.noise_, 0.2 * tasks.target.std())


def test_units_of_outputs_do_not_matter():
    tasks = skmeta.make_linear_tasks(20, 12, 2, random_state=0)
    y = np.column_stack([tasks.target, tasks.data[:, 0] * tasks.groups])
    units = np.array([1e3, 1e-2])
    found = []
    for scale in (1.0, units):
        model = BayesianHeadRegressor(max_iter=0, random_state=0)
        model.fit(tasks.data, y * scale, groups=tasks.groups)
        found.append(model.predict(tasks.data, groups=tasks.groups, return_std=True))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other / units, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("wrong", [{"noise": 0.0}, {"n_shots": (3, 1)}])
def test_wrong_parameters_are_named(tasks, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BayesianHeadRegressor(**wrong).fit(tasks.data, tasks.target, groups=tasks.groups)
