"""ANIL is MAML of a linear model on features, which it learns through the steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from _episodes import (
    assert_close,
    descend,
    loop_gradient,
    meta_gradient,
    ragged,
    run,
    tasks_of,
    weights_of,
)
from torch import nn

import skmeta
from skmeta import MLP
from skmeta.gradient._anil import _HeadSteps
from skmeta.inner import GradientSteps, cross_entropy, squared_error

OPTIONS = {
    "plain": {},
    "three steps": {"n_steps": 3},
    "first order": {"first_order": True},
    "learned rates": {"learn_lr": "layer"},
    "clipped": {"max_norm": 0.5},
    "bias alone": {"lr": {"bias": 0.1}},
}


def anil(body=None, loss=squared_error, **options):
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(5,), activation="tanh") if body is None else body
    options = {"lr": 0.1, "n_steps": 2, **options}
    return _HeadSteps(body, 3, 2, loss=loss, **options).double()


def expected_gradient(rule, episode, loss=squared_error):
    head = rule.head

    def one_task(support, query):
        rows = rule.body(support[0]), support[1]
        adapted = descend(
            head.network,
            weights_of(head.network),
            rows,
            head.n_steps,
            dict(head.rates()),
            loss=loss,
            first_order=head.first_order,
            max_norm=head.max_norm,
        )
        return loss(run(head.network, adapted, rule.body(query[0])), query[1]).mean()

    return loop_gradient(rule, episode, one_task)


@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
@pytest.mark.parametrize("option", OPTIONS)
def test_it_is_a_plain_loop_over_tasks(option, loss):
    rule = anil(loss=loss, **OPTIONS[option])
    episode = ragged(classes=loss is cross_entropy)
    assert_close(meta_gradient(rule, episode, loss), expected_gradient(rule, episode, loss))


@pytest.mark.parametrize("still", [{"n_steps": 0}, {"lr": 0.0}, {"lr": 0.0, "learn_lr": "layer"}])
@pytest.mark.parametrize("first_order", [False, True])
def test_without_steps_it_is_joint_training(still, first_order):
    rule, episode = anil(first_order=first_order, **still), ragged()

    def joint(support, query):
        return (rule.head.network(rule.body(query[0])) - query[1]).square().mean()

    value, found = meta_gradient(rule, episode)
    expected, slope = loop_gradient(rule, episode, joint)
    of_weights = sum(p.numel() for p in [*rule.body.parameters(), *rule.head.network.parameters()])
    assert_close((value, found[:of_weights]), (expected, slope[:of_weights]))


@pytest.mark.parametrize("first_order", [False, True])
def test_without_a_body_to_learn_it_is_maml(first_order):
    rule = anil(nn.Identity(), first_order=first_order)
    linear = copy.deepcopy(rule.head.network)
    maml = GradientSteps(
        linear, 3, 2, loss=squared_error, lr=0.1, n_steps=2, first_order=first_order
    )
    assert_close(meta_gradient(rule, ragged()), meta_gradient(maml, ragged()))


def test_with_a_frozen_body_it_is_maml_of_a_linear_model():
    rule, episode = anil(), ragged()
    rule.body.requires_grad_(False)
    features = {
        f"{side}_X": rule.body(getattr(episode, f"{side}_X")) for side in ("support", "query")
    }
    linear = copy.deepcopy(rule.head.network)
    maml = GradientSteps(linear, 5, 2, loss=squared_error, lr=0.1, n_steps=2)
    on_features = type(episode)(**{**vars(episode), **features})
    assert_close(meta_gradient(rule, episode), meta_gradient(maml, on_features))


def test_many_steps_find_the_least_squares_head():
    rule = anil(MLP(3, hidden_layer_sizes=(2,), activation="tanh"), lr=0.5).eval()
    rule.head.n_adapt_steps = 3000
    episode = ragged(sizes=[(12, 1), (9, 1), (7, 1)])
    with torch.no_grad():
        state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
        for task, ((X, y), _) in enumerate(tasks_of(episode)):
            F = torch.cat([rule.body(X), torch.ones(len(X), 1).double()], dim=1)
            head = torch.linalg.lstsq(F, y).solution
            torch.testing.assert_close(state["weight"][task].T, head[:-1], rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(state["bias"][task], head[-1], rtol=1e-6, atol=1e-8)


def test_many_steps_have_the_gradient_of_the_least_squares_head():
    """The hyper-gradient of bilevel programming: it does not depend on where steps begin."""
    rule = anil(nn.Linear(3, 2), lr=0.3, n_steps=600)
    nn.init.orthogonal_(rule.body.weight)
    episode = ragged(sizes=[(30, 4), (20, 3)])

    def closed(support, query):
        F, Q = (
            torch.cat([rule.body(X), torch.ones(len(X), 1).double()], dim=1)
            for X in (support[0], query[0])
        )
        head = torch.linalg.solve(F.T @ F, F.T @ support[1])
        return (Q @ head - query[1]).square().mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, closed))


@pytest.mark.parametrize("learner", [skmeta.ANILRegressor, skmeta.ANILClassifier])
def test_adaptation_leaves_the_body_as_it_was(learner):
    make = (
        skmeta.make_linear_tasks
        if learner is skmeta.ANILRegressor
        else skmeta.make_classification_tasks
    )
    tasks = make(12, 20, random_state=0)
    model = learner(max_iter=3, n_inner_steps=2, inner_lr=0.1, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    before = copy.deepcopy(model.net_.module_.state_dict())
    features = model.transform(tasks.data)
    adapted = model.adapt(tasks.data[:9], tasks.target[:9])
    for name, value in adapted.net_.module_.state_dict().items():
        assert torch.equal(value, before[name])
    np.testing.assert_array_equal(adapted.transform(tasks.data), features)
    assert set(adapted._state) - {"ways"} == {"weight", "bias", "n_steps"}


def test_the_body_learns_from_the_support_too():
    """Through the steps of the head, even where the query alone would not reach it."""
    rule, episode = anil(lr=0.1), ragged()
    _, second = meta_gradient(rule, episode)
    rule.head.first_order = True
    _, first = meta_gradient(rule, episode)
    of_body = sum(p.numel() for p in rule.body.parameters())
    assert (second - first)[:of_body].norm() > 1e-3 * second.norm()
