"""Bootstrapped MAML matches a target that it holds fixed."""

from __future__ import annotations

import pytest
import torch
from _episodes import (
    assert_close,
    descend,
    loop_gradient,
    meta_gradient,
    ragged,
    run,
    weights_of,
)
from torch import nn

import skmeta
from skmeta import MLP
from skmeta.gradient._bootstrapped_maml import _BootstrappedSteps
from skmeta.inner import GradientSteps, cross_entropy, squared_error

ALPHA = 0.1
CLASSES = {True: cross_entropy, False: squared_error}


def bootstrapped(loss=squared_error, matching="predictions", n_target_steps=3, **options):
    torch.manual_seed(0)
    network = MLP(3, 2, hidden_layer_sizes=(5,), activation="tanh").double()
    return _BootstrappedSteps(
        network, 3, 2, loss=loss, matching=matching, n_target_steps=n_target_steps,
        **{"lr": ALPHA, "n_steps": 2, **options},
    )  # fmt: skip


def end_and_target(rule, support, query):
    start = weights_of(rule.network)
    options = {"loss": rule.loss, "max_norm": rule.max_norm}
    end = descend(rule.network, start, support, rule.n_steps, ALPHA, **options)
    target = {name: w.detach().requires_grad_() for name, w in end.items()}
    more = rule.n_target_steps - 1
    target = descend(rule.network, target, support, more, ALPHA, **options)
    target = descend(rule.network, target, query, 1, ALPHA, **options)
    return end, {name: w.detach() for name, w in target.items()}


def half_squares(one, other):
    return 0.5 * sum((one[name] - other[name]).square().sum() for name in one)


@pytest.mark.parametrize("option", [
    {}, {"n_steps": 0}, {"n_target_steps": 1}, {"max_norm": 0.3},
])  # fmt: skip
@pytest.mark.parametrize("matching", ["predictions", "weights"])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
def test_it_is_a_plain_loop_over_tasks(engine, classes, matching, option):
    loss = CLASSES[classes]
    rule = bootstrapped(loss, matching, **option)
    rule.use(engine)

    def one_task(support, query):
        end, target = end_and_target(rule, support, query)
        if matching == "weights":
            return half_squares(end, target)
        found, aim = run(rule.network, end, query[0]), run(rule.network, target, query[0])
        return loss(found, aim.softmax(-1) if classes else aim).mean()

    episode = ragged(classes=classes)
    assert_close(meta_gradient(rule, episode, loss), loop_gradient(rule, episode, one_task))


@pytest.mark.parametrize("classes", CLASSES)
def test_one_target_step_between_weights_is_the_rate_times_maml(classes):
    loss, episode = CLASSES[classes], ragged(classes=classes)
    rule = bootstrapped(loss, "weights", n_target_steps=1)
    maml = GradientSteps(rule.network, 3, 2, loss=loss, lr=ALPHA, n_steps=2)
    found, expected = (meta_gradient(r, episode, loss)[1] for r in (rule, maml))
    assert_close([found], [ALPHA * expected])


@pytest.mark.parametrize("matching", ["predictions", "weights"])
@pytest.mark.parametrize("n_target_steps", [1, 4])
def test_a_target_that_does_not_move_teaches_nothing(matching, n_target_steps, monkeypatch):
    """It starts where the adapted network is, which has moved."""
    rule, episode = bootstrapped(matching=matching, n_target_steps=n_target_steps), ragged()
    given = rule._target
    starts = []

    def standing(weights, episode):
        starts.append(weights)
        with monkeypatch.context() as patch:
            patch.setattr(rule.rates, "fixed", dict.fromkeys(rule.rates.fixed, 0.0))
            return given(weights, episode)

    monkeypatch.setattr(rule, "_target", standing)
    value, found = meta_gradient(rule, episode)
    assert value == 0
    assert not found.any()
    (start,) = starts
    assert all((start[name] != w).any() for name, w in weights_of(rule.network).items())


@pytest.mark.parametrize("matching", ["predictions", "weights"])
def test_no_gradient_passes_through_the_target(matching):
    """With the target given as numbers the gradient is the same."""
    rule, episode = bootstrapped(matching=matching), ragged()
    given = rule._target
    expected = meta_gradient(rule, episode)

    def numbers(weights, episode):
        assert not any(w.requires_grad for w in weights.values())
        found = given(weights, episode)
        return {name: torch.tensor(w.tolist(), dtype=w.dtype) for name, w in found.items()}

    rule._target = numbers
    assert_close(meta_gradient(rule, episode), expected, 0.0)


def test_predictions_of_regression_are_matched_by_their_mean_squared_difference():
    rule, episode = bootstrapped(), ragged()

    def one_task(support, query):
        end, target = end_and_target(rule, support, query)
        return nn.functional.mse_loss(*(run(rule.network, w, query[0]) for w in (end, target)))

    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, one_task))


def test_classifiers_are_matched_by_the_divergence_from_the_target():
    rule, episode = bootstrapped(cross_entropy), ragged(classes=True)

    def divergence(forward):
        def one_task(support, query):
            end, target = end_and_target(rule, support, query)
            q, p = (run(rule.network, w, query[0]).log_softmax(-1) for w in (end, target))
            if forward:
                return (p.exp() * (p - q)).sum(dim=-1).mean()
            return (q.exp() * (q - p)).sum(dim=-1).mean()

        return loop_gradient(rule, episode, one_task)[1]

    _, found = meta_gradient(rule, episode, cross_entropy)
    assert_close([found], [divergence(forward=True)])
    assert (found - divergence(forward=False)).norm() > 1e-3 * found.norm()


def test_absent_classes_have_no_part_in_the_divergence():
    there = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).double()
    rule, episode = bootstrapped(cross_entropy), ragged(classes=True, there=there)
    value, found = meta_gradient(rule, episode, cross_entropy)
    first_two = type(episode)(**{
        name: None if part is None else part[:2] for name, part in vars(episode).items()
    })  # fmt: skip
    expected = meta_gradient(rule, first_two, cross_entropy)
    assert_close((value, found), [part / 2 for part in expected], 1e-9)


@pytest.mark.parametrize("params", [{"n_target_steps": 0}, {"matching": "gradients"}])
def test_wrong_parameters_are_named(params):
    tasks = skmeta.make_linear_tasks(6, 12, random_state=0)
    model = skmeta.BootstrappedMAMLRegressor(**params)
    with pytest.raises(ValueError, match=next(iter(params))):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
