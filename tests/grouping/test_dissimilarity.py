"""How unlike tasks are: the formula, its bounds, and landmarks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from skmeta import task_dissimilarity

BLOCKS = (5, 1, 12)


@pytest.fixture(scope="module")
def fisher():
    return np.exp(2 * np.random.default_rng(0).normal(size=(30, sum(BLOCKS)))) * 1e-3


def of_pair(a, b, blocks):
    """The authors' similarity, written out."""
    total, start = 0.0, 0
    for size in blocks:
        e0, e1 = a[start : start + size], b[start : start + size]
        u, v = e0 / (e0 + e1 + 1e-6), e1 / (e0 + e1 + 1e-6)
        total += u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
        start += size
    return 1 - total / len(blocks)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_it_is_a_plain_loop_over_pairs(fisher, dtype, tolerance):
    found = task_dissimilarity(fisher.astype(dtype), BLOCKS)
    assert found.dtype == dtype
    expected = [[of_pair(a, b, BLOCKS) for b in fisher] for a in fisher]
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_tiles_do_not_change_it(fisher, monkeypatch):
    expected = task_dissimilarity(fisher, BLOCKS)
    monkeypatch.setattr("skmeta.grouping._dissimilarity._TILE_BYTES", 200)
    np.testing.assert_array_equal(task_dissimilarity(fisher, BLOCKS), expected)


def test_without_blocks_it_is_one_less_the_cosine():
    E = np.random.default_rng(0).normal(size=(20, 4))
    expected = np.clip(1 - cosine_similarity(E), 0, 1)
    np.testing.assert_allclose(task_dissimilarity(E), expected, atol=1e-12)


@pytest.mark.parametrize("blocks", [None, BLOCKS])
def test_it_is_symmetric_bounded_and_zero_for_equal_tasks(fisher, blocks):
    E = np.concatenate([fisher, fisher[:3]])
    D = task_dissimilarity(E, blocks)
    np.testing.assert_array_equal(D, D.T)
    np.testing.assert_array_equal(np.diag(D), 0)
    np.testing.assert_allclose(D[30 + np.arange(3), np.arange(3)], 0, atol=1e-12)
    assert D.min() >= 0
    assert D.max() <= 1


@pytest.mark.parametrize("blocks", [None, BLOCKS])
def test_order_of_tasks_does_not_matter(fisher, blocks):
    mixed = np.random.default_rng(1).permutation(len(fisher))
    expected = task_dissimilarity(fisher, blocks)[np.ix_(mixed, mixed)]
    np.testing.assert_allclose(task_dissimilarity(fisher[mixed], blocks), expected, atol=1e-12)


def test_each_tensor_counts_alike(fisher):
    """Its scale and its length do not matter, unlike in a plain cosine."""
    scaled = fisher * np.repeat([1e3, 1.0, 1e6], BLOCKS) * 1e6
    expected = task_dissimilarity(fisher * 1e6, BLOCKS)
    np.testing.assert_allclose(task_dissimilarity(scaled, BLOCKS), expected, atol=1e-4)
    parts = [
        task_dissimilarity(np.ascontiguousarray(part), (part.shape[1],))
        for part in np.split(fisher, np.cumsum(BLOCKS)[:-1], axis=1)
    ]
    np.testing.assert_allclose(np.mean(parts, axis=0), task_dissimilarity(fisher, BLOCKS))


def test_tensors_without_information():
    E = np.array([[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0], [1.0, 1.0, 1.0, 2.0]])
    expected = [[0, 0, 0.5], [0, 0, 0.5], [0.5, 0.5, 0]]
    np.testing.assert_allclose(task_dissimilarity(E, (2, 2)), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_single_precision_serves_tasks_of_very_different_scale(fisher, scale):
    E = np.stack([fisher[0], fisher[0], fisher[1]]) * np.array([[1], [1], [scale]])
    D = task_dissimilarity(E.astype(np.float32), BLOCKS)
    np.testing.assert_allclose(D, task_dissimilarity(E, BLOCKS), atol=1e-4)


@pytest.mark.parametrize("blocks", [None, BLOCKS])
@pytest.mark.parametrize("n_landmarks", [1, 7, 29, 30, 99])
def test_landmarks_are_columns_of_all_pairs(fisher, blocks, n_landmarks):
    D = task_dissimilarity(fisher, blocks, n_landmarks=n_landmarks)
    columns = np.linspace(0, 29, min(n_landmarks, 30)).astype(int)
    assert len(set(columns)) == D.shape[1]
    np.testing.assert_allclose(D, task_dissimilarity(fisher, blocks)[:, columns], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "blocks", "n_landmarks", "message"),
    [
        (0, (5, 1, 11), 10, "18"),
        (0, (5, 0, 13), 10, "blocks"),
        (0, (), 10, "blocks"),
        (-1, BLOCKS, 10, "negative"),
        (np.nan, None, 10, "NaN"),
        (0, None, 0, "n_landmarks"),
    ],
)
def test_wrong_input_is_named(fisher, change, blocks, n_landmarks, message):
    with pytest.raises(ValueError, match=message):
        task_dissimilarity(fisher + change, blocks, n_landmarks=n_landmarks)
