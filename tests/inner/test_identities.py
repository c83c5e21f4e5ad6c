"""Inner rules against closed forms and plain loops over tasks, on ragged and masked tasks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _episodes import (
    SIZES,
    TOLERANCE,
    assert_close,
    flat,
    loop_gradient,
    meta_gradient,
    quadratic,
    ragged,
    run,
    tasks_of,
    weights_of,
)
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
    solve_ridge,
    squared_error,
)
from skmeta.multitask._bayes_head import BayesHead
from skmeta.tasks import TaskTable
from skmeta.training import MeanOverTasks

ENGINES = pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])


def gradient_steps(network=None, *, n_features=3, engine="stacked", **options):
    torch.manual_seed(0)
    if network is None:
        network = MLP(n_features, 2, hidden_layer_sizes=(8,), activation="tanh")
    options = {"loss": squared_error, "lr": 0.1, "n_steps": 2, **options}
    n_outputs = list(network.parameters())[-1].shape[0]
    rule = GradientSteps(network.double(), n_features, n_outputs, **options)
    rule.use(engine)
    return rule


def linear_steps(n_features=3, **options):
    network = nn.Linear(n_features, 1, bias=False)
    return gradient_steps(network, n_features=n_features, **options)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("width", [2, 8], ids=["primal and dual", "dual"])
def test_ridge_solve_equals_a_plain_loop(dtype, width):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(width,), activation="tanh").to(dtype)
    rule = RidgeSolve(body, 3, alpha=0.3, learn_alpha=True, scale=2.0).to(dtype)
    episode = ragged(dtype)

    def one_task(support, query):
        X, y = support
        F = torch.cat([body(X), torch.ones_like(X[:, :1])], dim=1)
        gram = F.T @ F + rule.log_alpha.exp() * len(X) * torch.eye(width + 1, dtype=dtype)
        W = torch.linalg.solve(gram, F.T @ y)
        Fq = torch.cat([body(query[0]), torch.ones_like(query[0][:, :1])], dim=1)
        return squared_error(rule.scale * Fq @ W, query[1]).mean()

    found, expected = meta_gradient(rule, episode), loop_gradient(rule, episode, one_task)
    assert_close(found, expected, 1e-4 if dtype is torch.float32 else 1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_joint_heads_equal_a_plain_loop(dtype):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(4,), activation="tanh").to(dtype)
    rule = JointHeads(body, 3, len(SIZES), 2).to(dtype)
    with torch.no_grad():
        rule.heads.normal_()
    episode = ragged(dtype)
    order = iter(range(len(SIZES)))

    def one_task(support, query):
        head = rule.heads[next(order)]
        return squared_error(body(query[0]) @ head[1:] + head[0], query[1]).mean()

    found, expected = meta_gradient(rule, episode), loop_gradient(rule, episode, one_task)
    assert_close(found, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("kind", ["gradient", "ridge", "joint"])
def test_padding_does_not_matter(kind):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(4,)).double()
    rule = {
        "gradient": gradient_steps,
        "ridge": lambda: RidgeSolve(body, 3, alpha=1.0, learn_alpha=True, scale=None).double(),
        "joint": lambda: JointHeads(body, 3, len(SIZES), 2).double(),
    }[kind]()
    episode = ragged()
    empty = dataclasses.replace(
        episode,
        support_X=episode.support_X * episode.support_mask[..., None],
        query_X=episode.query_X * episode.query_mask[..., None],
    )
    assert not torch.equal(empty.support_X, episode.support_X)
    assert_close(meta_gradient(rule, episode), meta_gradient(rule, empty))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("still", [{"n_steps": 0}, {"lr": 0.0}])
def test_without_inner_learning_maml_is_joint_training(first_order, still):
    rule, episode = gradient_steps(first_order=first_order, **still), ragged()

    def joint(support, query):
        return squared_error(rule.network(query[0]), query[1]).mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, joint))


@ENGINES
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_steps_on_a_quadratic_have_their_closed_form(n_steps, first_order, engine):
    """``(I - αA_s)^T (A_q w_T - b_q)``, a factor for each step; the first order has none."""
    rule = linear_steps(n_steps=n_steps, first_order=first_order, engine=engine)
    episode, alpha = ragged(n_outputs=1), 0.1
    expected = []
    for support, query in tasks_of(episode):
        (A_s, b_s), (A_q, b_q) = quadratic(support), quadratic(query)
        w = rule.network.weight.detach()[0]
        for _ in range(n_steps):
            w = w - alpha * (A_s @ w - b_s)
        jacobian = torch.eye(3, dtype=w.dtype) - alpha * A_s
        powers = 0 if first_order else n_steps
        expected.append(torch.linalg.matrix_power(jacobian, powers) @ (A_q @ w - b_q))
    assert_close([meta_gradient(rule, episode)[1]], [torch.stack(expected).mean(dim=0)])


class Linear:
    """A loss without curvature."""

    def __call__(self, predicted, target):
        return (predicted * target).sum(dim=-1)

    def slope(self, predicted, target):
        return target


@ENGINES
def test_without_curvature_the_first_order_is_the_whole_gradient(engine):
    episode = ragged()
    both = [
        meta_gradient(
            gradient_steps(
                nn.Linear(3, 2), loss=Linear(), n_steps=3, first_order=flag, engine=engine
            ),
            episode,
        )
        for flag in (False, True)
    ]
    assert_close(*both)


@ENGINES
@pytest.mark.parametrize("first_order", [False, True])
def test_one_slope_of_each_task_is_learned_as_their_mean_weighted_by_design(first_order, engine):
    """The weight of a task is ``a_q (1 - αa_s)²``, without the square at first order."""
    episode, alpha = ragged(n_features=1, n_outputs=1), 0.1
    slopes = torch.tensor([1.0, -2.0, 0.5, 3.0]).double()
    episode = dataclasses.replace(
        episode,
        support_y=slopes[:, None, None] * episode.support_X * episode.support_mask[..., None],
        query_y=slopes[:, None, None] * episode.query_X * episode.query_mask[..., None],
    )
    sides = [[quadratic(side)[0].item() for side in task] for task in tasks_of(episode)]
    a_s, a_q = torch.tensor(sides, dtype=torch.float64).T
    weights = a_q * (1 - alpha * a_s) ** (1 if first_order else 2)
    rule = linear_steps(1, n_steps=1, first_order=first_order, engine=engine)

    def slope_at(theta):
        with torch.no_grad():
            rule.network.weight.fill_(theta)
        return meta_gradient(rule, episode)[1].abs().item()

    optimum = (weights @ slopes / weights.sum()).item()
    assert slope_at(optimum) < 1e-12
    assert slope_at(slopes.mean().item()) > 1e-3


@ENGINES
def test_one_step_on_the_rows_of_the_query_itself(engine):
    """``(I - αH) ∇L(w)`` for any network."""
    rule, alpha = gradient_steps(n_steps=1, engine=engine), 0.1
    episode = ragged(sizes=[(5, 5)])
    episode = dataclasses.replace(episode, query_X=episode.support_X, query_y=episode.support_y)
    X, y = next(tasks_of(episode))[0]
    start = weights_of(rule.network)
    sizes = [w.numel() for w in start.values()]

    def loss(w):
        parts = torch.split(w, sizes)
        shaped = {n: p.view_as(start[n]) for n, p in zip(start, parts, strict=True)}
        return squared_error(run(rule.network, shaped, X), y).mean()

    theta = flat(start.values()).detach()
    gradient = torch.func.grad(loss)
    H = torch.func.jacrev(gradient)(theta)
    g = gradient(theta - alpha * gradient(theta))
    assert_close([meta_gradient(rule, episode)[1]], [g - alpha * H @ g])


def test_the_second_order_gradient_is_the_slope_of_the_meta_loss():
    rule, episode = gradient_steps(), ragged()
    _, found = meta_gradient(rule, episode)
    weight = next(rule.parameters())
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            weight[0, 0] += step
        values.append(meta_gradient(rule, episode)[0])
    slope = (values[0] - values[1]) / 2e-6
    torch.testing.assert_close(found[0], slope, rtol=1e-6, atol=1e-9)


def test_a_task_without_support_is_predicted_from_the_prior():
    rule = gradient_steps()
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
    episode = ragged(classes=True)
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
