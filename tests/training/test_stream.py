"""Meta-batches as tensors: the rows that the sampler drew, their targets, slots and masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from skmeta.tasks import EpisodeSampler, TaskData, local_classes
from skmeta.training import EpisodeStream

SIZES = (3, 9, 5, 7, 1)
N_CLASSES = 6


def rows(n_classes=None):
    """Return data whose first feature is the number of the row, the second its task's."""
    task = np.repeat(np.arange(len(SIZES)), SIZES)
    number = np.arange(len(task))
    y = 100.0 + number[:, None] if n_classes is None else number % n_classes
    return TaskData.from_rows(np.column_stack([number, task]).astype(float), y, task)


def stream(data, y, *, n_shots=2, n_queries=None, n_updates=6, per_epoch=6, **drawing):
    sampler = EpisodeSampler(data, n_shots, n_queries, random=np.random.default_rng(0), **drawing)
    return EpisodeStream(
        torch.tensor(data.X), torch.tensor(y), sampler,
        n_tasks=4, n_updates=n_updates, per_epoch=per_epoch,
    )  # fmt: skip


def sides(episode):
    yield episode.support_X, episode.support_y, episode.support_mask > 0
    yield episode.query_X, episode.query_y, episode.query_mask > 0


def test_episodes_are_what_the_sampler_drew():
    data = rows()
    drawn = EpisodeSampler(data, (1, 4), 3, random=np.random.default_rng(0)).blocks(4)
    block = next(drawn)
    for number, episode in enumerate(stream(data, data.y, n_shots=(1, 4), n_queries=3)):
        expected = block[4 * number : 4 * number + 4]
        for (X, y, mask), index, there in zip(
            sides(episode),
            (expected.support, expected.query),
            (expected.support_mask, expected.query_mask),
            strict=True,
        ):
            np.testing.assert_array_equal(mask, there)
            np.testing.assert_array_equal(X[mask], data.X[index][there])
            np.testing.assert_array_equal(y[mask], data.y[index][there])
            assert not y[~mask].any()
        np.testing.assert_array_equal(episode.tasks, expected.tasks)


@pytest.mark.parametrize("n_queries", [1, 4, None])
@pytest.mark.parametrize("n_shots", [0, 2, (1, 4)])
def test_support_and_query_are_distinct_rows_of_the_episodes_task(n_shots, n_queries):
    data = rows()
    low, high = (n_shots, n_shots) if isinstance(n_shots, int) else n_shots
    for episode in stream(data, data.y, n_shots=n_shots, n_queries=n_queries):
        assert len(set(episode.tasks.tolist())) == len(episode.tasks)
        for task, Xs, here, Xq, asked in zip(
            episode.tasks, episode.support_X, episode.support_mask,
            episode.query_X, episode.query_mask, strict=True,
        ):  # fmt: skip
            both = torch.cat([Xs[here > 0], Xq[asked > 0]])
            assert (both[:, 1] == data.table.labels[task]).all()
            assert len(both[:, 0].unique()) == len(both)
            n_rows, n_support, n_query = data.sizes[task], int(here.sum()), int(asked.sum())
            assert low <= n_support <= high
            left = n_rows - n_support
            assert n_query == (left if n_queries is None else min(left, n_queries)) > 0


def test_drawn_classes_are_one_hot_in_the_order_of_the_episode():
    data = rows(N_CLASSES)
    single = TaskData.from_rows(data.X, data.y, None)
    indicators = np.zeros((len(single.y), 3))
    for episode in stream(single, indicators, n_shots=1, n_queries=2, n_way=3):
        assert episode.classes.shape == (4, 3)
        for X, y, mask in sides(episode):
            assert (y.sum(dim=-1) == mask).all()
            found = torch.gather(episode.classes, 1, y.argmax(dim=-1))
            true = X[..., 0].long() % N_CLASSES
            assert (found[mask] == true[mask]).all()
        assert (episode.support_mask.sum(dim=1) == 3).all()
        assert (episode.support_y.sum(dim=1) == 1).all()
        assert (episode.query_y.sum(dim=1) <= 2).all()


def test_own_classes_are_numbered_anew_and_asked_only_if_shown():
    local, _ = local_classes(rows(N_CLASSES), N_CLASSES)
    width = int(local.n_ways.max())
    numberings = set()
    for episode in stream(local, np.eye(width)[local.y], n_shots=3, n_updates=30, per_epoch=30):
        ways = torch.tensor(local.n_ways)[episode.tasks]
        assert (episode.there.sum(dim=1) == ways).all()
        for task in range(len(episode.tasks)):
            number = {}
            for X, y, mask in sides(episode):
                for row, target in zip(X[task][mask[task]], y[task][mask[task]], strict=True):
                    slot = int(target.argmax())
                    assert episode.there[task, slot]
                    assert number.setdefault(int(row[0]) % N_CLASSES, slot) == slot
            assert len(set(number.values())) == len(number)
            shown = episode.support_y[task].any(dim=0)
            assert shown[episode.query_y[task].any(dim=0)].all()
            numberings.add((int(episode.tasks[task]), tuple(sorted(number.items()))))
    assert len(numberings) > 30  # a class has no fixed number


@pytest.mark.parametrize(
    ("n_updates", "per_epoch", "lengths"),
    [(7, 3, [3, 3, 1, 0]), (4, 2, [2, 2, 0]), (2, 5, [2, 0]), (0, 1, [0])],
)
def test_epochs_have_their_length_until_nothing_is_left(n_updates, per_epoch, lengths):
    data = rows()
    batches = stream(data, data.y, n_updates=n_updates, per_epoch=per_epoch)
    for length in lengths:
        assert len(batches) == length
        assert len(list(batches)) == length


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_have_the_type_of_the_rows(dtype):
    data = rows()
    batches = stream(data, data.y)
    batches.X, batches.y = batches.X.to(dtype), batches.y.to(dtype)
    episode = next(iter(batches))
    for name in ("support_X", "support_y", "support_mask", "query_X", "query_y", "query_mask"):
        assert getattr(episode, name).dtype == dtype
    assert not episode.tasks.is_floating_point()


def test_meta_batches_are_augmented_as_they_are_drawn_and_not_when_asked_for():
    data = rows()
    plain, augmented = stream(data, data.y), stream(data, data.y)
    augmented.augment = lambda episode: replace(episode, query_y=-episode.query_y)
    for one, other in zip(plain, augmented, strict=True):
        assert torch.equal(other.query_y, -one.query_y)
        assert torch.equal(other.query_X, one.query_X)
    drawn = augmented.sampler.draw(4)
    asked = (next(iter(s.gather(drawn))) for s in (plain, augmented))
    assert torch.equal(*(episode.query_y for episode in asked))
