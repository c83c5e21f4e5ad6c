import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import chisquare

from skmeta.tasks import EpisodeSampler, TaskData, draw_subsets, local_classes, shots_range

SIZES = np.array([1, 2, 3, 5, 8, 13, 21, 34])


def _data(sizes=SIZES, n_classes=3, seed=0, own=False):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = random.normal(size=(len(groups), 2))
    y = random.integers(n_classes, size=len(groups))
    if own:
        y += n_classes * groups
        y = np.unique(y, return_inverse=True)[1]
        return local_classes(TaskData.from_rows(X, y, groups), y.max() + 1)[0]
    return TaskData.from_rows(X, y, groups)


def _sampler(data, n_shots, n_queries=None, seed=0, **kwargs):
    return EpisodeSampler(data, n_shots, n_queries, random=np.random.default_rng(seed), **kwargs)


def _task_of_row(data):
    return np.repeat(np.arange(data.table.n_tasks), data.sizes)


def _parts(episodes):
    """Yield the support and query rows of each episode."""
    for number in range(len(episodes.support)):
        yield (
            episodes.support[number, episodes.support_mask[number]],
            episodes.query[number, episodes.query_mask[number]],
        )


KINDS = {
    "rows": {},
    "range": {"n_shots": (1, 6)},
    "few queries": {"n_queries": 2},
    "stratify": {"stratify": True, "n_shots": 2},
    "stratify, range": {"stratify": True, "n_shots": (1, 3), "n_queries": 2},
    "n_way": {"n_way": 2, "n_shots": 2},
    "n_way, range": {"n_way": 3, "n_shots": (1, 4), "n_queries": 1},
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_support_and_query_are_distinct_rows_of_one_task(kind, own):
    data = _data(own=own)
    given = {"n_shots": 3, **KINDS[kind]}
    episodes = _sampler(data, **given).draw(300)
    task = _task_of_row(data)
    assert len(episodes.support) == len(episodes.query) == 300
    for cells in (episodes.support, episodes.query):  # padded cells may be read
        assert cells.min() >= 0
        assert cells.max() < len(data.X)
    for number, (support, query) in enumerate(_parts(episodes)):
        rows = np.concatenate([support, query])
        assert len(set(rows.tolist())) == len(rows)
        assert set(task[rows].tolist()) == {episodes.tasks[number]}
        assert len(support) >= 1
        assert len(query) >= 1 or own  # own classes that the support lacks are not asked for


def test_numbers_of_rows():
    data = _data()
    episodes = _sampler(data, 5).draw(400)
    sizes = data.sizes[episodes.tasks]
    assert_array_equal(episodes.support_mask.sum(axis=1), 5)
    assert_array_equal(episodes.query_mask.sum(axis=1), sizes - 5)
    assert set(episodes.tasks.tolist()) == set(np.flatnonzero(data.sizes > 5).tolist())
    episodes = _sampler(data, 5, 4).draw(400)
    assert_array_equal(
        episodes.query_mask.sum(axis=1), np.minimum(data.sizes[episodes.tasks] - 5, 4)
    )


def test_a_range_of_shots_is_drawn_uniformly_and_leaves_a_query():
    data = _data()
    episodes = _sampler(data, (2, 9)).draw(4000)
    shots = episodes.support_mask.sum(axis=1)
    sizes = data.sizes[episodes.tasks]
    assert sizes.min() == 3
    assert_array_equal(np.unique(shots[sizes == 5]), [2, 3, 4])
    assert shots[sizes == 3].max() == 2
    large = np.bincount(shots[sizes > 9])[2:]
    assert len(large) == 8
    assert chisquare(large).pvalue > 1e-3
    assert episodes.query_mask.any(axis=1).all()


def test_no_shots():
    data = _data()
    for n_shots in (0, (0, 0)):
        episodes = _sampler(data, n_shots).draw(50)
        assert not episodes.support_mask.any()
        assert_array_equal(episodes.query_mask.sum(axis=1), data.sizes[episodes.tasks])
    shots = _sampler(data, (0, 1)).draw(500).support_mask.sum(axis=1)
    assert set(shots.tolist()) == {0, 1}


def test_stratify_draws_each_class():
    data = _data()
    episodes = _sampler(data, 2, 3, stratify=True).draw(300)
    for number, (support, query) in enumerate(_parts(episodes)):
        rows = np.flatnonzero(_task_of_row(data) == episodes.tasks[number])
        there = np.bincount(data.y[rows], minlength=3)
        shown = np.bincount(data.y[support], minlength=3)
        # a class of one row goes into the support, any other leaves a row for the query
        assert_array_equal(shown, np.minimum(2, np.maximum(there - 1, np.minimum(there, 1))))
        asked = np.bincount(data.y[query], minlength=3)
        assert_array_equal(asked, np.minimum(3, there - shown))


def test_n_way_numbers_drawn_classes_anew():
    data = _data()
    episodes = _sampler(data, 2, 3, n_way=2).draw(600)
    assert_array_equal(episodes.n_ways, 2)
    meanings = set()
    for number, (support, query) in enumerate(_parts(episodes)):
        classes = episodes.classes[number]
        assert len(set(classes.tolist())) == 2
        meanings.add(tuple(classes.tolist()))
        for rows, slots, mask in (
            (support, episodes.support_slots, episodes.support_mask),
            (query, episodes.query_slots, episodes.query_mask),
        ):
            assert_array_equal(classes[slots[number][mask[number]]], data.y[rows])
        assert_array_equal(np.bincount(data.y[support], minlength=3)[classes], 2)
        assert (np.bincount(data.y[query], minlength=3)[classes] >= 1).all()
    assert meanings == set(itertools.permutations(range(3), 2))  # in any order


def test_n_way_draws_only_classes_with_enough_rows():
    y = np.repeat([0, 1, 2, 3], [3, 4, 1, 9])
    data = TaskData.from_rows(np.arange(17.0)[:, None], y, None)
    episodes = _sampler(data, 3, n_way=2).draw(100)
    assert set(episodes.classes.ravel().tolist()) == {1, 3}


@pytest.mark.parametrize("given", [{}, {"stratify": True}])
def test_classes_of_own_label_sets_are_numbered_anew(given):
    data = _data(own=True)
    episodes = _sampler(data, 2, **given).draw(500)
    assert_array_equal(episodes.n_ways, data.n_ways[episodes.tasks])
    meanings = set()
    for number, (support, query) in enumerate(_parts(episodes)):
        slots = episodes.support_slots[number][episodes.support_mask[number]]
        meaning = dict(zip(data.y[support].tolist(), slots.tolist(), strict=True))
        assert len(set(meaning.values())) == len(meaning)
        assert max(meaning.values()) < episodes.n_ways[number]
        asked = episodes.query_slots[number][episodes.query_mask[number]]
        # a query row's class is shown in the support, under the same number
        assert_array_equal([meaning[label] for label in data.y[query].tolist()], asked)
        if set(meaning) == {0, 1, 2}:
            meanings.add(tuple(meaning[label] for label in range(3)))
    if given:
        assert meanings == set(itertools.permutations(range(3)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_shots": 34}, "n_shots=34 needs tasks of at least 35 rows, and the largest has 34"),
        ({"n_shots": (40, 50)}, "n_shots=40 needs tasks of at least 41 rows"),
        ({"n_shots": 30, "stratify": True}, "needs a class of at least 31 rows, and the largest"),
        ({"n_way": 4, "n_shots": 1}, "n_way=4 and n_shots=1 need 4 classes of at least 2 rows"),
        ({"n_way": 2, "n_shots": 30}, "at most 0 classes have them"),
        ({"n_shots": 1, "n_queries": 0}, "n_queries=0 must be a positive int or None"),
        ({"n_shots": 1, "n_queries": 1.5}, "n_queries=1.5 must be"),
        ({"n_shots": -1}, "n_shots=-1 must be a number of rows, or a range"),
        ({"n_shots": (3, 2)}, r"n_shots=\(3, 2\) must be"),
        ({"n_shots": 2.5}, "n_shots=2.5 must be"),
        ({"n_shots": (1, 2, 3)}, "must be"),
        ({"n_shots": "5"}, "must be"),
        ({"n_shots": None}, "must be"),
    ],
)
def test_what_cannot_be_drawn_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        _sampler(_data(), **given)


def test_batches_have_distinct_tasks_where_there_are_enough():
    data = _data(np.full(10, 4))
    blocks = itertools.islice(_sampler(data, 2).blocks(7), 3)
    counts = np.zeros(10)
    for batch in (b[at : at + 7] for b in blocks for at in range(0, len(b.tasks), 7)):
        assert batch.support.shape == (7, 2)
        assert len(set(batch.tasks.tolist())) == 7
        counts[batch.tasks] += 1
    assert counts.min() > 0.8 * counts.mean()
    few = next(_sampler(_data(np.full(3, 4)), 2).blocks(8))[:8]
    assert few.support.shape == (8, 2)


def test_tasks_and_rows_are_drawn_uniformly():
    data = _data(np.full(6, 5))
    episodes = _sampler(data, 2, 1).draw(6000, per_batch=2)
    assert chisquare(np.bincount(episodes.tasks)).pvalue > 1e-3
    assert chisquare(np.bincount(episodes.support.ravel())).pvalue > 1e-3
    assert chisquare(np.bincount(episodes.query.ravel())).pvalue > 1e-3
    pairs = np.sort(episodes.support % 5, axis=1) @ [5, 1]
    assert chisquare(np.unique(pairs, return_counts=True)[1]).pvalue > 1e-3
    assert len(set(pairs.tolist())) == 10


def test_the_seed_decides():
    data = _data()
    first, again, other = (_sampler(data, (1, 5), 3, seed=s).draw(50) for s in (1, 1, 2))
    assert_array_equal(first.support, again.support)
    assert_array_equal(first.query, again.query)
    assert not np.array_equal(first.tasks, other.tasks)


def test_subsets_are_distinct_uniform_and_in_random_order():
    n, size, count = 12_000, 5, 3
    drawn = draw_subsets(np.random.default_rng(0), np.full(n, size), np.full(n, count))
    ordered, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(ordered) == 5 * 4 * 3  # every ordered subset
    assert chisquare(counts).pvalue > 1e-3


def test_subsets_of_ragged_pools():
    random = np.random.default_rng(1)
    sizes = random.integers(0, 50, size=3000)
    counts = random.integers(0, sizes + 1)
    drawn = draw_subsets(random, sizes, counts)
    assert drawn.shape == (3000, counts.max())
    for pool, size, count in zip(drawn, sizes, counts, strict=True):
        assert len(set(pool[:count].tolist())) == count
        assert ((pool[:count] >= 0) & (pool[:count] < size)).all()
        assert (pool[count:] == -1).all()
    whole = draw_subsets(random, np.array([30]), np.array([30]))
    assert_array_equal(np.sort(whole[0]), np.arange(30))


def test_shots_range():
    assert shots_range(np.int64(3)) == (3, 3)
    assert shots_range([2, 4]) == (2, 4)
    assert shots_range(0) == (0, 0)


@pytest.mark.parametrize("stratify", [False, True])
def test_by_half_half_of_the_rows_is_the_support(stratify):
    random = np.random.default_rng(0)
    sizes = np.array([1, 2, 5, 8])
    y = np.concatenate([np.zeros(n, dtype=np.int64) for n in sizes])
    data = TaskData.from_rows(random.normal(size=(16, 1)), y, np.repeat(np.arange(4), sizes))
    sampler = EpisodeSampler(data, 1, None, stratify=stratify, random=random, by_half=True)
    assert sorted(data.sizes[sampler.eligible]) == [2, 5, 8]
    drawn = sampler.of_tasks(sampler.eligible)
    half = data.sizes[drawn.tasks] // 2
    assert_array_equal(drawn.support_mask.sum(axis=1), half)
    assert_array_equal(drawn.query_mask.sum(axis=1), data.sizes[drawn.tasks] - half)
