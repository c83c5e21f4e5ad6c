"""The tests keep the error rates that they state."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import ttest_rel

from skmeta.metrics._paired_test import holm, paired_test


def test_is_the_paired_t_test_over_tasks_with_both_scores():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30)), rng.normal(0.3, size=(2, 30))
    assert paired_test(a[0] - b[0]) == pytest.approx(ttest_rel(a[0], b[0]).pvalue)
    assert paired_test(np.r_[a[0] - b[0], np.nan]) == pytest.approx(paired_test(a[0] - b[0]))


@pytest.mark.parametrize(("same", "p"), [(0.0, 1.0), (2.0, 0.0)])
def test_the_same_difference_everywhere(same, p):
    assert paired_test(np.full(5, same)) == p


def test_one_task_is_no_test():
    assert np.isnan(paired_test(np.array([1.0, np.nan])))


def test_holm_by_hand():
    # The least is multiplied by 3, the next by 2, the last by 1, and none falls below another.
    assert_allclose(holm(np.array([0.02, np.nan, 0.04, 0.01])), [0.04, np.nan, 0.04, 0.03])
    assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_holm_keeps_the_family_wise_error_rate():
    rng = np.random.default_rng(0)
    false = [(holm(rng.uniform(size=8)) < 0.05).any() for _ in range(20_000)]
    assert np.mean(false) == pytest.approx(0.05, abs=0.006)
