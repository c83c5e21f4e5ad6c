"""CAVIA adapts a context that all tasks' one network reads."""

from __future__ import annotations

import copy

import pytest
import torch
from _episodes import (
    assert_close,
    flat,
    loop_gradient,
    meta_gradient,
    ragged,
    tasks_of,
)
from torch import nn

import skmeta
from skmeta import MLP
from skmeta.gradient._anil import _HeadSteps
from skmeta.gradient._cavia import _ContextSteps
from skmeta.inner import cross_entropy, squared_error

N_CONTEXT = 4


def cavia(network=None, loss=squared_error, n_context=N_CONTEXT, **options):
    torch.manual_seed(0)
    if network is None:
        network = MLP(3 + n_context, 2, hidden_layer_sizes=(5,), activation="tanh")
    options = {"lr": 0.5, "n_steps": 2, **options}
    return _ContextSteps(network.double(), 3, 2, loss=loss, n_context=n_context, **options)


def predict(rule, context, X):
    return rule.network(torch.cat([X, context.expand(len(X), -1)], dim=1))


def context_of(rule, support, loss=squared_error):
    context = torch.zeros(rule.n_context, dtype=torch.float64, requires_grad=True)
    rate = rule.rates()["context"]
    for _ in range(rule.n_steps):
        value = loss(predict(rule, context, support[0]), support[1]).mean()
        (g,) = torch.autograd.grad(value, context, create_graph=True)
        if rule.max_norm is not None:
            g = g * (rule.max_norm / g.norm()).clamp(max=1.0)
        context = context - rate * (g.detach() if rule.first_order else g)
    return context


@pytest.mark.parametrize("option", [
    {}, {"n_steps": 3}, {"first_order": True}, {"max_norm": 0.1}, {"learn_lr": "layer"},
])  # fmt: skip
@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
def test_it_is_a_plain_loop_over_tasks(loss, option):
    rule, episode = cavia(loss=loss, **option), ragged(classes=loss is cross_entropy)

    def one_task(support, query):
        return loss(predict(rule, context_of(rule, support, loss), query[0]), query[1]).mean()

    assert_close(meta_gradient(rule, episode, loss), loop_gradient(rule, episode, one_task))


@pytest.mark.parametrize("still", [{"n_steps": 0}, {"lr": 0.0}, {"n_context": 0}])
@pytest.mark.parametrize("first_order", [False, True])
def test_without_a_context_it_is_joint_training(still, first_order):
    rule, episode = cavia(first_order=first_order, **still), ragged()

    def joint(support, query):
        nothing = torch.zeros(rule.n_context).double()
        return (predict(rule, nothing, query[0]) - query[1]).square().mean()

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, joint))


@pytest.mark.parametrize("first_order", [False, True])
def test_a_context_that_is_added_to_the_output_is_anil_on_the_bias(first_order):
    torch.manual_seed(0)
    network = nn.Linear(3 + 2, 2).double()
    with torch.no_grad():
        network.weight[:, 3:] = torch.eye(2)
    rule = cavia(network, n_context=2, first_order=first_order)
    anil = _HeadSteps(
        nn.Identity(), 3, 2, loss=squared_error, lr={"bias": 0.5}, n_steps=2,
        first_order=first_order,
    ).double()  # fmt: skip
    with torch.no_grad():
        anil.head.network.weight.copy_(network.weight[:, :3])
        anil.head.network.bias.copy_(network.bias)
    value, found = meta_gradient(rule, ragged())
    of_rows = found[:10].view(2, 5)[:, :3].flatten()
    assert_close((value, torch.cat([of_rows, found[10:]])), meta_gradient(anil, ragged()))


def test_the_order_of_the_context_does_not_matter():
    rule, episode = cavia(), ragged()
    mixed = copy.deepcopy(rule)
    order = torch.tensor([2, 0, 3, 1])
    columns = torch.cat([torch.arange(3), 3 + order])
    with torch.no_grad():
        mixed.network[0].weight.copy_(rule.network[0].weight[:, columns])
    value, found = meta_gradient(rule, episode)
    first, rest = found[: 5 * 7].view(5, 7)[:, columns].flatten(), found[5 * 7 :]
    assert_close(meta_gradient(mixed, episode), (value, torch.cat([first, rest])))
    support = episode.support_X, episode.support_y, episode.support_mask
    with torch.no_grad():
        one, other = (r.eval().adapt(*support)["context"] for r in (rule, mixed))
    torch.testing.assert_close(other, one[:, order], rtol=1e-12, atol=1e-14)


def test_adaptation_keeps_the_context_alone():
    rule, episode = cavia().eval(), ragged()
    with torch.no_grad():
        state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    assert set(state) == {"context", "n_steps"}
    for task, (support, query) in enumerate(tasks_of(episode)):
        context = context_of(rule, support).detach()
        torch.testing.assert_close(state["context"][task], context, rtol=1e-10, atol=1e-12)
        with torch.no_grad():
            found = rule.predict(episode.query_X, state)[task][: len(query[0])]
        torch.testing.assert_close(found, predict(rule, context, query[0]).detach())


def test_the_network_stays_as_it_was():
    tasks = skmeta.make_linear_tasks(12, 20, random_state=0)
    model = skmeta.CAVIARegressor(max_iter=3, n_context=3, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    before = flat(model.net_.module_.parameters()).detach().clone()
    adapted = model.adapt(tasks.data[:9], tasks.target[:9])
    assert torch.equal(flat(adapted.net_.module_.parameters()), before)
    assert adapted._state["context"].shape[1] == 3
    assert model.net_.module_.bytes_per_task == 3 * 8


def test_an_unknown_task_has_the_context_zero():
    tasks = skmeta.make_linear_tasks(12, 20, 3, random_state=0)
    model = skmeta.CAVIARegressor(max_iter=3, n_context=2, normalize_y=False, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    with pytest.warns(skmeta.exceptions.UnseenTaskWarning):
        found = model.predict(tasks.data[:5], groups=["new"] * 5)
    rows = torch.cat([torch.tensor(tasks.data[:5]), torch.zeros(5, 2)], dim=1)
    expected = model.net_.module_.network(rows).detach()[:, 0]
    torch.testing.assert_close(torch.tensor(found), expected)


def test_a_negative_length_is_named():
    tasks = skmeta.make_linear_tasks(6, 12, random_state=0)
    with pytest.raises(ValueError, match="n_context"):
        skmeta.CAVIARegressor(n_context=-1).fit(tasks.data, tasks.target, groups=tasks.groups)
