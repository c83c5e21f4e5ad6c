"""SAM steps by the gradient at the worst point nearby."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from _episodes import assert_close, meta_gradient, ragged
from torch import nn

import skmeta
from skmeta import MLP, SAM
from skmeta.inner import Episode, GradientSteps, squared_error

BASES = {
    "Adam": (torch.optim.Adam, {"weight_decay": 0.1}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "SGD": (torch.optim.SGD, {}),
}


def problem(network=None):
    """Return a network, a closure of its loss, and where that was evaluated."""
    torch.manual_seed(0)
    built = MLP(3, 1, hidden_layer_sizes=(4,), activation="tanh").double()
    network = built if network is None else network
    X, y = torch.randn(8, 3).double(), torch.randn(8, 1).double()
    seen = []

    def closure():
        network.zero_grad()
        seen.append(values(network))
        loss = nn.functional.mse_loss(network(X), y)
        loss.backward()
        return loss

    return network, closure, seen


def values(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("base", BASES)
def test_with_radius_zero_it_is_the_base_optimizer(base):
    kind, params = BASES[base]
    ends = []
    for make in (
        lambda weights: SAM(weights, lr=0.05, rho=0.0, base=kind, **params),
        lambda weights: kind(weights, lr=0.05, **params),
    ):
        network, closure, _ = problem()
        optimizer = make(network.parameters())
        losses = [optimizer.step(closure).item() for _ in range(5)]
        ends.append(torch.cat([values(network), torch.tensor(losses).double()]))
    assert torch.equal(*ends)


@pytest.mark.parametrize("rho", [0.05, 2.0])
def test_it_looks_as_far_as_its_radius_and_steps_from_where_it_was(rho):
    network, closure, seen = problem()
    before = values(network)
    SAM(network.parameters(), lr=0.1, rho=rho, base=torch.optim.SGD).step(closure)
    torch.testing.assert_close((seen[1] - seen[0]).norm(), torch.tensor(rho).double())
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
    torch.testing.assert_close(values(network), before - 0.1 * gradient, rtol=0, atol=1e-15)


def test_on_a_quadratic_it_steps_by_its_closed_form():
    """``g + ρ A g / ‖g‖``."""
    torch.manual_seed(0)
    root = torch.randn(3, 3).double()
    A, b = root @ root.T, torch.randn(3).double()
    w = torch.randn(3).double().requires_grad_()
    optimizer = SAM([w], lr=0.1, rho=0.3, base=torch.optim.SGD)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * w @ A @ w - b @ w
        loss.backward()
        return loss

    before = w.detach().clone()
    g = A @ before - b
    loss = optimizer.step(closure)
    torch.testing.assert_close(loss, 0.5 * before @ A @ before - b @ before)
    expected = before - 0.1 * (g + 0.3 * A @ g / g.norm())
    torch.testing.assert_close(w.detach(), expected, rtol=1e-12, atol=1e-14)


def test_at_a_stationary_point_it_stays():
    w = torch.zeros(2, requires_grad=True)
    optimizer = SAM([w], lr=0.1, base=torch.optim.SGD)

    def closure():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert not w.any()


def test_parameters_without_a_gradient_and_groups_of_their_own():
    used, other, unused = (torch.ones(2, requires_grad=True) for _ in range(3))
    optimizer = SAM(
        [{"params": [used, unused]}, {"params": [other], "lr": 0.5, "rho": 0.0}],
        lr=0.1,
        rho=1.0,
        base=torch.optim.SGD,
    )
    seen = []

    def closure():
        optimizer.zero_grad()
        seen.append((used.tolist(), other.tolist()))
        loss = 3 * used.sum() + 4 * other.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert unused.tolist() == [1.0, 1.0]
    torch.testing.assert_close(used.detach(), torch.full((2,), 1 - 0.1 * 3))
    torch.testing.assert_close(other.detach(), torch.full((2,), 1 - 0.5 * 4))
    norm = (2 * 9 + 2 * 16) ** 0.5
    assert seen[1][0] == pytest.approx([1 + 3 / norm] * 2)
    assert seen[1][1] == [1.0, 1.0]


def test_learning_rate_schedules_act_on_it():
    network, closure, _ = problem()
    optimizer = SAM(network.parameters(), lr=0.1, rho=0.0, base=torch.optim.SGD)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    moves = []
    for _ in range(3):
        before = values(network)
        optimizer.step(closure)
        scheduler.step()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
        moves.append((before - values(network)).norm() / gradient.norm())
    torch.testing.assert_close(torch.stack(moves), torch.tensor([0.1, 0.05, 0.025]).double())


@pytest.mark.parametrize("copied", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("base", BASES)
def test_a_copy_goes_on_as_the_original(base, copied):
    kind, params = BASES[base]
    network, closure, _ = problem()
    optimizer = SAM(network.parameters(), lr=0.05, rho=0.1, base=kind, **params)
    for _ in range(3):
        optimizer.step(closure)
    if copied == "state_dict":
        twin = copy.deepcopy(network)
        other = SAM(twin.parameters(), lr=9.0, rho=9.0, base=kind)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    elif copied == "pickle":
        twin, other = pickle.loads(pickle.dumps((network, optimizer)))
    else:
        twin, other = copy.deepcopy((network, optimizer))
    _, twin_closure, _ = problem(twin)
    for _ in range(3):
        optimizer.step(closure)
        other.step(twin_closure)
    assert torch.equal(values(twin), values(network))
    other.param_groups[0]["lr"] = 0.0
    before = values(twin)
    other.step(twin_closure)
    assert torch.equal(values(twin), before)


def test_what_it_cannot_do_is_an_error():
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="rho"):
        SAM([w], rho=-0.1)
    with pytest.raises(ValueError, match="closure"):
        SAM([w]).step()


def test_it_trains_a_learner_and_survives_pickling():
    tasks = skmeta.make_linear_tasks(12, 12, 3, random_state=0)
    model = skmeta.MAMLRegressor(
        optimizer=SAM, max_iter=5, hidden_layer_sizes=(4,), random_state=0
    ).set_params(optimizer__rho=0.1)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    again = pickle.loads(pickle.dumps(model))
    assert again.net_.optimizer_.param_groups[0]["rho"] == 0.1
    assert isinstance(again.net_.optimizer_.base, torch.optim.Adam)


def quadratic_tasks():
    generator = torch.Generator().manual_seed(1)
    X, Q = torch.randn(2, 4, 6, 3, generator=generator, dtype=torch.float64)
    y, t = torch.randn(2, 4, 6, 1, generator=generator, dtype=torch.float64)
    ones = torch.ones(4, 6).double()
    return Episode(X, y, ones, Q, t, ones, torch.arange(4))


@pytest.mark.parametrize("first_order", [False, True])
def test_sharpness_aware_inner_steps_on_a_quadratic_have_their_closed_form(first_order):
    """``w = θ - α (g + ρ A g / ‖g‖)`` and, at second order, its derivative by θ."""
    torch.manual_seed(0)
    network, episode = nn.Linear(3, 1, bias=False).double(), quadratic_tasks()
    rule = GradientSteps(
        network, 3, 1, loss=squared_error, lr=0.1, n_steps=1, radius=0.3, first_order=first_order
    )
    theta, gradients = network.weight.detach()[0], []
    one = torch.eye(3).double()
    for X, y, Q, t in zip(
        episode.support_X, episode.support_y, episode.query_X, episode.query_y, strict=True
    ):
        A, b = X.T @ X / 3, (X.T @ y)[:, 0] / 3
        g = A @ theta - b
        w = theta - 0.1 * (g + 0.3 * A @ g / g.norm())
        by_query = (Q.T @ (Q @ w - t[:, 0])) / 3
        turn = (one - torch.outer(g, g) / g.square().sum()) / g.norm()
        jacobian = one - 0.1 * (A + 0.3 * A @ turn @ A)
        gradients.append(by_query if first_order else jacobian.T @ by_query)
    _, found = meta_gradient(rule, episode)
    expected = torch.stack(gradients).mean(dim=0)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_inner_steps_of_radius_zero_are_maml():
    rules = []
    for radius in ({"radius": 0.0}, {}):
        torch.manual_seed(0)
        network = MLP(3, 2, hidden_layer_sizes=(5,)).double()
        rules.append(GradientSteps(network, 3, 2, loss=squared_error, lr=0.1, n_steps=2, **radius))
    assert_close(*(meta_gradient(rule, ragged()) for rule in rules), 0.0)


def test_a_robust_objective_sees_each_meta_batch_once():
    """Of the two passes, the one at the point itself says which tasks are odd."""
    tasks = skmeta.make_sinusoid_tasks(20, 20, random_state=0)
    seen = []
    for optimizer, params in ((SAM, {"optimizer__rho": 0.0}), (torch.optim.Adam, {})):
        learner = skmeta.RidgeHeadRegressor(optimizer=optimizer, max_iter=30, random_state=0)
        model = skmeta.HeTRoM(learner.set_params(**params), guidance="lognormal")
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
        seen.append((model.thresholds_, model.task_selection_))
    for one, other in zip(*seen, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
