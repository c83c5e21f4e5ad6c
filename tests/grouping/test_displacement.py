"""Displaced gradients, by closed forms and against plain differentiation."""

from __future__ import annotations

import pytest
import torch
from _episodes import ragged
from _meta_gradients import OBJECTIVE, Quadratic, gradient_of, modules, quadratics
from torch import nn

from skmeta.grouping._displacement import DisplacedGradient
from skmeta.training import MeanGradient, TaskGradients


@pytest.mark.parametrize("weights", [None, torch.tensor([2.0, 0, 1, 1, 0, 2]).double()])
def test_a_quadratic_has_a_closed_form(weights):
    module, episode, beta = Quadratic(4), quadratics(), 0.3
    A, b, theta = episode.query_X, episode.query_y[..., 0], module.theta.detach()
    w = torch.ones(6).double() if weights is None else weights
    g = A @ theta - b
    mean = (w[:, None] * g).mean(dim=0)
    curved = torch.einsum("tij,tj->ti", A, g - mean)
    expected = mean + beta * (w[:, None] * curved).mean(dim=0)
    found, loss, losses = gradient_of(module, episode, DisplacedGradient(beta), weights)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(loss, (w * losses).mean())


@pytest.mark.parametrize(("detach", "factor"), [(True, 0.5), (False, 1.0)])
@pytest.mark.parametrize("case", ["stacked", "ridge"])
def test_it_penalises_the_variance_of_gradients(case, detach, factor):
    """``∇[mean ℓ + factor β tr Cov(g)] + O(β²)``, the penalty by finite differences."""
    module, episode = modules()[case], ragged()
    parameters, h = list(module.parameters()), 1e-6
    theta = nn.utils.parameters_to_vector(parameters).detach()
    random = torch.Generator().manual_seed(0)
    directions = torch.randn(8, len(theta), dtype=theta.dtype, generator=random)

    def variance(theta):
        nn.utils.vector_to_parameters(theta, parameters)
        way = DisplacedGradient(0.0)
        gradient_of(module, episode, way)
        return way.variances[0]

    ends = [[variance(theta + sign * h * d) for sign in (1, -1)] for d in directions]
    penalty = torch.stack([(above - below) / (2 * h) for above, below in ends])
    nn.utils.vector_to_parameters(theta, parameters)
    plain, *_ = gradient_of(module, episode, MeanGradient())
    errors = []
    for beta in (1e-4, 1e-5):
        found, *_ = gradient_of(module, episode, DisplacedGradient(beta, detach=detach))
        error = directions @ ((found - plain) / beta) - factor * penalty
        errors.append(error.norm() / penalty.norm())
    assert errors[1] < 1e-3
    assert errors[1] < 0.2 * errors[0] + 1e-5  # it falls as β does


@pytest.mark.parametrize("case", modules())
def test_without_displacement_it_is_the_plain_gradient(case):
    module, episode = modules()[case], ragged()
    expected, loss, losses = gradient_of(module, episode, MeanGradient())
    found, *rest = gradient_of(module, episode, DisplacedGradient(0.0))
    assert torch.equal(found, expected)
    torch.testing.assert_close(rest, [loss, losses])
    nearly, *_ = gradient_of(module, episode, DisplacedGradient(1e-12))
    torch.testing.assert_close(nearly, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("case", modules())
@pytest.mark.parametrize("detach", [True, False])
def test_batched_and_looped_gradients_are_the_same(case, detach):
    module, episode = modules()[case], ragged()
    way, loop = (DisplacedGradient(0.1, detach=detach) for _ in range(2))
    loop.batched = False
    found, *_ = gradient_of(module, episode, way)
    expected, *_ = gradient_of(module, episode, loop)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(way.variances[0], loop.variances[0])
    assert way.batched or (case == "wrong under vmap" and not detach)


def test_identical_tasks_are_not_displaced():
    module, episode = modules()["stacked"], ragged()
    same = episode.take(torch.zeros(4, dtype=torch.int64))
    way = DisplacedGradient(0.5)
    found, *_ = gradient_of(module, same, way)
    expected, *_ = gradient_of(module, same, MeanGradient())
    torch.testing.assert_close(found, expected)
    assert way.variances[0] < 1e-25


def test_heads_of_one_task_are_not_displaced():
    module, episode = modules()["heads"], ragged()
    nn.init.normal_(module.heads, generator=torch.Generator().manual_seed(0))
    tasks = TaskGradients(module, OBJECTIVE, episode, None)
    gradients, _ = tasks.gradients(tasks.weights)
    way = DisplacedGradient(0.0)
    gradient_of(module, episode, way)
    shared = torch.cat([g.flatten(1) for name, g in gradients.items() if name != "heads"], dim=1)
    expected = (shared - shared.mean(dim=0)).square().sum(dim=1).mean()
    torch.testing.assert_close(way.variances[0], expected)


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_chunks_change_nothing(chunk_size):
    module, episode = modules()["stacked"], ragged()
    whole, *_ = gradient_of(module, episode, DisplacedGradient(0.2))
    parts, *_ = gradient_of(module, episode, DisplacedGradient(0.2), chunk_size=chunk_size)
    torch.testing.assert_close(parts, whole)


def test_variance_is_measured_as_often_as_asked():
    module, episode = Quadratic(4), quadratics()
    way = DisplacedGradient(0.1, measure_every=3)
    for _ in range(7):
        gradient_of(module, episode, way)
    assert len(way.variances) == 3
