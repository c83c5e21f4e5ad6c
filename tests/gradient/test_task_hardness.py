"""Of linear tasks the best start is known: MAML's weighs a task by what a step leaves of it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from _episodes import meta_gradient
from torch import nn

from skmeta.inner import Episode, GradientSteps, squared_error

SIZE, ROWS = 3, 12
VARIANCE = torch.tensor([1.0, 1.0, 0.2, 0.05], dtype=torch.float64)  # of each task's features


def tasks():
    """Return solutions, and rows whose features have exactly these variances."""
    generator = torch.Generator().manual_seed(0)
    solutions = torch.randn(len(VARIANCE), SIZE, generator=generator, dtype=torch.float64)
    parts = []
    for _ in ("support", "query"):
        X = torch.randn(len(VARIANCE), ROWS, SIZE, generator=generator, dtype=torch.float64)
        X = torch.linalg.qr(X)[0] * (ROWS * VARIANCE).sqrt()[:, None, None]
        mask = torch.ones(len(VARIANCE), ROWS, dtype=torch.float64)
        parts += [X, X @ solutions[..., None], mask]
    return solutions, Episode(*parts, tasks=torch.arange(len(VARIANCE)))


def best_start(solutions, rate):
    """Return ``(Σ M A M)⁻¹ Σ M A M w``, with ``M = I - 2 rate A`` and ``A = variance I``."""
    weight = VARIANCE * (1 - 2 * rate * VARIANCE) ** 2
    return (weight[:, None] * solutions).sum(dim=0) / weight.sum()


def slope_at(start, rate, n_steps, episode):
    network = nn.Linear(SIZE, 1, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(start)
    rule = GradientSteps(
        network, SIZE, n_outputs=1, loss=squared_error, lr=rate, n_steps=n_steps
    )  # fmt: skip
    return meta_gradient(rule, episode)[1]


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.3])
def test_the_meta_gradient_vanishes_at_the_best_start_alone(rate):
    solutions, episode = tasks()
    best = best_start(solutions, rate)
    assert slope_at(best, rate, 1, episode).norm() < 1e-12
    assert slope_at(best_start(solutions, 0.0), rate, 1, episode).norm() > 1e-3


def test_without_a_step_it_is_that_of_plain_training():
    solutions, episode = tasks()
    joint = best_start(solutions, 0.0)
    assert slope_at(joint, 0.0, 1, episode).norm() < 1e-12
    assert slope_at(joint, 0.1, 0, episode).norm() < 1e-12


def test_tasks_that_one_step_solves_have_no_say():
    _, episode = tasks()
    solved, rate = VARIANCE == 1.0, 0.5
    away = torch.full((SIZE, 1), 100.0, dtype=torch.float64) * solved[:, None, None]
    moved = dataclasses.replace(
        episode,
        support_y=episode.support_y + episode.support_X @ away,
        query_y=episode.query_y + episode.query_X @ away,
    )
    start = torch.zeros(SIZE, dtype=torch.float64)
    found, expected = (slope_at(start, rate, 1, e) for e in (moved, episode))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert (slope_at(start, 0.1, 1, moved) - slope_at(start, 0.1, 1, episode)).norm() > 1
