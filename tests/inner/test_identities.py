"""Inner rules against closed forms and plain loops over tasks, on ragged and masked tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, WhiteKernel
from sklearn.linear_model import Ridge
from torch import nn

from skmeta import MLP
from skmeta.empirical_bayes._mixed_model import Prior
from skmeta.inner import (
    Episode,
    GradientSteps,
    JointHeads,
    RidgeSolve,
    cross_entropy,
    mean_over_rows,
    solve_ridge,
    squared_error,
)
from skmeta.multitask._bayes_head import BayesHead
from skmeta.tasks import TaskTable
from skmeta.training import MeanOverTasks

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SIZES = [(4, 3), (1, 5), (6, 1), (2, 2)]  # support and query rows of each task


def ragged(dtype, n_features=3, n_outputs=2, garbage=0.0, classes=False):
    """Return an episode of ragged tasks; padded features hold `garbage`."""
    generator = torch.Generator().manual_seed(0)
    n_tasks = len(SIZES)
    parts = []
    for side in (0, 1):
        width = max(size[side] for size in SIZES)
        X = torch.randn(n_tasks, width, n_features, generator=generator, dtype=torch.float64)
        y = torch.randn(n_tasks, width, n_outputs, generator=generator, dtype=torch.float64)
        if classes:
            y = nn.functional.one_hot(y.argmax(-1), n_outputs).double()
        mask = torch.tensor([[i < size[side] for i in range(width)] for size in SIZES])
        X = torch.where(mask[..., None], X, garbage)
        parts += [X.to(dtype), (y * mask[..., None]).to(dtype), mask.to(dtype)]
    return Episode(*parts, tasks=torch.arange(n_tasks))


def meta_gradient(rule, loss, episode):
    value = MeanOverTasks(loss)(rule(episode), episode)
    parts = torch.autograd.grad(value, list(rule.parameters()), materialize_grads=True)
    return value.detach(), torch.cat([part.flatten() for part in parts])


def loop_gradient(rule, loss, episode, one_task):
    """The mean over tasks of the query loss, each task by itself and without padding."""
    total = torch.zeros(())
    for task, (n_support, n_query) in enumerate(SIZES):
        predicted = one_task(
            episode.support_X[task, :n_support],
            episode.support_y[task, :n_support],
            episode.query_X[task, :n_query],
        )
        total = total + loss(predicted, episode.query_y[task, :n_query]).mean() / len(SIZES)
    parts = torch.autograd.grad(total, list(rule.parameters()), materialize_grads=True)
    return total.detach(), torch.cat([part.flatten() for part in parts])


def assert_close(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        error = (one - other).norm() / other.norm().clamp(min=1e-30)
        assert error < TOLERANCE[dtype]


def gradient_steps(dtype, *, n_steps=2, lr=0.1, first_order=False, loss=squared_error):
    torch.manual_seed(0)
    network = MLP(3, 2, hidden_layer_sizes=(8,), activation="tanh").to(dtype)
    return GradientSteps(network, 3, 2, loss=loss, lr=lr, n_steps=n_steps, first_order=first_order)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
def test_gradient_steps_equal_a_plain_loop(dtype, first_order, engine, loss):
    rule = gradient_steps(dtype, first_order=first_order, loss=loss)
    rule.use(engine)
    episode = ragged(dtype, classes=loss is cross_entropy)
    weights = list(rule.network.parameters())
    names = [name for name, _ in rule.network.named_parameters()]

    def run(values, X):
        return torch.func.functional_call(rule.network, dict(zip(names, values, strict=True)), (X,))

    def one_task(X, y, query):
        adapted = weights
        for _ in range(2):
            slope = torch.autograd.grad(loss(run(adapted, X), y).mean(), adapted, create_graph=True)
            if first_order:
                slope = [s.detach() for s in slope]
            adapted = [w - 0.1 * s for w, s in zip(adapted, slope, strict=True)]
        return run(adapted, query)

    found = meta_gradient(rule, loss, episode)
    assert_close(found, loop_gradient(rule, loss, episode, one_task), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("width", [2, 8], ids=["primal and dual", "dual"])
def test_ridge_solve_equals_a_plain_loop(dtype, width):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(width,), activation="tanh").to(dtype)
    rule = RidgeSolve(body, 3, alpha=0.3, learn_alpha=True, scale=2.0).to(dtype)
    episode = ragged(dtype)

    def one_task(X, y, query):
        F = torch.cat([body(X), torch.ones_like(X[:, :1])], dim=1)
        gram = F.T @ F + rule.log_alpha.exp() * len(X) * torch.eye(width + 1, dtype=dtype)
        W = torch.linalg.solve(gram, F.T @ y)
        return rule.scale * torch.cat([body(query), torch.ones_like(query[:, :1])], dim=1) @ W

    found = meta_gradient(rule, squared_error, episode)
    expected = loop_gradient(rule, squared_error, episode, one_task)
    loose = {torch.float32: torch.float32, torch.float64: torch.float64}[dtype]
    error = max((a - b).norm() / b.norm() for a, b in zip(found, expected, strict=True))
    assert error < (1e-4 if loose is torch.float32 else 1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_joint_heads_equal_a_plain_loop(dtype):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(4,), activation="tanh").to(dtype)
    rule = JointHeads(body, 3, len(SIZES), 2).to(dtype)
    with torch.no_grad():
        rule.heads.normal_()
    episode = ragged(dtype)
    order = iter(range(len(SIZES)))

    def one_task(X, y, query):
        head = rule.heads[next(order)]
        return body(query) @ head[1:] + head[0]

    found = meta_gradient(rule, squared_error, episode)
    assert_close(found, loop_gradient(rule, squared_error, episode, one_task), dtype)


@pytest.mark.parametrize("kind", ["gradient", "ridge", "joint"])
def test_padding_does_not_matter(kind):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(4,)).double()
    rule = {
        "gradient": lambda: gradient_steps(torch.float64),
        "ridge": lambda: RidgeSolve(body, 3, alpha=1.0, learn_alpha=True, scale=None).double(),
        "joint": lambda: JointHeads(body, 3, len(SIZES), 2).double(),
    }[kind]()
    clean = meta_gradient(rule, squared_error, ragged(torch.float64))
    padded = meta_gradient(rule, squared_error, ragged(torch.float64, garbage=1e3))
    assert_close(padded, clean, torch.float64)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("still", [{"n_steps": 0}, {"lr": 0.0}])
def test_without_inner_learning_maml_is_joint_training(first_order, still):
    rule = gradient_steps(torch.float64, first_order=first_order, **still)
    episode = ragged(torch.float64)
    predicted = rule.network(episode.query_X)
    joint = mean_over_rows(squared_error(predicted, episode.query_y), episode.query_mask).mean()
    parts = torch.autograd.grad(joint, list(rule.parameters()))
    expected = joint.detach(), torch.cat([part.flatten() for part in parts])
    assert_close(meta_gradient(rule, squared_error, episode), expected, torch.float64)


@pytest.mark.parametrize("first_order", [False, True])
def test_one_step_on_a_quadratic_has_its_closed_form(first_order):
    """``(I - αA_s)(A_q w - b_q)``; the first order lacks the first factor."""
    generator = torch.Generator().manual_seed(1)
    X_s, X_q = torch.randn(2, 1, 6, 3, generator=generator, dtype=torch.float64)
    y_s, y_q = torch.randn(2, 1, 6, 1, generator=generator, dtype=torch.float64)
    network = nn.Linear(3, 1, bias=False).double()
    rule = GradientSteps(
        network, 3, 1, loss=squared_error, lr=0.1, n_steps=1, first_order=first_order
    )
    ones = torch.ones(1, 6, dtype=torch.float64)
    episode = Episode(X_s, y_s, ones, X_q, y_q, ones, torch.zeros(1, dtype=torch.int64))
    _, found = meta_gradient(rule, squared_error, episode)
    A_s, b_s = 2 / 6 * X_s[0].T @ X_s[0], 2 / 6 * X_s[0].T @ y_s[0]
    A_q, b_q = 2 / 6 * X_q[0].T @ X_q[0], 2 / 6 * X_q[0].T @ y_q[0]
    theta = network.weight.detach().T
    w = theta - 0.1 * (A_s @ theta - b_s)
    expected = A_q @ w - b_q
    if not first_order:
        expected = (torch.eye(3, dtype=torch.float64) - 0.1 * A_s) @ expected
    torch.testing.assert_close(found, expected.flatten(), rtol=1e-10, atol=1e-12)


def test_the_second_order_gradient_is_the_slope_of_the_meta_loss():
    rule = gradient_steps(torch.float64)
    episode = ragged(torch.float64)
    _, found = meta_gradient(rule, squared_error, episode)
    weight = next(rule.parameters())
    with torch.no_grad():
        values = []
        for step in (1e-6, -2e-6):
            weight[0, 0] += step
            values.append(MeanOverTasks(squared_error)(rule(episode), episode))
    slope = (values[0] - values[1]) / 2e-6
    torch.testing.assert_close(found[0], slope, rtol=1e-6, atol=1e-9)


def test_a_task_without_support_is_predicted_from_the_prior():
    rule = gradient_steps(torch.float64)
    X = torch.randn(2, 3, 3, dtype=torch.float64)
    state = rule.adapt(X, torch.randn(2, 3, 2, dtype=torch.float64), torch.zeros(2, 3).double())
    torch.testing.assert_close(rule.predict(X, state), rule.network(X))
    ridge = RidgeSolve(nn.Identity(), 3, alpha=1.0, learn_alpha=False, scale=None).double()
    state = ridge.adapt(X, torch.zeros(2, 3, 2).double(), torch.zeros(2, 3).double())
    assert not ridge.predict(X, state).any()


@pytest.mark.parametrize("n_rows", [3, 20], ids=["dual", "primal"])
def test_ridge_is_scikit_learns(n_rows):
    rng = np.random.default_rng(0)
    F, y = rng.normal(size=(4, n_rows, 6)), rng.normal(size=(4, n_rows, 2))
    penalty = np.array([0.1, 1.0, 5.0, 30.0])
    found = solve_ridge(*(torch.tensor(a) for a in (F, y, penalty))).numpy()
    for task in range(4):
        ridge = Ridge(alpha=penalty[task], fit_intercept=False).fit(F[task], y[task])
        np.testing.assert_allclose(found[task], ridge.coef_.T, rtol=1e-9, atol=1e-11)


def test_ridge_head_does_not_change_when_the_support_comes_twice():
    torch.manual_seed(0)
    rule = RidgeSolve(MLP(3, hidden_layer_sizes=(4,)), 3, alpha=0.5, learn_alpha=True, scale=None)
    rule = rule.double()
    X, y = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 1).double()
    once = rule.adapt(X, y, torch.ones(2, 5).double())["head"]
    twice = rule.adapt(torch.cat([X, X], 1), torch.cat([y, y], 1), torch.ones(2, 10).double())[
        "head"
    ]
    torch.testing.assert_close(once, twice)


def test_ridge_interpolates_without_penalty_and_vanishes_with_a_large_one():
    F, y = torch.randn(1, 3, 8).double(), torch.randn(1, 3, 1).double()
    free = solve_ridge(F, y, torch.full((1,), 1e-10).double())
    torch.testing.assert_close(F @ free, y, rtol=1e-6, atol=1e-6)
    assert solve_ridge(F, y, torch.full((1,), 1e12).double()).abs().max() < 1e-10


@pytest.mark.parametrize("n_rows", [3, 7], ids=["dual", "primal"])
def test_ridge_gradient(n_rows):
    F = torch.randn(2, n_rows, 5, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, n_rows, 1, dtype=torch.float64, requires_grad=True)
    penalty = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(solve_ridge, (F, y, penalty))


def bayes_setting(seed=0, d=4, sizes=(3, 6)):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    prior = Prior(rng.normal(size=d), root @ root.T, 0.3)
    table = TaskTable.from_labels(np.repeat(np.arange(len(sizes)), sizes))
    F, y = rng.normal(size=(sum(sizes), d)), rng.normal(size=(sum(sizes), 1))
    return BayesHead([prior]), prior, table, F, y, rng.normal(size=(5, d))


def test_bayes_head_is_a_gaussian_process():
    """Mean function ``w0'φ``, kernel ``φ'Ωφ``, noise σ²."""
    head, prior, table, F, y, new = bayes_setting()
    root = np.linalg.cholesky(prior.covariance)
    kernel = DotProduct(0.0, "fixed") + WhiteKernel(prior.noise, "fixed")
    effects = head.effects(F, y, table)
    for task in range(table.n_tasks):
        rows = slice(table.offsets[task], table.offsets[task + 1])
        gp = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0)
        gp.fit(F[rows] @ root, y[rows, 0] - F[rows] @ prior.mean)
        mean, std = gp.predict(new @ root, return_std=True)
        codes = np.full(len(new), task)
        found = head.predict(new, effects, codes)[:, 0]
        np.testing.assert_allclose(found, new @ prior.mean + mean, rtol=1e-9)
        variance = head.variance(F, y, table, new, codes)[:, 0]
        np.testing.assert_allclose(variance, std**2, rtol=1e-8)


def test_bayes_head_without_a_learned_prior_is_ridge():
    _, _, table, F, y, new = bayes_setting()
    d, alpha = F.shape[1], 2.5
    head = BayesHead([Prior(np.zeros(d), np.eye(d) * 0.4 / alpha, 0.4)])
    effects = head.effects(F, y, table)
    rows = slice(table.offsets[1], table.offsets[2])
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(F[rows], y[rows, 0])
    found = head.predict(new, effects, np.ones(len(new), dtype=np.int64))[:, 0]
    np.testing.assert_allclose(found, ridge.predict(new), rtol=1e-9)


def test_bayes_head_updates_row_by_row():
    """The posterior after some rows is the prior for the next ones."""
    head, prior, _, F, y, new = bayes_setting(sizes=(6,))
    mean, covariance = prior.mean, prior.covariance
    for row, target in zip(F, y[:, 0], strict=True):
        gain = covariance @ row / (row @ covariance @ row + prior.noise)
        mean = mean + gain * (target - row @ mean)
        covariance = covariance - np.outer(gain, row @ covariance)
    table = TaskTable.single(len(F))
    codes = np.zeros(len(new), dtype=np.int64)
    found = head.predict(new, head.effects(F, y, table), codes)[:, 0]
    np.testing.assert_allclose(found, new @ mean, rtol=1e-8)
    variance = head.variance(F, y, table, new, codes)[:, 0]
    expected = np.einsum("nd,de,ne->n", new, covariance, new) + prior.noise
    np.testing.assert_allclose(variance, expected, rtol=1e-8)


def test_a_learned_bayes_head_does_not_depend_on_how_features_are_mixed():
    rng = np.random.default_rng(0)
    n_tasks, n_rows, d = 60, 12, 3
    W = rng.normal(size=d) + rng.normal(size=(n_tasks, d)) @ rng.normal(size=(d, d))
    F = rng.normal(size=(n_tasks * n_rows, d))
    table = TaskTable.from_labels(np.repeat(np.arange(n_tasks), n_rows))
    codes = np.repeat(np.arange(n_tasks), n_rows)
    y = (np.einsum("nd,nd->n", F, W[codes]) + 0.3 * rng.normal(size=len(F)))[:, None]
    A = rng.normal(size=(d, d))
    heads = W[..., None]
    predictions = []
    for mix in (np.eye(d), A):
        head = BayesHead.learn(F @ mix, y, table, np.linalg.solve(mix, heads))
        effects = head.effects((F @ mix)[:36], y[:36], TaskTable.single(36))
        zeros = np.zeros(20, dtype=np.int64)
        predictions.append(head.predict((F @ mix)[-20:], effects, zeros))
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-8)


def test_class_rows_of_absent_classes_get_no_gradient():
    torch.manual_seed(0)
    rule = JointHeads(nn.Identity(), 3, 6, 2, by_class=True, unit_norm=True).double()
    episode = ragged(torch.float64, classes=True)
    drawn = Episode(**{**vars(episode), "classes": torch.tensor([[0, 2], [2, 5], [0, 5], [5, 2]])})
    MeanOverTasks(cross_entropy)(rule(drawn), drawn).backward()
    touched = rule.heads.grad.abs().sum(dim=1) > 0
    assert touched.tolist() == [True, False, True, False, False, True]


def test_unit_normalised_features_do_not_depend_on_their_scale():
    torch.manual_seed(0)
    body = nn.Linear(3, 4, bias=False).double()
    rule = JointHeads(body, 3, 2, 2, unit_norm=True).double()
    X = torch.randn(5, 3).double()
    before = rule.represent(X)
    with torch.no_grad():
        body.weight.mul_(7.0)
    torch.testing.assert_close(rule.represent(X), before)
