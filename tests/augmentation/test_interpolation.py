"""Mixtures of the tasks of a meta-batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _episodes import SIZES, ragged
from torch import nn
from torch.nn.functional import one_hot

from skmeta.augmentation._interpolation import (
    Interpolation,
    mix_tasks,
    pair_classes,
    pair_rows,
)
from skmeta.inner import Episode, RidgeSolve

ALONE = torch.arange(len(SIZES))
ONE_CELL = torch.zeros(len(SIZES), 1, dtype=torch.int64)
FAR = 50.0  # features of padded rows


def in_order(episode):
    """Return keys that take rows in their own order."""
    return {
        side: torch.linspace(0, 0.9, mask.shape[1]).expand(mask.shape)
        for side, mask in (("support", episode.support_mask), ("query", episode.query_mask))
    }


def own_classes(n_ways=(3, 2, 3, 1), shots=2, queries=3):
    """Return tasks with classes of their own; a row's feature is the number of (task, class)."""
    n_tasks, width = len(n_ways), max(n_ways)
    there = (torch.arange(width) < torch.tensor(n_ways)[:, None]).double()
    parts = []
    for n_rows in (shots, queries):
        slots = torch.arange(width).repeat_interleave(n_rows)
        mask = there[:, slots]
        numbers = torch.arange(n_tasks)[:, None] * 10.0 + slots
        parts += [numbers[..., None].double(), one_hot(slots, width) * mask[..., None], mask]
    return Episode(*parts, tasks=torch.arange(n_tasks), there=there)


def assert_same(one, other):
    for name, part in vars(one).items():
        assert part is getattr(other, name) is None or torch.equal(part, getattr(other, name))


@pytest.mark.parametrize("classes", [False, True])
def test_a_task_mixed_with_itself_row_by_row_is_itself(classes):
    episode = ragged(classes=classes)
    share = torch.full((len(SIZES),), 0.3, dtype=torch.float64)
    assert_same(mix_tasks(episode, ALONE, share, ONE_CELL, in_order(episode)), episode)


@pytest.mark.parametrize("make", [ragged, own_classes])
def test_without_a_share_of_the_partner_nothing_changes(make):
    episode = make()
    assert_same(Interpolation(0.0, np.random.default_rng(0))(episode), episode)


@pytest.mark.parametrize("seed", range(5))
def test_padding_stays_as_it_is_and_enters_no_row(seed):
    episode = ragged(classes=True)
    mixed = Interpolation(2.0, np.random.default_rng(seed))(episode)
    for side in ("support", "query"):
        mask = getattr(episode, f"{side}_mask").bool()
        X, y = getattr(mixed, f"{side}_X"), getattr(mixed, f"{side}_y")
        assert (X[~mask] == FAR).all()
        assert (y[~mask] == 0).all()
        assert X[mask].abs().max() <= getattr(episode, f"{side}_X")[mask].abs().max()
        assert (y >= 0).all()
        torch.testing.assert_close(y.sum(dim=2), mask.double())
    assert not torch.equal(mixed.query_X, episode.query_X)
    assert torch.equal(mixed.tasks, episode.tasks)


def test_rows_are_paired_one_to_one_and_over_again_where_there_are_too_few():
    random = np.random.default_rng(0)
    mask = (torch.arange(6) < torch.tensor([6, 6, 2, 5])[:, None]).double()
    keys = torch.from_numpy(random.random(mask.shape))
    partner = torch.tensor([1, 2, 0, 3])
    rows, n_theirs = pair_rows(mask[..., None], partner, ONE_CELL, keys)
    assert n_theirs[:, 0].tolist() == [6, 2, 6, 5]
    assert sorted(rows[0].tolist()) == list(range(6))
    assert rows[0].tolist() != list(range(6))
    assert sorted(rows[1].tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(set(rows[2, :2].tolist())) == 2
    assert sorted(rows[3, :5].tolist()) == list(range(5))


def test_all_pairings_are_as_likely():
    random = np.random.default_rng(0)
    mask = torch.ones(30_000, 3, 1)
    alone, one = torch.arange(len(mask)), torch.zeros(len(mask), 1, dtype=torch.int64)
    rows, _ = pair_rows(mask, alone, one, torch.from_numpy(random.random((len(mask), 3))))
    _, count = np.unique(rows.numpy(), axis=0, return_counts=True)
    np.testing.assert_allclose(count / len(mask), 1 / 6, atol=0.01)


def test_a_task_stays_whole_where_its_partner_has_no_support_or_no_query():
    episode = ragged(sizes=[(3, 2), (0, 4), (2, 0), (1, 1)])
    share = torch.full((4,), 0.4, dtype=torch.float64)
    partner = torch.tensor([1, 0, 0, 0])
    mixed = mix_tasks(episode, partner, share, ONE_CELL, in_order(episode))
    assert_same(mixed.take(slice(0, 1)), episode.take(slice(0, 1)))  # no support to mix with
    assert not torch.equal(mixed.query_X[1], episode.query_X[1])  # itself without support
    assert not torch.equal(mixed.support_X[2], episode.support_X[2])
    mixed = mix_tasks(episode, partner.where(ALONE != 3, 2), share, ONE_CELL, in_order(episode))
    assert_same(mixed.take(slice(3, 4)), episode.take(slice(3, 4)))  # no query to mix with


def test_two_linear_tasks_of_the_same_rows_mix_to_the_one_in_between():
    one = ragged(sizes=[(5, 4), (5, 4)], n_outputs=1)
    generator = torch.Generator().manual_seed(1)
    W = torch.randn(2, 3, 1, generator=generator, dtype=torch.float64)
    support, query = one.support_X[:1].expand(2, -1, -1), one.query_X[:1].expand(2, -1, -1)
    episode = dataclasses.replace(
        one, support_X=support, support_y=support @ W, query_X=query, query_y=query @ W
    )
    share = torch.tensor([0.3, 0.1], dtype=torch.float64)
    partner = torch.tensor([1, 0])
    mixed = mix_tasks(episode, partner, share, ONE_CELL[:2], in_order(episode))
    between = torch.lerp(W, W[partner], share[:, None, None])
    torch.testing.assert_close(mixed.query_X, query)
    torch.testing.assert_close(mixed.query_y, query @ between)
    rule = RidgeSolve(nn.Identity(), 3, alpha=0.1, learn_alpha=True, scale=None).double()
    heads = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)["head"]
    found = rule.adapt(mixed.support_X, mixed.support_y, mixed.support_mask)["head"]
    torch.testing.assert_close(found, torch.lerp(heads, heads[partner], share[:, None, None]))


def test_the_larger_part_is_the_task_itself_and_its_share_is_beta_distributed():
    n_tasks = 20_000
    numbers = torch.arange(n_tasks).double()[:, None, None]
    mask, y = torch.ones(n_tasks, 1, dtype=torch.float64), torch.zeros_like(numbers)
    ones = torch.ones_like(numbers)
    episode = Episode(ones, numbers, mask, ones, numbers + 1, mask, torch.arange(n_tasks))
    partners = []
    for alpha, mean in ((2.0, 0.3125), (1.0, 0.25)):  # of min(λ, 1 - λ)
        mixed = Interpolation(alpha, np.random.default_rng(0))(episode)
        torch.testing.assert_close(mixed.query_y - mixed.support_y, torch.ones_like(y))
        partners.append(mixed.support_y)
        # With the partner uniform among the others, E|i - j| is n/3.
        moved = (mixed.support_y - numbers).abs().mean() / (n_tasks / 3)
        assert abs(moved - mean) < 0.01
    assert not torch.equal(*partners)


def test_a_task_by_itself_stays_as_it_is_unless_its_labels_are_its_own():
    episode = ragged().take(slice(0, 1))
    assert_same(Interpolation(2.0, np.random.default_rng(0))(episode), episode)
    episode = own_classes().take(slice(0, 1))
    mixed = Interpolation(2.0, np.random.default_rng(0))(episode)
    assert not torch.equal(mixed.support_X, episode.support_X)


@pytest.mark.parametrize("seed", range(5))
def test_own_classes_are_mixed_alike_in_support_and_query(seed):
    episode = own_classes()
    mixed = Interpolation(2.0, np.random.default_rng(seed))(episode)
    assert torch.equal(mixed.support_y, episode.support_y)
    assert torch.equal(mixed.query_y, episode.query_y)
    for task, n_ways in enumerate(episode.there.sum(dim=1).int().tolist()):
        values = set()
        for number in range(n_ways):
            of_class = [
                getattr(mixed, f"{side}_X")[task][getattr(mixed, f"{side}_y")[task, :, number] == 1]
                for side in ("support", "query")
            ]
            found = torch.cat(of_class).unique()
            assert len(found) == 1
            values.add(found.item())
        assert len(values) == n_ways


def test_within_a_task_each_class_is_paired_with_another():
    there = own_classes().there
    partner = torch.tensor([0, 1, 0, 0])
    within = torch.tensor([True, True, False, False])
    for seed in range(20):
        keys = torch.from_numpy(np.random.default_rng(seed).random(there.shape))
        cells = pair_classes(there, partner, within, keys)
        assert (cells[0] != torch.arange(3)).all()
        assert sorted(cells[0].tolist()) == [0, 1, 2]
        assert cells[1, :2].tolist() == [1, 0]
        assert sorted(cells[2].tolist()) == [0, 1, 2]


def test_a_partner_with_fewer_classes_gives_them_more_than_once():
    there = own_classes().there
    cells = pair_classes(
        there, torch.tensor([1, 0, 3, 2]), torch.zeros(4, dtype=torch.bool), torch.rand(4, 3)
    )
    assert set(cells[0].tolist()) == {0, 1}
    assert len(set(cells[1, :2].tolist())) == 2
    assert cells[2].tolist() == [0, 0, 0]


def test_draws_are_those_of_the_generator():
    episode = ragged()
    one, same, other = (
        Interpolation(2.0, np.random.default_rng(seed))(episode) for seed in (0, 0, 1)
    )
    assert_same(one, same)
    assert not torch.equal(one.query_X, other.query_X)


def test_float32_stays_float32():
    mixed = Interpolation(2.0, np.random.default_rng(0))(ragged(torch.float32))
    assert {mixed.support_X.dtype, mixed.query_y.dtype} == {torch.float32}
