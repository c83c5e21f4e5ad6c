"""Meta-SGD learns the rate of every weight with the initialisation."""

from __future__ import annotations

import pytest
import torch
from _episodes import (
    assert_close,
    descend,
    flat,
    loop_gradient,
    meta_gradient,
    ragged,
    slope,
    tasks_of,
    weights_of,
)
from torch import nn

import skmeta
from skmeta import MLP
from skmeta.inner import Episode, GradientSteps, squared_error


def steps(network=None, learn_lr="weight", **options):
    torch.manual_seed(0)
    if network is None:
        network = MLP(3, 2, hidden_layer_sizes=(5,), activation="tanh").double()
    options = {"lr": (0.005, 0.1), "n_steps": 1, **options}
    n_outputs = list(network.parameters())[-1].shape[0]
    return GradientSteps(network, 3, n_outputs, loss=squared_error, learn_lr=learn_lr, **options)


def n_weights(rule):
    return sum(p.numel() for p in rule.network.parameters())


@pytest.mark.parametrize("n_steps", [1, 3])
def test_with_equal_rates_it_is_maml(n_steps):
    sgd = steps(lr=0.1, n_steps=n_steps)
    maml = steps(lr=0.1, n_steps=n_steps, learn_lr=None)
    value, found = meta_gradient(sgd, ragged())
    assert_close((value, found[: n_weights(sgd)]), meta_gradient(maml, ragged()))


def test_without_rates_it_is_joint_training():
    rule, episode = steps(lr=0.0), ragged()

    def joint(support, query):
        return (rule.network(query[0]) - query[1]).square().mean()

    value, found = meta_gradient(rule, episode)
    expected, by_weights = loop_gradient(rule, episode, joint)
    n = n_weights(rule)
    assert_close((value, found[:n]), (expected, by_weights[:n]))
    assert found[n:].norm() > 0


def test_the_gradient_by_the_rates_is_minus_the_product_of_both_slopes():
    rule, episode = steps(), ragged()
    _, found = meta_gradient(rule, episode)
    network, start, rates = rule.network, weights_of(rule.network), dict(rule.rates())
    products = []
    for support, query in tasks_of(episode):
        by_support = slope(network, start, support)
        adapted = descend(network, start, support, 1, rates)
        by_query = slope(network, adapted, query)
        products.append(-flat(by_support.values()) * flat(by_query.values()))
    expected = torch.stack(products).mean(dim=0)
    torch.testing.assert_close(found[n_weights(rule) :], expected, rtol=1e-10, atol=1e-12)


def test_the_best_rates_of_a_diagonal_quadratic_are_its_inverse_curvatures():
    """Tasks that share ``A = diag(a)`` are solved in one step from anywhere by ``1 / a``."""
    X = torch.diag(torch.tensor([1.0, 2.0, 0.5])).double().expand(4, 3, 3)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 3, 1, generator=generator, dtype=torch.float64)
    ones = torch.ones(4, 3).double()
    episode = Episode(X, y, ones, X, y, ones, torch.arange(4))
    rule = steps(nn.Linear(3, 1, bias=False).double(), lr=0.1)
    curvature = 2 / 3 * X[0].diagonal().square()
    rate = rule.rates.learned[0]
    with torch.no_grad():
        rate.copy_(1 / curvature)
    value, found = meta_gradient(rule, episode)
    assert value < 1e-20
    assert found.norm() < 1e-10
    with torch.no_grad():
        rate.mul_(torch.tensor([1.1, 0.9, 1.0]).double())
    _, found = meta_gradient(rule, episode)
    assert (found[3:5] * torch.tensor([1.0, -1.0]) > 0).all()
    assert abs(found[5]) < 1e-10


@pytest.mark.parametrize("learner", [skmeta.MetaSGDRegressor, skmeta.MetaSGDClassifier])
def test_rates_begin_in_their_range_and_are_learned(learner):
    make = (
        skmeta.make_linear_tasks
        if learner is skmeta.MetaSGDRegressor
        else skmeta.make_classification_tasks
    )
    tasks = make(10, 12, random_state=0)
    params = {"inner_lr": (0.005, 0.1), "hidden_layer_sizes": (6,), "random_state": 0}
    rates = []
    for max_iter in (0, 5):
        model = learner(max_iter=max_iter, **params)
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
        rates.append(flat(model.net_.module_.rates().values()).detach())
    assert 0.005 <= rates[0].min() < rates[0].max() <= 0.1
    assert len(rates[0]) == sum(p.numel() for p in model.net_.module_.network.parameters())
    assert (rates[0] != rates[1]).all()


@pytest.mark.parametrize("inner_lr", [(0.1, 0.01), (0.1,), (-0.1, 0.1), -0.1, {"0": -0.1}])
def test_wrong_rates_are_named(inner_lr):
    tasks = skmeta.make_linear_tasks(6, 12, random_state=0)
    with pytest.raises(ValueError, match="inner_lr"):
        skmeta.MetaSGDRegressor(inner_lr=inner_lr).fit(
            tasks.data, tasks.target, groups=tasks.groups
        )
