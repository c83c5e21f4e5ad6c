"""Reptile follows plain training on minibatches of each task."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from _episodes import (
    assert_close,
    flat,
    loop_gradient,
    meta_gradient,
    quadratic,
    ragged,
    slope,
    tasks_of,
    weights_of,
)
from skorch.callbacks import Callback
from torch import nn

import skmeta
from skmeta import MLP
from skmeta.gradient._reptile import _MinibatchSteps
from skmeta.inner import Episode, cross_entropy, squared_error
from skmeta.training import MeanOverTasks

ALPHA = 0.1


def reptile(network=None, n_outputs=2, loss=squared_error, **options):
    torch.manual_seed(0)
    if network is None:
        network = MLP(3, n_outputs, hidden_layer_sizes=(5,), activation="tanh")
    options = {"lr": ALPHA, "n_steps": 5, **options}
    return _MinibatchSteps(
        network.double(), 3, n_outputs, loss=loss, first_order=True, **options
    ).double()


def rows_of(task):
    (X, y), (Q, t) = task
    return torch.cat([X, Q]), torch.cat([y, t])


def batches_of(task, size, n_steps):
    """Yield `size` rows after the other; after the last row comes the first."""
    X, y = rows_of(task)
    for number in range(n_steps):
        chosen = [(number * size + i) % len(X) for i in range(min(size, len(X)))]
        yield X[chosen], y[chosen]


def end_of(rule, task, size):
    weights = weights_of(rule.network)
    for rows in batches_of(task, size, rule.n_steps):
        g = slope(rule.network, weights, rows, rule.loss, create_graph=False)
        if rule.max_norm is not None:
            shrink = (rule.max_norm / flat(g.values()).norm()).clamp(max=1.0)
            g = {name: shrink * part for name, part in g.items()}
        weights = {name: w - ALPHA * g[name] for name, w in weights.items()}
    return {name: w.detach() for name, w in weights.items()}


def theta(rule):
    return flat(rule.network.parameters()).detach()


def one_task(n_rows, size, seed=0):
    """Return an episode of one task; minibatches have `size` rows."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(1, n_rows, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(1, n_rows, 1, generator=generator, dtype=torch.float64)
    ones = torch.ones(1, n_rows).double()
    parts = [part[:, :size] for part in (X, y, ones)] + [part[:, size:] for part in (X, y, ones)]
    return Episode(*parts, torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("option", [{}, {"n_steps": 1}, {"n_steps": 12}, {"max_norm": 0.3}])
@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
def test_it_is_a_plain_loop_over_minibatches_of_ragged_tasks(engine, loss, option):
    rule, episode = reptile(loss=loss, **option), ragged(classes=loss is cross_entropy)
    rule.use(engine)
    size = episode.support_X.shape[1]
    ends = [end_of(rule, task, size) for task in tasks_of(episode)]
    value, found = meta_gradient(rule, episode, loss)
    ways = torch.stack([theta(rule) - flat(end.values()) for end in ends])
    losses = []
    for task, end in zip(tasks_of(episode), ends, strict=True):
        X, y = rows_of(task)
        losses.append(loss(torch.func.functional_call(rule.network, end, (X,)), y).mean())
    assert_close((value, found), (torch.stack(losses).mean().detach(), ways.mean(dim=0)))


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_one_step_moves_by_the_mean_gradient(epsilon):
    """``-εα g``, g being the mean over tasks: joint training by SGD."""
    rule, episode = reptile(n_steps=1), ragged()
    size = episode.support_X.shape[1]
    slopes = []
    for task in tasks_of(episode):
        (rows,) = batches_of(task, size, 1)
        slopes.append(flat(slope(rule.network, weights_of(rule.network), rows).values()))
    before = theta(rule)
    MeanOverTasks(squared_error).aggregate(
        rule.task_losses(episode, MeanOverTasks(squared_error))
    ).backward()
    torch.optim.SGD(rule.parameters(), lr=epsilon).step()
    moved = -epsilon * ALPHA * torch.stack(slopes).mean(dim=0)
    torch.testing.assert_close(theta(rule) - before, moved, rtol=1e-10, atol=1e-12)


def test_a_whole_step_towards_one_task_is_plain_training():
    rule, episode = reptile(n_outputs=1), one_task(13, 4)
    plain = copy.deepcopy(rule.network)
    optimizer = torch.optim.SGD(plain.parameters(), lr=ALPHA)
    (task,) = tasks_of(episode)
    for X, y in batches_of(task, 4, 5):
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(X), y).backward()
        optimizer.step()
    rule.task_losses(episode, MeanOverTasks(squared_error)).mean().backward()
    torch.optim.SGD(rule.parameters(), lr=1.0).step()
    expected = flat(plain.parameters()).detach()
    torch.testing.assert_close(theta(rule), expected, rtol=1e-10, atol=1e-12)


def test_two_steps_expand_into_both_gradients_and_their_product():
    """``(θ - w₂) / α = g₁ + g₂ - α H₂ g₁``, exactly so for quadratics."""
    rule = reptile(nn.Linear(3, 1, bias=False), 1, n_steps=2)
    episode = one_task(8, 4)
    _, found = meta_gradient(rule, episode)
    (((X, y), (Q, t)),) = tasks_of(episode)
    (H1, b1), (H2, b2) = quadratic((X, y)), quadratic((Q, t))
    g1, g2 = H1 @ theta(rule) - b1, H2 @ theta(rule) - b2
    expected = g1 + g2 - ALPHA * H2 @ g1
    torch.testing.assert_close(found / ALPHA, expected, rtol=1e-10, atol=1e-12)


def test_the_expansion_of_a_network_is_off_by_the_square_of_the_rate():
    episode = one_task(8, 4)
    errors = []
    for alpha in (1e-2, 1e-3):
        rule = reptile(n_outputs=1, n_steps=2, lr=alpha)
        _, found = meta_gradient(rule, episode)
        ((first, second),) = tasks_of(episode)
        start = weights_of(rule.network)
        g1 = flat(slope(rule.network, start, first).values())
        by_second = slope(rule.network, start, second)
        product = torch.autograd.grad(
            (flat(by_second.values()) * g1.detach()).sum(), list(start.values())
        )
        g2 = flat(by_second.values()).detach()
        errors.append((found / alpha - (g1.detach() + g2 - alpha * flat(product))).norm())
    assert 80 < errors[0] / errors[1] < 120


@pytest.mark.parametrize("n_steps", [1, 4, 25])
def test_full_batches_on_a_quadratic_have_their_closed_form(n_steps):
    """``θ - w = (I - (I - αA)ᵀ) (θ - θ*)``."""
    rule = reptile(nn.Linear(3, 1, bias=False), 1, n_steps=n_steps)
    episode = one_task(7, 7)
    _, found = meta_gradient(rule, episode)
    ((rows, _),) = tasks_of(episode)
    A, b = quadratic(rows)
    one = torch.eye(3).double()
    power = torch.linalg.matrix_power(one - ALPHA * A, n_steps)
    expected = (one - power) @ (theta(rule) - torch.linalg.solve(A, b))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_converged_tasks_pull_towards_the_mean_of_their_optima():
    rule = reptile(nn.Linear(3, 1, bias=False), 1, n_steps=1000, lr=0.3)
    episode = ragged(n_outputs=1, sizes=[(9, 0), (9, 0), (9, 0)])
    _, found = meta_gradient(rule, episode)
    optima = [torch.linalg.solve(*quadratic(rows)) for rows, _ in tasks_of(episode)]
    expected = theta(rule) - torch.stack(optima).mean(dim=0)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_it_needs_no_graph_through_the_steps():
    rule, episode = reptile(), ragged()
    _, found = meta_gradient(rule, episode)

    def half_squares(support, query):
        task = (support, query)
        end = end_of(rule, task, episode.support_X.shape[1])
        return 0.5 * sum((p - end[n]).square().sum() for n, p in weights_of(rule.network).items())

    assert_close([found], [loop_gradient(rule, episode, half_squares)[1]])


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def on_epoch_begin(self, net, **kwargs):
        self.seen.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("learner", [skmeta.ReptileRegressor, skmeta.ReptileClassifier])
def test_the_step_falls_linearly_to_nothing(learner):
    make = (
        skmeta.make_linear_tasks
        if learner is skmeta.ReptileRegressor
        else skmeta.make_classification_tasks
    )
    tasks = make(6, 14, random_state=0)
    rates = Rates()
    model = learner(max_iter=20, lr=0.4, callbacks=[("rates", rates)], random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    np.testing.assert_allclose(rates.seen, 0.4 * (1 - np.arange(20) / 20))


def test_in_use_every_step_sees_the_whole_support():
    rule = reptile(n_steps=3).eval()
    episode = ragged()
    with torch.no_grad():
        state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    for task, (support, query) in enumerate(tasks_of(episode)):
        nothing = query[0][:0], query[1][:0]
        end = end_of(rule, (support, nothing), len(support[0]))
        for name, weight in end.items():
            torch.testing.assert_close(state[name][task], weight, rtol=1e-10, atol=1e-12)
