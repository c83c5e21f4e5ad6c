import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression

from skmeta.datasets import (
    make_classification_tasks,
    make_linear_tasks,
    make_sinusoid_tasks,
)

GENERATORS = {
    "sinusoid": make_sinusoid_tasks,
    "linear": make_linear_tasks,
    "classification": make_classification_tasks,
    "own labels": lambda *args, **kwargs: make_classification_tasks(
        *args, shared_labels=False, **kwargs
    ),
}
every_generator = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)


@every_generator
def test_rows_tasks_and_features_agree(make):
    tasks = make(7, 9, random_state=0)
    assert tasks.data.shape == (63, len(tasks.feature_names))
    assert tasks.target.shape == tasks.groups.shape == (63,)
    assert_array_equal(tasks.groups, np.repeat(np.arange(7), 9))
    assert tasks.DESCR


@every_generator
def test_the_seed_decides(make):
    first, again, other = (make(5, (6, 9), random_state=seed) for seed in (3, 3, 4))
    for name, value in first.items():
        assert_array_equal(value, again[name])
    assert not np.array_equal(first.data[:30], other.data[:30])


@every_generator
def test_a_range_gives_every_size_in_it(make):
    sizes = np.bincount(make(200, (5, 8), random_state=0).groups)
    assert_array_equal(np.unique(sizes), [5, 6, 7, 8])


@every_generator
def test_the_bunch_can_be_pickled(make):
    tasks = make(3, 5, random_state=0)
    assert_array_equal(pickle.loads(pickle.dumps(tasks)).data, tasks.data)


@every_generator
@pytest.mark.parametrize("size", [0, (5, 4), (0, 4), (1, 2, 3), 2.5, "many", True])
def test_bad_sizes_are_named(make, size):
    with pytest.raises(ValueError, match=r"n_samples_per_task=.*low <= high"):
        make(3, size)


@every_generator
def test_no_tasks_is_an_error(make):
    with pytest.raises(ValueError, match="n_tasks == 0"):
        make(0)


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ({"prior_mean": [1.0, 2.0]}, r"prior_mean has shape \(2,\)"),
        ({"prior_covariance": np.eye(3)}, r"prior_covariance has shape \(3, 3\)"),
        ({"prior_covariance": -np.eye(6)}, "prior_covariance has the eigenvalue -1"),
        ({"prior_covariance": np.triu(np.ones((6, 6)))}, "prior_covariance is not symmetric"),
        ({"n_features": 0}, "n_features == 0"),
    ],
)
@pytest.mark.parametrize("make", [make_linear_tasks, make_classification_tasks])
def test_bad_priors_are_named(make, argument, found):
    with pytest.raises(ValueError, match=found):
        make(3, **argument)


@pytest.mark.parametrize("make", [make_linear_tasks, make_sinusoid_tasks])
def test_negative_noise_is_an_error(make):
    with pytest.raises(ValueError, match="noise == -1"):
        make(3, noise=-1)


def test_sinusoids_have_their_classic_ranges():
    tasks = make_sinusoid_tasks(4000, 10, random_state=0)
    for name, low, high in [("amplitude", 0.1, 5), ("phase", 0, np.pi)]:
        assert tasks[name].min() >= low
        assert tasks[name].max() <= high
        assert_allclose(tasks[name].mean(), (low + high) / 2, rtol=0.03)
    assert_array_equal(tasks.frequency, 1)
    assert np.abs(tasks.data).max() <= 5
    expected = (0.1**2 + 0.1 * 5 + 5**2) / 3 / 2  # E[A^2] / 2, as the phase covers half a turn
    assert_allclose(np.mean(tasks.target**2), expected, rtol=0.03)


def test_sinusoids_are_the_function_of_their_parameters():
    tasks = make_sinusoid_tasks(20, 10, free_frequency=True, random_state=0)
    own = {name: tasks[name][tasks.groups] for name in ("amplitude", "phase", "frequency")}
    wave = own["amplitude"] * np.sin(own["frequency"] * tasks.data[:, 0] - own["phase"])
    assert_allclose(tasks.target, wave)
    assert tasks.frequency.min() >= 0.5
    assert np.ptp(tasks.frequency) > 0.5


def test_noise_leaves_the_rest_of_the_draw_alone():
    clean = make_sinusoid_tasks(500, 20, random_state=0)
    noisy = make_sinusoid_tasks(500, 20, noise=0.3, random_state=0)
    assert_array_equal(clean.data, noisy.data)
    assert_allclose(np.std(noisy.target - clean.target), 0.3, rtol=0.03)


def test_linear_coefficients_follow_the_prior():
    tasks = make_linear_tasks(20_000, 1, n_features=2, random_state=0)
    assert_allclose(tasks.coef.mean(axis=0), tasks.prior_mean, atol=0.05)
    assert_allclose(np.cov(tasks.coef.T), tasks.prior_covariance, atol=0.1)
    assert_allclose(np.linalg.eigvalsh(tasks.prior_covariance), [1, 2, 4])


def test_linear_targets_are_linear_plus_noise():
    tasks = make_linear_tasks(3, 2000, noise=0.5, random_state=0)
    for task in range(3):
        rows = tasks.groups == task
        model = LinearRegression().fit(tasks.data[rows], tasks.target[rows])
        assert_allclose([model.intercept_, *model.coef_], tasks.coef[task], atol=0.05)
        error = tasks.target[rows] - model.predict(tasks.data[rows])
        assert_allclose(error.std(), 0.5, rtol=0.05)


def test_a_singular_prior_makes_all_tasks_the_same():
    tasks = make_linear_tasks(4, 3, prior_covariance=np.zeros((6, 6)), random_state=0)
    assert_allclose(tasks.coef, np.tile(tasks.prior_mean, (4, 1)))


def test_shared_labels_follow_the_logistic_model():
    tasks = make_classification_tasks(1, 20_000, n_features=2, random_state=1)
    model = LogisticRegression(C=np.inf).fit(tasks.data, tasks.target)
    assert_allclose([*model.intercept_, *model.coef_[0]], tasks.coef[0], atol=0.15)
    assert set(tasks.target) == {0, 1}


def test_own_labels_are_the_classes_of_the_task():
    tasks = make_classification_tasks(30, 15, shared_labels=False, n_ways=5, random_state=0)
    for task, classes in enumerate(tasks.task_classes):
        labels = tasks.target[tasks.groups == task]
        assert_array_equal(np.sort(labels[:5]), np.sort(classes))
        assert_array_equal(np.unique(labels, return_counts=True)[1], [3, 3, 3, 3, 3])
    assert_array_equal(np.unique(tasks.target), np.arange(20))


def test_rows_lie_around_the_prototype_of_their_class():
    tasks = make_classification_tasks(200, 50, 3, shared_labels=False, random_state=0)
    assert_allclose(np.cov((tasks.data - tasks.prototypes[tasks.target]).T), np.eye(3), atol=0.05)


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ({"n_ways": 21}, "n_ways == 21, must be <= 20"),
        ({"n_classes": 1}, "n_classes == 1"),
        ({"n_samples_per_task": 4}, "4 rows for n_ways=5"),
    ],
)
def test_impossible_label_sets_are_named(argument, found):
    with pytest.raises(ValueError, match=found):
        make_classification_tasks(3, shared_labels=False, **argument)
