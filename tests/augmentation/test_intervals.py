"""Tasks mixed with their own bounds, and losses of the bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _episodes import ragged

from skmeta.augmentation._interval_chain import IntervalChain
from skmeta.augmentation._intervals import IntervalLosses, Intervals
from skmeta.inner import RidgeSolve
from skmeta.modules import MLP


def bounded():
    torch.manual_seed(0)
    return IntervalChain(
        MLP(3, None, (6,)).double(), n_features=3, width=3, ends_in_features=True, n_layers=1
    )


def intervals(by_class, seed=0, n_updates=100):
    return Intervals(
        bounded(), epsilon=0.5, alpha=2.0, n_updates=n_updates, by_class=by_class,
        random=np.random.default_rng(seed),
    )  # fmt: skip


@pytest.mark.parametrize("by_class", [False, True])
def test_one_task_is_replaced_in_its_rows_alone(by_class):
    episode = ragged(classes=by_class)
    augment, drawn = intervals(by_class), set()
    for _ in range(30):
        longer = augment(episode)
        assert torch.equal(longer.support_X[..., :3], episode.support_X)
        assert torch.equal(longer.query_y, episode.query_y)
        shares = [longer.support_X[..., 3], longer.query_X[..., 3]]
        changed = torch.cat(shares, dim=1).abs().sum(dim=1).nonzero()[:, 0]
        assert len(changed) <= 1  # its class may have no row
        drawn |= set(changed.tolist())
        for share, mask in zip(shares, (episode.support_mask, episode.query_mask), strict=True):
            assert (share[mask == 0] == 0).all()
            assert share.abs().max() < 1
    assert drawn == {0, 1, 2, 3}


def test_a_class_has_one_bound_in_support_and_query():
    episode = ragged(sizes=[(6, 6)] * 3, classes=True)
    augment = intervals(by_class=True)
    for _ in range(10):
        longer = augment(episode)
        X = torch.cat([longer.support_X, longer.query_X], dim=1)[..., 3]
        y = torch.cat([episode.support_y, episode.query_y], dim=1).argmax(dim=2)
        for task in range(3):
            for number in (0, 1):
                assert len(X[task][y[task] == number].unique()) <= 1


def test_boxes_widen_over_nine_tenths_of_training():
    augment, episode, sizes = intervals(by_class=False), ragged(), []
    for _ in range(100):
        augment(episode)
        sizes.append(augment.chain.epsilon)
    np.testing.assert_allclose(sizes[:90], 0.5 * np.arange(90) / 90)
    assert sizes[90:] == [0.5] * 10


def test_losses_of_bounds_are_weighted_by_a_softmax():
    episode = ragged(n_outputs=1)
    chain = bounded()
    chain.epsilon = 0.5
    rule = RidgeSolve(chain, 3, alpha=0.1, learn_alpha=True, scale=None).double()
    losses = torch.tensor([0.5, 0.1, 3.0, 0.0], dtype=torch.float64)
    found = IntervalLosses(0.7)(rule, episode, losses)
    for task in range(4):
        X = episode.query_X[task, episode.query_mask[task].bool()]
        lower, value, upper = chain.bounds(X)
        gaps = [(bound - value).square().mean() for bound in (upper, lower)]
        parts = torch.stack([losses[task], *gaps])
        torch.testing.assert_close(found[task], (parts * (parts / 0.7).softmax(0)).sum())


def test_what_comes_behind_the_features_plays_no_part_in_the_losses():
    episode, chain = ragged(n_outputs=1), bounded()
    chain.epsilon = 0.5
    rule = RidgeSolve(chain, 3, alpha=0.1, learn_alpha=True, scale=None).double()
    longer = torch.cat([episode.query_X, torch.ones_like(episode.query_X[..., :1])], dim=2)
    other = dataclasses.replace(episode, query_X=longer)
    ones = torch.ones(4, dtype=torch.float64)
    regularizer = IntervalLosses(1.0)
    assert torch.equal(regularizer(rule, episode, ones), regularizer(rule, other, ones))


def test_without_a_box_the_task_loss_keeps_its_direction():
    episode, chain = ragged(n_outputs=1), bounded()
    rule = RidgeSolve(chain, 3, alpha=0.1, learn_alpha=True, scale=None).double()
    losses = torch.tensor([0.5, 0.1, 3.0, 1.0], dtype=torch.float64, requires_grad=True)
    IntervalLosses(1.0)(rule, episode, losses).sum().backward()
    weight = losses.detach().exp() / (losses.detach().exp() + 2)
    torch.testing.assert_close(losses.grad, weight)
