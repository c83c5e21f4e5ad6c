"""Balanced gradients, by closed forms, invariances and a plain loop."""

from __future__ import annotations

import pytest
import torch
from _episodes import flat, ragged, trained
from _meta_gradients import OBJECTIVE, Quadratic, gradient_of, modules, quadratics
from torch import nn

from skmeta.balancing._aggregated import AggregatedGradient
from skmeta.balancing._ntk import NTKGradient
from skmeta.inner import JointHeads, squared_error
from skmeta.training import MeanGradient, MeanOverTasks

CASES = pytest.mark.parametrize("case", modules())
WAYS = pytest.mark.parametrize(
    "make",
    [lambda: NTKGradient(1), lambda: NTKGradient(3), lambda: AggregatedGradient(_longest)],
    ids=["ntk", "splits", "aggregator"],
)


def _longest(jacobian):
    return jacobian[jacobian.norm(dim=1).argmax()]


def _mean(jacobian):
    return jacobian.mean(dim=0)


class Scaled(MeanOverTasks):
    """Task losses times a number of each."""

    def __init__(self, scales):
        super().__init__(squared_error)
        self.scales = scales

    def task_losses(self, predicted, episode):
        return self.scales[episode.tasks] * super().task_losses(predicted, episode)


def ntk(module, episode, n_splits=1, **given):
    """Return the update and the weights."""
    way = NTKGradient(n_splits)
    update, *_ = gradient_of(module, episode, way, **given)
    return update, way.drawn[0][1]


def case_of(name):
    module = modules()[name]
    if isinstance(module, JointHeads):
        nn.init.normal_(module.heads, generator=torch.Generator().manual_seed(0))
    return module


def test_quadratics_have_a_closed_form():
    module, episode = Quadratic(4), quadratics()
    g = episode.query_X @ module.theta.detach() - episode.query_y[..., 0]
    squares = g.square().sum(dim=1)
    weights = (squares.mean() / squares).sqrt()
    update, found = ntk(module, episode)
    torch.testing.assert_close(found, weights)
    torch.testing.assert_close(update, (weights[:, None] * g).mean(dim=0))
    torch.testing.assert_close((weights * g.norm(dim=1)).std() / g.norm(), torch.zeros(()).double())


@pytest.mark.parametrize("case", ["stacked", "first order", "ridge"])
@pytest.mark.parametrize("n_splits", [1, 2])
def test_weights_are_constants_in_differentiation(case, n_splits):
    module, episode = case_of(case), ragged()
    update, weights = ntk(module, episode, n_splits)
    loss = (weights * module.task_losses(episode, OBJECTIVE)).mean()
    expected = torch.autograd.grad(loss, trained(module))
    torch.testing.assert_close(update, flat(expected))


@CASES
def test_equal_gradients_have_equal_weights(case):
    module = case_of(case)
    episode = ragged().take(torch.zeros(4, dtype=torch.int64))
    expected, *_ = gradient_of(module, episode, MeanGradient())
    for n_splits in (1, 3):
        update, weights = ntk(module, episode, n_splits)
        torch.testing.assert_close(weights, torch.ones(4).double())
        torch.testing.assert_close(update, expected)


@CASES
def test_a_loss_times_c_has_its_relative_weight_divided_by_c(case):
    module, episode, scales = case_of(case), ragged(), torch.tensor([1.0, 5, 0.1, 1]).double()
    update, weights = ntk(module, episode)
    scaled, other = ntk(module, episode, objective=Scaled(scales))
    torch.testing.assert_close(other / other[0], weights / weights[0] / scales)
    n_shared = sum(
        p.numel() for name, p in module.named_parameters() if name not in module.own_parameters
    )
    # "heads", the own parameter, comes first.
    one, two = update[-n_shared:], scaled[-n_shared:]
    torch.testing.assert_close(two / two.norm(), one / one.norm())


@pytest.mark.parametrize("n_splits", [2, 4])
@pytest.mark.parametrize("case", ["stacked", "ridge"])
def test_kernels_of_splits_are_those_of_a_plain_loop(case, n_splits):
    module, episode = case_of(case), ragged(sizes=[(4, 3), (1, 5), (6, 1), (2, 8)])
    values = []
    for task in range(4):
        one, rows, n_rows = episode.take(slice(task, task + 1)), [], 0
        for part in range(n_splits):
            mask = one.query_mask.clone()
            mask[0, [row for row in range(mask.shape[1]) if row % n_splits != part]] = 0
            if mask.sum() == 0:
                continue
            n_rows += 1
            parts = (*vars(one).values(),)
            masked = type(one)(*parts[:5], mask, *parts[6:])
            loss = module.task_losses(masked, OBJECTIVE).sum()
            rows.append(flat(torch.autograd.grad(loss, trained(module))))
        G = torch.stack(rows)
        values.append(torch.linalg.eigvalsh(G @ G.T)[-1] / n_rows)
    values = torch.stack(values)
    _, weights = ntk(module, episode, n_splits)
    torch.testing.assert_close(weights, (values.mean() / values).sqrt())


def test_splits_of_like_rows_are_as_good_as_one():
    module, episode = case_of("ridge"), ragged(sizes=[(4, 1), (1, 1), (6, 1)])
    parts = vars(episode) | {
        name: getattr(episode, name).repeat_interleave(4, dim=1)
        for name in ("query_X", "query_y", "query_mask")
    }
    repeated = type(episode)(**parts)
    for n_splits in (1, 2, 4):
        _, weights = ntk(module, repeated, n_splits)
        torch.testing.assert_close(weights, ntk(module, episode)[1])


def test_heads_of_one_task_get_their_plain_gradient():
    module, episode = case_of("heads"), ragged()
    plain, *_ = gradient_of(module, episode, MeanGradient())
    for way in (NTKGradient(1), NTKGradient(2), AggregatedGradient(_longest)):
        found, *_ = gradient_of(module, episode, way)
        n = module.heads.numel()
        torch.testing.assert_close(found[:n], plain[:n])
        assert not torch.allclose(found[n:], plain[n:])


def test_heads_at_0_leave_no_gradient_to_balance():
    module, episode = modules()["heads"], ragged()
    update, weights = ntk(module, episode)
    expected, *_ = gradient_of(module, episode, MeanGradient())
    torch.testing.assert_close(weights, torch.ones(4).double())
    torch.testing.assert_close(update, expected)


@pytest.mark.parametrize(("scale", "weight"), [(0.0, 1.0), (1e-9, 1e4)])
def test_weights_of_tasks_with_hardly_a_gradient_are_bounded(scale, weight):
    module, episode = case_of("ridge"), ragged()
    scales = torch.tensor([1.0, scale, 1, 1]).double()
    _, weights = ntk(module, episode, objective=Scaled(scales))
    torch.testing.assert_close(weights[1], torch.tensor(weight).double())


@CASES
@WAYS
def test_batched_and_looped_gradients_are_the_same(case, make):
    module, episode = case_of(case), ragged()
    way, loop = make(), make()
    loop.batched = False
    found, *_ = gradient_of(module, episode, way)
    expected, *_ = gradient_of(module, episode, loop)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    assert way.batched


@WAYS
@pytest.mark.parametrize("chunk_size", [1, 3])
def test_chunks_change_nothing(chunk_size, make):
    module, episode = case_of("stacked"), ragged()
    whole, *_ = gradient_of(module, episode, make())
    parts, *_ = gradient_of(module, episode, make(), chunk_size=chunk_size)
    torch.testing.assert_close(parts, whole)


@WAYS
def test_tasks_that_do_not_count_are_as_if_not_there(make):
    """But for the heads of their own, which are trained all the same."""
    module, episode = case_of("heads"), ragged()
    module.heads.requires_grad_(False)
    weights = torch.tensor([2.0, 0, 1.5, 0.5]).double()
    kept = weights.nonzero()[:, 0]
    found, loss, _ = gradient_of(module, episode, make(), weights)
    expected, *rest = gradient_of(module, episode.take(kept), make(), weights[kept] * 3 / 4)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(loss, rest[0])


@CASES
@pytest.mark.parametrize("weights", [None, torch.tensor([2.0, 0, 1, 1]).double()])
def test_a_mean_as_aggregator_is_the_plain_gradient(case, weights):
    module, episode = case_of(case), ragged()
    expected, *rest = gradient_of(module, episode, MeanGradient(), weights)
    found, *others = gradient_of(module, episode, AggregatedGradient(_mean), weights)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(others, rest)


def test_an_aggregator_has_to_return_a_number_for_each_parameter():
    with pytest.raises(ValueError, match=r"shape \(4,\) for a Jacobian of shape \(4, 32\)"):
        gradient_of(modules()["stacked"], ragged(), AggregatedGradient(lambda J: J[:, 0]))


def test_losses_that_diverge_go_through():
    module, episode = case_of("ridge"), ragged()
    scales = torch.tensor([1.0, torch.nan, 1, 1]).double()
    for n_splits in (1, 2):
        way = NTKGradient(n_splits)
        way.batched = True
        update, loss, _ = gradient_of(module, episode, way, objective=Scaled(scales))
        assert loss.isnan()
        assert update.isnan().any()
