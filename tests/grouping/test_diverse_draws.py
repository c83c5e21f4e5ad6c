"""Diverse subsets, against enumeration and by what no such subset may be."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from scipy.stats import chi2

from skmeta.grouping._determinantal import DeterminantalBatches, _chances, _spectrum
from skmeta.grouping._farthest import FarthestBatches

WAYS = pytest.mark.parametrize("way", [DeterminantalBatches, FarthestBatches])


def subsets(n, k):
    return list(itertools.combinations(range(n), k))


def counts(drawn, n):
    """Return how often each subset was drawn, in the order of `subsets`."""
    number = {subset: place for place, subset in enumerate(subsets(n, drawn.shape[1]))}
    found = [number[tuple(sorted(batch))] for batch in drawn.tolist()]
    return np.bincount(found, minlength=len(number))


def assert_agree(found, probabilities):
    """Compare counts with probabilities; one true hypothesis of 100,000 fails."""
    possible = probabilities > 1e-12
    assert found[~possible].sum() == 0
    expected = found.sum() * probabilities[possible]
    statistic = (np.square(found[possible] - expected) / expected).sum()
    assert statistic < chi2.ppf(1 - 1e-5, possible.sum() - 1)


def determinants(B, k):
    """Return the probability of each subset, by enumeration."""
    L = B @ B.T
    values = np.array([np.linalg.det(L[np.ix_(s, s)]) for s in subsets(len(B), k)])
    return values / values.sum()


@pytest.mark.parametrize("seed", range(4))
def test_an_identity_kernel_draws_all_subsets_alike(seed):
    drawn = DeterminantalBatches(np.eye(7))(np.random.default_rng(seed), np.arange(7), 20_000, 3)
    assert_agree(counts(drawn, 7), np.full(35, 1 / 35))


@pytest.mark.parametrize("width", [3, 4, 7, 12])
def test_subsets_have_the_probabilities_of_their_determinants(width):
    B = np.random.default_rng(width).normal(size=(7, width))
    drawn = DeterminantalBatches(B)(np.random.default_rng(0), np.arange(7), 40_000, 3)
    assert_agree(counts(drawn, 7), determinants(B, 3))


def test_inclusion_probabilities_have_a_closed_form():
    """``P(i) = Σ_n v_ni² λ_n e_{k-1}(without λ_n) / e_k``, which sum to k."""
    B, k = np.random.default_rng(0).normal(size=(9, 5)), 3
    values, vectors = _spectrum(B)

    def elementary(numbers, k):
        return sum(np.prod(numbers[list(s)]) for s in subsets(len(numbers), k))

    picked = [
        value * elementary(np.delete(values, n), k - 1) / elementary(values, k)
        for n, value in enumerate(values)
    ]
    inclusion = np.square(vectors).T @ picked
    assert inclusion.sum() == pytest.approx(k)
    n = 100_000
    drawn = DeterminantalBatches(B)(np.random.default_rng(0), np.arange(9), n, k)
    found = np.bincount(drawn.ravel(), minlength=9) / n
    assert (np.abs(found - inclusion) < 5 * np.sqrt(inclusion * (1 - inclusion) / n)).all()


def test_the_dual_form_has_the_same_spectrum():
    B = np.random.default_rng(0).normal(size=(20, 6))
    wide = np.column_stack([B, np.zeros((20, 20))])
    (values, vectors), (others, of_wide) = _spectrum(B), _spectrum(wide)
    np.testing.assert_allclose(values, others)
    np.testing.assert_allclose(np.abs((vectors * of_wide).sum(axis=1)), 1)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(6), atol=1e-12)


def test_large_elementary_polynomials_stay_finite():
    chances = _chances(np.full(2000, 1e3), 500)
    np.testing.assert_allclose(chances[-1, 500], 500 / 2000)  # equal values: any is as likely
    assert np.isfinite(chances).all()


@pytest.mark.parametrize("width", [4, 30])
def test_duplicates_are_never_drawn_together(width):
    B = np.repeat(np.random.default_rng(0).normal(size=(8, width)), 3, axis=0)
    k = min(width, 8)
    drawn = DeterminantalBatches(B)(np.random.default_rng(0), np.arange(24), 3000, k)
    kinds = np.sort(drawn // 3, axis=1)
    assert (np.diff(kinds, axis=1) > 0).all()


def test_what_exceeds_the_rank_is_drawn_uniformly():
    B = np.repeat(np.eye(2), [2, 6], axis=0)
    drawn = DeterminantalBatches(B)(np.random.default_rng(0), np.arange(8), 20_000, 3)
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    # One of either kind, then any of the six that are left, one of which is of the small kind.
    assert ((drawn < 2).sum(axis=1) == 2).mean() == pytest.approx(1 / 6, abs=0.015)


@WAYS
def test_only_eligible_tasks_are_drawn_and_each_once(way):
    random = np.random.default_rng(0)
    eligible = np.array([1, 4, 5, 9, 11, 17, 19])
    diverse = way(random.normal(size=(20, 6)))
    for k in (1, 4, 7):
        drawn = diverse(random, eligible, 200, k)
        assert drawn.shape == (200, k)
        assert np.isin(drawn, eligible).all()
        assert all(len(set(batch)) == k for batch in drawn.tolist())
    assert np.isin(diverse(random, eligible[:5], 200, 3), eligible[:5]).all()


@WAYS
def test_draws_are_reproducible_and_leave_no_trace(way):
    points = np.random.default_rng(0).normal(size=(50, 8))
    diverse = way(points)
    first = diverse(np.random.default_rng(1), np.arange(50), 20, 6)
    copy = pickle.loads(pickle.dumps(diverse))
    for other in (diverse, way(points), copy):
        np.testing.assert_array_equal(other(np.random.default_rng(1), np.arange(50), 20, 6), first)
    assert len(pickle.dumps(diverse)) < 2 * points.nbytes


@pytest.mark.parametrize("seed", range(3))
def test_the_farthest_are_one_of_each_cluster(seed):
    random = np.random.default_rng(seed)
    cluster = random.permutation(np.repeat(np.arange(5), [40, 30, 20, 5, 1]))
    points = 10 * np.eye(5)[cluster] + 0.1 * random.normal(size=(96, 5))
    drawn = FarthestBatches(points)(random, np.arange(96), 300, 5)
    np.testing.assert_array_equal(np.sort(cluster[drawn], axis=1), np.tile(np.arange(5), (300, 1)))
    share = np.bincount(drawn[:, 0], minlength=96) / 300
    assert share.max() < 0.1  # the start is any task


def test_the_farthest_of_equal_tasks_are_distinct():
    drawn = FarthestBatches(np.zeros((6, 2)))(np.random.default_rng(0), np.arange(6), 50, 4)
    assert all(len(set(batch)) == 4 for batch in drawn.tolist())
