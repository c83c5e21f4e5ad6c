import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmeta.tasks import TaskTable, as_labels, row_keys


def _ragged(seed=0, n_samples=200, n_tasks=30):
    return np.random.default_rng(seed).integers(n_tasks, size=n_samples)


@pytest.mark.parametrize("with_keys", [False, True])
@pytest.mark.parametrize(
    "name", [int, float, str, lambda task: ("school", task), lambda task: frozenset([task])]
)
def test_each_row_is_found_in_its_task(name, with_keys):
    labels = as_labels([name(task) for task in _ragged()])
    keys = row_keys(np.random.default_rng(1).normal(size=(len(labels), 2))) if with_keys else None
    table = TaskTable.from_labels(labels, keys)
    assert_array_equal(np.sort(table.order), np.arange(len(labels)))
    assert table.n_tasks == len(set(labels.tolist())) == len(set(table.labels.tolist()))
    for task, label in enumerate(table.labels):
        rows = table.order[table.offsets[task] : table.offsets[task + 1]]
        assert all(labels[row] == label for row in rows)
        assert len(rows) == table.sizes[task] > 0
    assert_array_equal(table.lookup(labels), table.codes)


def test_without_keys_rows_stay_in_order():
    labels = _ragged()
    table = TaskTable.from_labels(labels)
    assert_array_equal(table.labels, np.unique(labels))
    assert_array_equal(table.order, np.argsort(labels, kind="stable"))
    words = TaskTable.from_labels(as_labels(["b", "a", "b", "c"]))
    assert words.labels.tolist() == ["b", "a", "c"]  # first seen first
    assert_array_equal(words.order, [0, 2, 1, 3])


def test_with_keys_neither_order_nor_names_matter():
    random = np.random.default_rng(2)
    labels, X = _ragged(), random.normal(size=(200, 3))
    X[50:100] = X[:50]  # equal rows, in several tasks
    expected = TaskTable.from_labels(labels, row_keys(X))
    names = random.permutation(1000)[:30]
    for _ in range(5):
        shuffle = random.permutation(200)
        table = TaskTable.from_labels(names[labels[shuffle]], row_keys(X[shuffle]))
        assert_array_equal(table.offsets, expected.offsets)
        assert_array_equal(X[shuffle][table.order], X[expected.order])
        assert_array_equal(table.labels, names[expected.labels])


def test_tasks_of_equal_content_keep_their_own_rows():
    X = np.tile([[1.0], [2.0]], (3, 1))
    table = TaskTable.from_labels(np.repeat([9, 4, 7], 2), row_keys(X))
    assert_array_equal(table.codes, table.lookup(np.repeat([9, 4, 7], 2)))


def test_lookup_of_unknown_labels():
    table = TaskTable.from_labels(np.array([3, 5, 3, 9]))
    assert_array_equal(table.lookup(np.array([9, 4, 3, 100, -1])), [2, -1, 0, -1, -1])
    assert_array_equal(table.lookup(np.array([3.0, 3.5])), [0, -1])
    assert_array_equal(table.lookup(as_labels(["3", ("a", 1)])), [-1, -1])
    assert_array_equal(table.lookup(as_labels([3, "x"])), [0, -1])
    words = TaskTable.from_labels(as_labels(["a", "b"]))
    assert_array_equal(words.lookup(as_labels(["b", "c"])), [1, -1])
    assert_array_equal(words.lookup(np.array([0, 1])), [-1, -1])


def test_one_task_without_a_name():
    table = TaskTable.single(4)
    assert table.n_tasks == 1
    assert table.labels.tolist() == [None]
    assert_array_equal(table.order, np.arange(4))
    X = np.array([[3.0], [1.0], [2.0]])
    again = TaskTable.single(3, row_keys(X[[2, 0, 1]]))
    assert_array_equal(X[[2, 0, 1]][again.order], X[TaskTable.single(3, row_keys(X)).order])


def test_padded_covers_the_rows_of_the_tasks_in_order():
    labels = _ragged()
    table = TaskTable.from_labels(labels)
    tasks = np.array([4, 0, 4, 17])
    positions, mask = table.padded(tasks)
    assert positions.shape == mask.shape == (4, table.sizes[tasks].max())
    for row, task in enumerate(tasks):
        there = positions[row, mask[row]]
        assert_array_equal(there, np.arange(table.offsets[task], table.offsets[task + 1]))
    assert positions.min() >= 0
    assert positions.max() < len(labels)  # padding may be read


@pytest.mark.parametrize(("cells", "most"), [(1, None), (40, None), (10**6, None), (10**6, 4)])
def test_chunks_cover_every_task_once(cells, most):
    sizes = np.array([1, 1, 2, 3, 5, 8, 13, 21, 34, 1, 2])
    table = TaskTable.from_labels(np.repeat(np.arange(len(sizes)), sizes))
    chunks = list(table.chunks(cells, most))
    assert_array_equal(np.sort(np.concatenate(chunks)), np.arange(len(sizes)))
    for chunk in chunks:
        positions, mask = table.padded(chunk)
        assert len(chunk) == 1 or positions.size <= cells
        assert len(chunk) <= (most or len(chunk))
        assert mask.mean() >= 0.5  # padding is at most half
    if cells == 10**6 and most is None:
        assert len(chunks) < len(sizes)  # otherwise this is a loop over tasks


def test_chunks_of_tasks_without_rows():
    table = TaskTable(np.arange(2), np.arange(3), np.array([0, 0, 3]))
    assert_array_equal(np.concatenate(list(table.chunks(10))), [0, 1])
    positions, mask = table.padded(np.array([0]))
    assert not mask.any()
    assert positions.shape == (1, 1)


def test_a_task_without_rows_is_no_chunk_of_its_own():
    table = TaskTable(np.arange(5), np.arange(12), np.array([0, 3, 3, 6, 9, 12]))
    (chunk,) = table.chunks(100)
    assert_array_equal(chunk, np.arange(5))


def test_a_million_rows_take_four_bytes_each():
    n_samples, n_tasks = 10**6, 10**5
    labels = np.random.default_rng(3).integers(n_tasks, size=n_samples)
    keys = row_keys(np.arange(n_samples, dtype=float))
    tracemalloc.start()
    table = TaskTable.from_labels(labels, keys)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    n_kept = table.n_tasks
    assert table.order.nbytes == 4 * n_samples
    assert table.labels.nbytes + table.offsets.nbytes <= 16 * n_kept + 8
    assert kept <= 4 * n_samples + 16 * n_kept + 10_000
    assert peak <= 80 * n_samples
    assert_array_equal(table.lookup(labels[:1000]), table.codes[:1000])


def test_row_keys_fingerprint_contents():
    X = np.random.default_rng(4).normal(size=(500, 3))
    keys = row_keys(X, X[:, 0], None)
    assert len(set(keys.tolist())) == 500
    assert_array_equal(row_keys(X[::-1], X[::-1, 0]), keys[::-1])
    assert_array_equal(row_keys(np.array([[0.0]])), row_keys(np.array([[-0.0]])))
    assert_array_equal(row_keys(np.arange(3)), row_keys(np.arange(3.0)))
    assert not np.array_equal(row_keys(X[:, [0, 1]]), row_keys(X[:, [1, 0]]))
    with pytest.raises(ValueError, match="at least one column"):
        row_keys(None)


def test_row_keys_tell_a_grid_of_small_integers_apart():
    grid = np.array(np.meshgrid(*[np.arange(20.0)] * 3)).reshape(3, -1).T
    assert len(np.unique(row_keys(grid))) == len(grid)
