"""Deep kernels: on given features they are scikit-learn's Gaussian processes."""

from __future__ import annotations

import builtins
import subprocess
import sys

import numpy as np
import pytest
import torch
from _episodes import ragged, tasks_of
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, WhiteKernel
from torch import nn

import skmeta
from skmeta import DeepKernelClassifier, DeepKernelRegressor
from skmeta.heads._deep_kernel import _gpytorch_kernels
from skmeta.inner import cross_entropy, squared_error
from skmeta.training import MeanOverTasks

START = np.log(2)  # of GPyTorch's parameters, softplus(0)
NOISE = 0.2
PAIRS = {
    "rbf": START * RBF(START),
    "matern": START * Matern(START, nu=2.5),
    "linear": START * DotProduct(0.0, sigma_0_bounds="fixed"),
}
KERNELS = [*PAIRS, "cosine", "spectral_mixture"]


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(60, 15, 3, noise=0.3, random_state=0)


def _on_given_features(tasks, **params):
    model = DeepKernelRegressor(
        module=nn.Identity, noise=NOISE, normalize_y=False, max_iter=0, random_state=0, **params
    )
    return model.fit(tasks.data, tasks.target, groups=tasks.groups)


def _process(kernel):
    kernel = PAIRS[kernel] + WhiteKernel(NOISE)
    return GaussianProcessRegressor(kernel, alpha=1e-12, optimizer=None)


@pytest.mark.parametrize("kernel", PAIRS)
@pytest.mark.parametrize("n_shots", [1, 9])
def test_on_given_features_it_is_scikit_learns_process(tasks, kernel, n_shots):
    model = _on_given_features(tasks, kernel=kernel)
    X, y = tasks.data[:n_shots], tasks.target[:n_shots]
    mean, std = model.adapt(X, y).predict(tasks.data, return_std=True)
    expected = _process(kernel).fit(X, y).predict(tasks.data, return_std=True)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(std, expected[1], rtol=1e-6)
    assert model.noise_ == pytest.approx(NOISE)


@pytest.mark.parametrize("kernel", PAIRS)
def test_the_marginal_likelihood_is_scikit_learns(tasks, kernel):
    """Of support and query together, whatever is padded; the loss is that of a row."""
    rule = _on_given_features(tasks, kernel=kernel).net_.module_
    episode = ragged(n_outputs=1)
    losses = rule.task_losses(episode, MeanOverTasks(squared_error))
    for loss, task in zip(losses, tasks_of(episode), strict=True):
        X, y = (torch.cat(parts).numpy() for parts in zip(*task, strict=True))
        likelihood = _process(kernel).fit(X, y).log_marginal_likelihood_value_
        assert loss.item() == pytest.approx(-likelihood / len(X), rel=1e-6)


def test_a_linear_kernel_is_bayesian_ridge(tasks):
    """``w ~ N(0, v I)`` has the posterior mean ``(X'X + σ²/v I)⁻¹ X'y``."""
    X, y = tasks.data[:8], tasks.target[:8]
    model = _on_given_features(tasks, kernel="linear")
    w = np.linalg.solve(X.T @ X + NOISE / START * np.eye(3), X.T @ y)
    np.testing.assert_allclose(model.adapt(X, y).predict(tasks.data), tasks.data @ w, rtol=1e-6)


def test_cosine_is_linear_on_the_unit_sphere(tasks):
    sphere = tasks.data / np.linalg.norm(tasks.data, axis=1, keepdims=True)
    cosine = _on_given_features(tasks, kernel="cosine").adapt(tasks.data[:8], tasks.target[:8])
    linear = _on_given_features(tasks, kernel="linear").adapt(sphere[:8], tasks.target[:8])
    for one, other in zip(
        cosine.predict(7 * tasks.data, return_std=True),
        linear.predict(sphere, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_a_kernel_of_gpytorchs(tasks):
    """It is copied before it is trained."""
    kernel = _gpytorch_kernels().PeriodicKernel()
    before = {name: value.clone() for name, value in kernel.state_dict().items()}
    model = DeepKernelRegressor(kernel=kernel, module=nn.Identity, max_iter=5, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert type(model.kernel_) is type(kernel)
    assert model.kernel_.lengthscale.item() != pytest.approx(START, rel=1e-4)
    for name, value in kernel.state_dict().items():
        assert torch.equal(value, before[name])


def _rule(cls=DeepKernelRegressor, **params):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    y = y if cls is DeepKernelRegressor else np.arange(12) % 2
    return cls(max_iter=3, random_state=0, **params).fit(X, y).net_.module_


@pytest.mark.parametrize("kernel", KERNELS)
def test_ragged_masked_tasks_are_tasks_alone(kernel):
    rule, episode = _rule(kernel=kernel), ragged()
    state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    together = torch.cat(rule.moments(episode.query_X, state), dim=2)
    losses = rule.task_losses(episode, MeanOverTasks(squared_error))
    for task, (support, query) in enumerate(tasks_of(episode)):
        X, y = (torch.cat(parts)[None] for parts in zip(support, query, strict=True))
        likelihood = rule.log_marginal_likelihood(rule._features(X), y, torch.ones_like(X[..., 0]))
        assert losses[task].item() == pytest.approx(-likelihood.mean().item() / X.shape[1])
        X, y = (part[None] for part in support)
        state = rule.adapt(X, y, torch.ones_like(X[..., 0]))
        alone = torch.cat(rule.moments(query[0][None], state), dim=2)[0]
        torch.testing.assert_close(together[task, : len(alone)], alone, rtol=1e-9, atol=1e-10)


def test_mean_and_variance_agree_with_the_mean_alone():
    rule, episode = _rule(), ragged()
    state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    mean, variance = rule.moments(episode.query_X, state)
    assert torch.equal(mean, rule.predict(episode.query_X, state))
    assert (variance >= rule.noise).all()


def test_the_order_of_the_support_does_not_matter():
    rule = _rule()
    for support, query in tasks_of(ragged()):
        order = torch.randperm(len(support[0]), generator=torch.Generator().manual_seed(1))
        found = []
        for rows in (slice(None), order):
            X, y = (part[rows][None] for part in support)
            state = rule.adapt(X, y, torch.ones_like(X[..., 0]))
            found.append(torch.cat(rule.moments(query[0][None], state), dim=2))
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


def test_several_outputs_are_processes_of_their_own():
    rule, episode = _rule(), ragged()
    mask = episode.support_mask
    F = rule._features(episode.support_X)
    together = rule.log_marginal_likelihood(F, episode.support_y, mask)
    with torch.no_grad():
        means = rule.mean.clone()
        for output in (0, 1):
            rule.mean.copy_(means[output])
            one = rule.log_marginal_likelihood(F, episode.support_y[..., [output, output]], mask)
            torch.testing.assert_close(one[:, 0], together[:, output])


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_rows_it_is_the_prior(kernel):
    rule, X = _rule(kernel=kernel), ragged().query_X[:1]
    nothing = rule.adapt(X.new_full((1, 4, 3), 7.0), X.new_zeros(1, 4, 2), X.new_zeros(1, 4))
    mean, variance = rule.moments(X, nothing)
    torch.testing.assert_close(mean, rule.mean.expand_as(mean))
    K = rule.covariance(rule._features(X), rule._features(X))
    expected = K.diagonal(dim1=1, dim2=2) + rule.noise
    torch.testing.assert_close(variance[..., 0], expected)


def test_a_class_against_the_rest():
    """Labels are ±1, a class that a task does not have is left out, scores are sigmoids."""
    rule = _rule(DeepKernelClassifier)
    there = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    episode = ragged(n_outputs=3, classes=True, there=there.double())
    losses = rule.task_losses(episode, MeanOverTasks(cross_entropy))
    process = _rule(DeepKernelRegressor, normalize_y=False)
    process.load_state_dict({**rule.state_dict(), "mean": rule.mean.expand(2).clone()})
    for task, (support, query) in enumerate(tasks_of(episode)):
        X, y = (torch.cat(parts)[None] for parts in zip(support, query, strict=True))
        mask = torch.ones_like(X[..., 0])
        likelihoods = [
            process.log_marginal_likelihood(
                process._features(X), 2 * y[..., [label, label]] - 1, mask
            )[0, 0]
            for label in range(int(there[task].sum()))
        ]
        assert losses[task].item() == pytest.approx(
            -np.mean(torch.stack(likelihoods).tolist()) / X.shape[1]
        )
        state = process.adapt(
            support[0][None], 2 * support[1][None, :, :2] - 1, mask[:, : len(support[0])]
        )
        mean = process.predict(query[0][None], state)
        state = rule.adapt(support[0][None], support[1][None], mask[:, : len(support[0])])
        score = rule.predict(query[0][None], state)[..., :2]
        torch.testing.assert_close(score.exp(), mean.sigmoid())


def test_two_classes_have_the_sigmoid_of_one_process():
    """Their means are each other's negatives, as long as the prior's is 0."""
    tasks = skmeta.make_classification_tasks(30, 20, random_state=0)
    model = DeepKernelClassifier(max_iter=0, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    signs = DeepKernelRegressor(max_iter=0, normalize_y=False, random_state=0)
    signs.fit(tasks.data, 2.0 * tasks.target - 1, groups=tasks.groups)
    mean = signs.predict(tasks.data, groups=tasks.groups)
    proba = model.predict_proba(tasks.data, groups=tasks.groups)
    np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-mean)), rtol=1e-6)


def test_any_number_of_classes_at_use():
    tasks = skmeta.make_classification_tasks(
        40, 24, 12, shared_labels=False, n_classes=12, n_ways=4, random_state=0
    )
    model = DeepKernelClassifier(n_way=3, n_shots=2, max_iter=100, random_state=0)
    model.fit(tasks.data, tasks.target)
    for n_ways in (2, 5, 12):
        rows = np.isin(tasks.target, np.unique(tasks.target)[:n_ways])
        new = model.adapt(tasks.data[rows], tasks.target[rows])
        assert new.predict_proba(tasks.data[rows]).shape[1] == n_ways
        error = 1 - new.score(tasks.data[rows], tasks.target[rows])
        assert error < 0.7 * (1 - 1 / n_ways)  # of what guessing gives


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_and_error_bars_are_learned(seed):
    """The noise of the data is found, and 68 % of new rows lie within one deviation."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(150), 25)
    X = rng.uniform(-2, 2, size=(len(groups), 1))
    wave = np.sin(2 * X[:, 0] + rng.uniform(0, 6, 150)[groups])
    y = wave + 0.3 * rng.normal(size=len(groups))
    model = DeepKernelRegressor(
        module=nn.Identity, n_shots=10, max_iter=200, lr=0.02, random_state=seed
    )
    model.fit(X, y, groups=groups)
    assert model.noise_ * y.var() == pytest.approx(0.09, rel=0.2)
    support = np.arange(len(y)) % 25 < 12
    adapted = model.adapt(X[support], y[support], groups=groups[support])
    mean, std = adapted.predict(X[~support], groups=groups[~support], return_std=True)
    assert 0.62 < (np.abs(y[~support] - mean) < std).mean() < 0.74


def test_noise_does_not_collapse():
    """Targets that the kernel meets exactly leave it above its least."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 15)
    X = rng.normal(size=(len(groups), 3))
    y = (X * rng.normal(size=(60, 3))[groups]).sum(axis=1)
    model = DeepKernelRegressor(
        kernel="linear",
        module=nn.Identity,
        normalize_y=False,
        max_iter=300,
        lr=0.1,
        random_state=0,
    ).fit(X, y, groups=groups)
    assert 1e-4 < model.noise_ < 2e-4
    assert model.score(X, y, groups=groups) > 0.999


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_are_alike_and_vast_features(dtype):
    """Such a covariance is singular, and the noise is lost beside it; there still is a factor."""
    X = np.repeat(np.arange(4, dtype=dtype), 10)[:, None] * dtype(1e9)
    y = X[:, 0] * dtype(1e-9)
    model = DeepKernelRegressor(
        kernel="linear", module=nn.Identity, normalize_y=False, max_iter=5, random_state=0
    )
    predicted = model.fit(X, y).predict(X)
    assert predicted.dtype == dtype
    np.testing.assert_allclose(predicted, y, atol=1e-5)


def test_chunks_of_tasks_of_all_sizes_are_tasks_alone():
    """Their states have different widths, and are put together, or adapted anew for each pass."""
    sizes = np.repeat([1, 3, 40, 200], 30)
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(groups), 2))
    y = X[:, 0] + groups % 7
    model = DeepKernelRegressor(max_iter=3, random_state=0).fit(X, y, groups=groups)
    assert model._task_bytes == 200 * (64 + 1 + 1) * 8
    known = model.predict(X, groups=groups, return_std=True)
    adapted = model.adapt(X, y, groups=groups)
    assert adapted._state["features"].shape == (121, 200, 64)
    for one, other in zip(adapted.predict(X, groups=groups, return_std=True), known, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    for task in (0, 35, 65, 119):
        rows = groups == task
        alone = model.adapt(X[rows], y[rows]).predict(X[rows], return_std=True)
        for one, other in zip(alone, known, strict=True):
            np.testing.assert_allclose(one, other[rows], rtol=1e-7, atol=1e-9)


def test_without_gpytorch_it_names_the_extra(tasks, monkeypatch):
    imported = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("gpytorch"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"skmeta\[gp\]"):
        DeepKernelRegressor().fit(tasks.data, tasks.target, groups=tasks.groups)


def test_skmeta_alone_does_not_import_gpytorch():
    """It takes a second, and is an extra."""
    code = "import sys, skmeta; print('gpytorch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("wrong", [{"kernel": "sinc"}, {"noise": 1e-4}, {"n_shots": (3, 1)}])
def test_wrong_parameters_are_named(tasks, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DeepKernelRegressor(**wrong).fit(tasks.data, tasks.target, groups=tasks.groups)
