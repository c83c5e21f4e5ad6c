"""The implicit meta-gradient is that of the proximal solution, however it was found."""

from __future__ import annotations

import pytest
import torch
from _episodes import (
    assert_close,
    loop_gradient,
    meta_gradient,
    quadratic,
    ragged,
    run,
    slope,
    tasks_of,
    weights_of,
)
from torch import nn

import skmeta
from skmeta import MLP
from skmeta.gradient._imaml import _conjugate_gradients, _ImplicitSteps
from skmeta.inner import ProximalSteps, cross_entropy, squared_error

SIZES = [(6, 3), (9, 5), (12, 2)]
ONE = torch.eye(3, dtype=torch.float64)


def implicit(network=None, n_outputs=2, loss=squared_error, **options):
    torch.manual_seed(0)
    if network is None:
        network = MLP(3, n_outputs, hidden_layer_sizes=(5,), activation="tanh")
    options = {
        "alpha": 2.0, "lr": 0.2, "n_steps": 300,
        "cg_steps": 60, "cg_tol": 0.0, "damping": 0.0, **options,
    }  # fmt: skip
    return _ImplicitSteps(network.double(), 3, n_outputs, loss=loss, **options)


def linear(**options):
    """Return the rule of a linear network, and tasks that are quadratics in its weight."""
    rule = implicit(nn.Linear(3, 1, bias=False), 1, **options)
    return rule, ragged(n_outputs=1, sizes=SIZES)


def mean_over_tasks(rule, episode, of_quadratics):
    """Average a function of the support's A, b, the query's A, b, and θ."""
    theta = rule.network.weight.detach()[0]
    parts = [of_quadratics(*quadratic(s), *quadratic(q), theta) for s, q in tasks_of(episode)]
    return torch.stack(parts).mean(dim=0)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_on_quadratics_it_has_its_closed_form(alpha):
    rule, episode = linear(alpha=alpha)

    def closed(A, b, A_q, b_q, theta):
        w = torch.linalg.solve(A + alpha * ONE, b + alpha * theta)
        return torch.linalg.solve(ONE + A / alpha, A_q @ w - b_q)

    _, found = meta_gradient(rule, episode)
    expected = mean_over_tasks(rule, episode, closed)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_on_quadratics_it_is_the_slope_of_the_solutions_loss():
    rule, episode = linear()
    _, found = meta_gradient(rule, episode)
    weight = rule.network.weight
    for at in range(3):
        values = []
        for change in (1e-5, -2e-5):
            with torch.no_grad():
                weight[0, at] += change
            values.append(meta_gradient(rule, episode)[0])
        with torch.no_grad():
            weight[0, at] += 1e-5
        difference = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close(found[at], difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_for_ridge_it_is_the_derivative_of_the_closed_form(alpha):
    rule, episode = linear(alpha=alpha)

    def one_task(support, query):
        A, b = quadratic(support)
        w = torch.linalg.solve(A + alpha * ONE, b + alpha * rule.network.weight[0])
        return (query[0] @ w[:, None] - query[1]).square().mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, one_task))


@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
def test_it_is_the_gradient_through_the_whole_path_once_that_has_converged(engine, loss):
    rule = implicit(loss=loss)
    unrolled = ProximalSteps(rule.network, 3, 2, loss=loss, alpha=2.0, lr=0.2, n_steps=300)
    rule.use(engine)
    episode = ragged(classes=loss is cross_entropy)
    assert_close(meta_gradient(rule, episode, loss), meta_gradient(unrolled, episode, loss), 1e-8)


def test_tasks_of_any_size_are_solved_by_themselves():
    rule, episode = implicit(), ragged()

    def one_task(support, query):
        start = weights_of(rule.network)
        with torch.no_grad():
            state = rule.adapt(support[0][None], support[1][None], torch.ones(1, len(support[0])))
        w = {name: state[name][0].requires_grad_() for name in start}
        by_query = slope(rule.network, w, query, create_graph=False)
        size = sum(p.numel() for p in w.values())
        by_support = torch.cat([p.flatten() for p in slope(rule.network, w, support).values()])
        rows = [
            torch.autograd.grad(by_support[i], list(w.values()), retain_graph=True)
            for i in range(size)
        ]
        H = torch.stack([torch.cat([p.flatten() for p in row]) for row in rows])
        v = torch.cat([p.flatten() for p in by_query.values()])
        g = torch.linalg.solve(torch.eye(size).double() + H / rule.alpha, v)
        loss = squared_error(run(rule.network, w, query[0]), query[1]).mean().detach()
        theta = torch.cat([p.flatten() for p in start.values()])
        return loss + (g * (theta - theta.detach())).sum()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, one_task), 1e-8)


def test_a_strong_pull_is_joint_training():
    rule, episode = implicit(alpha=1e9, lr=1e-9, n_steps=2), ragged()

    def joint(support, query):
        return (rule.network(query[0]) - query[1]).square().mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, joint), 1e-7)


def test_a_weak_pull_forgets_where_steps_began():
    sizes = []
    for alpha in (1e-3, 1e-5):
        rule, episode = linear(alpha=alpha, n_steps=2000)
        sizes.append(meta_gradient(rule, episode)[1].norm())
    assert 0 < sizes[1] < 1e-3
    assert 50 < sizes[0] / sizes[1] < 200


@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_damping_is_added_to_the_identity(damping):
    rule, episode = linear(damping=damping)

    def closed(A, b, A_q, b_q, theta):
        w = torch.linalg.solve(A + 2 * ONE, b + 2 * theta)
        return torch.linalg.solve((1 + damping) * ONE + A / 2, A_q @ w - b_q)

    _, found = meta_gradient(rule, episode)
    expected = mean_over_tasks(rule, episode, closed)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_as_many_conjugate_gradients_as_weights_solve_the_system():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 5, 5, generator=generator, dtype=torch.float64)
    A, b = root @ root.mT + torch.eye(5).double(), torch.randn(4, 5, generator=generator).double()

    def system(x):
        return (A @ x[..., None])[..., 0]

    expected = torch.linalg.solve(A, b)
    found = _conjugate_gradients(system, b, 5, 0.0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(_conjugate_gradients(system, b, 50, 1e-12), expected)
    assert not torch.allclose(_conjugate_gradients(system, b, 4, 0.0), expected)


def test_each_system_stops_by_its_own_residual():
    """A solved task is left as it is while others go on; no residual, no step."""
    A = torch.tensor([[1.0, 1.0, 1.0], [1.0, 10.0, 100.0], [1.0, 2.0, 3.0]]).double()
    b = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]).double()
    found = _conjugate_gradients(lambda x: A * x, b, 3, 1e-10)
    torch.testing.assert_close(found, b / A)
    alone = _conjugate_gradients(lambda x: A[:1] * x, b[:1], 1, 1e-10)
    torch.testing.assert_close(found[:1], alone, rtol=0, atol=0)


def test_a_curvature_that_has_no_minimum_ends_the_search():
    A = torch.tensor([[1.0, -5.0], [1.0, 2.0]]).double()
    b = torch.ones(2, 2).double()
    found = _conjugate_gradients(lambda x: A * x, b, 10, 1e-10)
    assert found.isfinite().all()
    torch.testing.assert_close(found[1], b[1] / A[1])


def test_a_task_without_support_trains_the_initialisation():
    rule, episode = implicit(), ragged(sizes=[(0, 4)])

    def joint(support, query):
        return (rule.network(query[0]) - query[1]).square().mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, joint))


def test_adaptation_solves_the_problem_of_training():
    rule, episode = linear()
    rule.eval()
    with torch.no_grad():
        state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    for task, (support, _) in enumerate(tasks_of(episode)):
        A, b = quadratic(support)
        w = torch.linalg.solve(A + 2 * ONE, b + 2 * rule.network.weight.detach()[0])
        torch.testing.assert_close(state["weight"][task, 0], w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("params", [
    {"alpha": 0.0}, {"cg_steps": -1}, {"cg_tol": -1.0}, {"damping": -0.1}, {"compile": True},
])  # fmt: skip
def test_wrong_parameters_are_named(params):
    tasks = skmeta.make_linear_tasks(6, 12, random_state=0)
    with pytest.raises(ValueError, match=next(iter(params))):
        skmeta.IMAMLRegressor(**params).fit(tasks.data, tasks.target, groups=tasks.groups)
