"""The meta-gradient of the proximal envelope is the pull at its solution."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from _episodes import (
    assert_close,
    descend,
    flat,
    loop_gradient,
    meta_gradient,
    quadratic,
    ragged,
    run,
    tasks_of,
    weights_of,
)
from sklearn.linear_model import Ridge
from torch import nn

from skmeta import MLP
from skmeta.gradient._minibatch_prox import _Envelope
from skmeta.gradient._reptile import _MinibatchSteps
from skmeta.inner import cross_entropy, squared_error
from skmeta.training import MeanOverTasks

LAMBDA = 2.0
SIZES = [(6, 3), (9, 5), (12, 2)]
ONE = torch.eye(3, dtype=torch.float64)


def prox(network=None, n_outputs=2, loss=squared_error, **options):
    torch.manual_seed(0)
    if network is None:
        network = MLP(3, n_outputs, hidden_layer_sizes=(5,), activation="tanh")
    options = {"alpha": LAMBDA, "lr": 0.1, "n_steps": 4, **options}
    return _Envelope(network.double(), 3, n_outputs, loss=loss, first_order=True, **options)


def linear(**options):
    rule = prox(nn.Linear(3, 1, bias=False), 1, **{"n_steps": 400, "lr": 0.2, **options})
    return rule, ragged(n_outputs=1, sizes=SIZES)


def rows_of(task):
    (X, y), (Q, t) = task
    return torch.cat([X, Q]), torch.cat([y, t])


def theta(rule):
    return flat(rule.network.parameters()).detach()


def solutions(rule, episode):
    """Return ``argmin_w L(w) + λ/2 ‖w - θ‖²`` of quadratic tasks."""
    quadratics = [quadratic(rows_of(task)) for task in tasks_of(episode)]
    pulls = rule.alpha * ONE, rule.alpha * theta(rule)
    return torch.stack([torch.linalg.solve(A + pulls[0], b + pulls[1]) for A, b in quadratics])


@pytest.mark.parametrize("option", [{}, {"n_steps": 0}, {"alpha": 0.0}, {"max_norm": 0.3}])
@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
def test_it_is_a_plain_loop_over_tasks(engine, loss, option):
    """Also before the steps have converged: w is held fixed."""
    rule, episode = prox(loss=loss, **option), ragged(classes=loss is cross_entropy)
    rule.use(engine)

    def one_task(*task):
        X, y = rows_of(task)
        start = weights_of(rule.network)
        end = descend(
            rule.network, start, (X, y), rule.n_steps, 0.1,
            loss=loss, pull=rule.alpha, max_norm=rule.max_norm,
        )  # fmt: skip
        end = {name: w.detach() for name, w in end.items()}
        way = sum((w - start[name]).square().sum() for name, w in end.items())
        return loss(run(rule.network, end, X), y).mean() + rule.alpha / 2 * way

    assert_close(meta_gradient(rule, episode, loss), loop_gradient(rule, episode, one_task))


def test_the_gradient_is_the_pull_at_the_solution():
    rule, episode = linear()
    _, found = meta_gradient(rule, episode)
    expected = LAMBDA * (theta(rule) - solutions(rule, episode).mean(dim=0))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_gradient_is_the_slope_of_the_envelope():
    rule, episode = prox(n_steps=300), ragged()
    _, found = meta_gradient(rule, episode)
    first = next(rule.network.parameters()).data.view(-1)
    values = []
    for change in (1e-5, -2e-5):
        first[0] += change
        values.append(meta_gradient(rule, episode)[0])
    difference = (values[0] - values[1]) / 2e-5
    torch.testing.assert_close(found[0], difference, rtol=1e-6, atol=1e-9)


def test_a_strong_pull_is_joint_training():
    rule, episode = prox(alpha=1e8, lr=1e-8, n_steps=2), ragged()

    def joint(*task):
        X, y = rows_of(task)
        return (rule.network(X) - y).square().mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, joint), 1e-6)


def test_a_step_of_one_over_the_pull_ends_at_the_mean_solution():
    rule, episode = linear()
    expected = solutions(rule, episode).mean(dim=0)
    objective = MeanOverTasks(squared_error)
    objective.aggregate(rule.task_losses(episode, objective)).backward()
    torch.optim.SGD(rule.parameters(), lr=1 / LAMBDA).step()
    torch.testing.assert_close(theta(rule), expected, rtol=1e-10, atol=1e-12)


def test_without_a_pull_tasks_go_where_reptiles_go():
    free = prox(alpha=0.0, n_steps=5)
    reptile = _MinibatchSteps(
        copy.deepcopy(free.network), 3, 2, loss=squared_error, first_order=True, lr=0.1, n_steps=5
    )
    episode = ragged(sizes=[(7, 0), (7, 0), (7, 0)])
    way = meta_gradient(reptile, episode)[1]
    with torch.no_grad():
        state = free.adapt(episode.support_X, episode.support_y, episode.support_mask)
    ends = torch.cat([state[n].flatten(1) for n in weights_of(free.network)], dim=1)
    torch.testing.assert_close(theta(free) - ends.mean(dim=0), way, rtol=1e-10, atol=1e-12)


def test_a_linear_network_is_ridge_shrunk_to_a_centre():
    rule, episode = linear()
    rule.eval()
    with torch.no_grad():
        state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    centre = rule.network.weight.detach().numpy()[0]
    for task, ((X, y), _) in enumerate(tasks_of(episode)):
        residual = y.numpy()[:, 0] - X.numpy() @ centre
        ridge = Ridge(alpha=LAMBDA * len(X) / 2, fit_intercept=False).fit(X.numpy(), residual)
        found = state["weight"][task, 0].numpy()
        np.testing.assert_allclose(found, centre + ridge.coef_, rtol=1e-9, atol=1e-11)
