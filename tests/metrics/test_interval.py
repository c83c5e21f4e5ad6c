"""The interval over tasks covers what it says it covers."""

import numpy as np
import pytest

from skmeta.metrics._interval import mean_over_tasks


@pytest.mark.parametrize("n_tasks", [4, 15, 100])
def test_covers_the_mean_of_all_tasks_in_95_of_100_collections(n_tasks):
    scores = np.random.default_rng(0).normal(3.0, 2.0, size=(20_000, n_tasks))
    mean, half_width = mean_over_tasks(scores)
    assert np.mean(np.abs(mean - 3.0) < half_width) == pytest.approx(0.95, abs=0.006)


def test_is_1_96_standard_errors_for_many_tasks():
    scores = np.random.default_rng(0).normal(size=5000)
    mean, half_width = mean_over_tasks(scores)
    assert mean == pytest.approx(scores.mean())
    assert half_width == pytest.approx(1.96 * scores.std() / np.sqrt(5000), rel=1e-3)


def test_tasks_without_a_score_do_not_count():
    mean, half_width = mean_over_tasks(np.array([[1.0, np.nan, 3.0, 2.0]]))
    assert (mean, half_width) == mean_over_tasks(np.array([[1.0, 3.0, 2.0]]))


@pytest.mark.parametrize("scores", [[np.nan, 5.0], [np.nan, np.nan]])
def test_one_task_has_no_interval(scores):
    mean, half_width = mean_over_tasks(np.array(scores))
    assert np.isnan(half_width)
    np.testing.assert_equal(mean, np.float64(scores[1]))
