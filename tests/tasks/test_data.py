import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmeta.tasks import TaskData, local_classes


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    groups = random.choice(["a", "b", "c", "d"], p=[0.1, 0.2, 0.3, 0.4], size=60).astype(object)
    return random.normal(size=(60, 2)), random.integers(6, size=60), groups, random.random(60)


def test_arrays_are_sorted_as_the_table_is(rows):
    X, y, groups, weight = rows
    data = TaskData.from_rows(X, y, groups, weight)
    assert_array_equal(data.X, X[data.table.order])
    assert_array_equal(data.y, y[data.table.order])
    assert_array_equal(data.weight, weight[data.table.order])
    assert_array_equal(data.sizes, data.table.sizes)
    assert_array_equal(np.repeat(data.table.labels, data.sizes), groups[data.table.order])


def test_the_order_of_rows_does_not_matter(rows):
    X, y, groups, weight = rows
    expected = TaskData.from_rows(X, y, groups, weight)
    shuffle = np.random.default_rng(1).permutation(60)
    data = TaskData.from_rows(X[shuffle], y[shuffle], groups[shuffle], weight[shuffle])
    for name in ("X", "y", "weight"):
        assert_array_equal(getattr(data, name), getattr(expected, name))
    one = TaskData.from_rows(X[shuffle], y[shuffle], None)
    assert_array_equal(one.X, TaskData.from_rows(X, y, None).X)
    assert one.weight is None


def test_take(rows):
    data = TaskData.from_rows(*rows)
    some = data.take(np.array([2, -1, 0, -1]))
    assert_array_equal(some.sizes, [data.sizes[2], 0, data.sizes[0], 0])
    start = data.table.offsets
    expected = np.concatenate([data.X[start[2] : start[3]], data.X[start[0] : start[1]]])
    assert_array_equal(some.X, expected)
    assert_array_equal(some.table.order, np.arange(len(expected)))
    assert len(some.y) == len(some.weight) == len(expected)
    again = some.take(np.array([1, 2]))
    assert_array_equal(again.X, data.X[start[0] : start[1]])


def test_take_of_a_task_without_rows_can_be_padded(rows):
    data = TaskData.from_rows(*rows).take(np.array([-1]))
    assert_array_equal(data.sizes, [0])
    positions, mask = data.table.padded(np.array([0]))
    assert not mask.any()
    assert data.X[positions].shape == (1, 1, 2)


def test_local_classes_are_numbered_from_zero(rows):
    X, y, groups, _ = rows
    data = TaskData.from_rows(X, y, groups)
    local, ways = local_classes(data, 6)
    task = np.repeat(np.arange(4), data.sizes)
    assert_array_equal(ways[task, local.y], data.y)
    assert ways.shape == (4, local.n_ways.max())
    for number in range(4):
        there = np.unique(data.y[task == number])
        assert_array_equal(ways[number, : len(there)], there)
        assert (ways[number, len(there) :] == -1).all()
        assert local.n_ways[number] == len(there)


def test_local_classes_of_a_task_without_rows():
    data = TaskData.from_rows(np.ones((3, 1)), np.array([4, 1, 4]), None).take(np.array([-1, 0]))
    local, ways = local_classes(data, 5)
    assert_array_equal(local.n_ways, [0, 2])
    assert_array_equal(ways, [[-1, -1], [1, 4]])
    empty, none = local_classes(data.take(np.array([-1])), 5)
    assert_array_equal(none, [[-1]])
    assert len(empty.y) == len(empty.X)  # a row to pad with
    assert_array_equal(empty.n_ways, [0])


def test_keep_leaves_the_tasks_where_they_are(rows):
    data = TaskData.from_rows(*rows)
    mask = np.random.default_rng(2).random(60) < 0.5
    mask[data.table.offsets[1] : data.table.offsets[2]] = False
    some = data.keep(mask)
    assert_array_equal(some.table.labels, data.table.labels)
    assert_array_equal(some.owners, data.owners[mask])
    assert some.sizes[1] == 0
    for name in ("X", "y", "weight"):
        assert_array_equal(getattr(some, name), getattr(data, name)[mask])
