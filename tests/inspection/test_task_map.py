"""The map keeps distances between tasks and shows their errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import pdist
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import RidgeHeadRegressor, TaskErrorDisplay, TaskMapDisplay

TASKS = skmeta.make_linear_tasks(15, (5, 12), 3, noise=0.3, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups


def test_two_numbers_are_only_scaled_and_turned():
    embedding = np.random.default_rng(0).normal(size=(20, 2)) * [1.0, 50.0]
    display = TaskMapDisplay.from_embedding(embedding)
    scaled = StandardScaler().fit_transform(embedding)
    assert_allclose(pdist(display.scatter_.get_offsets()), pdist(scaled))
    assert display.explained.sum() == pytest.approx(1.0)
    assert display.colorbar_ is None


def test_clusters_of_tasks_stay_apart():
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], 10)
    display = TaskMapDisplay.from_embedding(rng.normal(size=(20, 6)) + 10 * kind[:, None])
    first = display.positions[:, 0]
    assert abs(first[kind == 0].mean() - first[kind == 1].mean()) > 4 * first[kind == 0].std()


def test_colours_are_errors():
    errors = np.linspace(0, 1, 20)
    display = TaskMapDisplay.from_embedding(
        np.random.default_rng(0).normal(size=(20, 3)), errors=errors, error_name="Regret"
    )
    assert_allclose(display.scatter_.get_array(), errors)
    assert display.colorbar_.ax.get_ylabel() == "Regret"
    assert len(display.figure_.axes) == 2


def test_a_transformer_describes_a_task_by_the_mean_of_its_rows():
    scaler = StandardScaler().fit(X)
    found = TaskMapDisplay.from_estimator(scaler, X, groups=GROUPS)
    means = [scaler.transform(X[task == GROUPS]).mean(axis=0) for task in range(15)]
    assert_allclose(found.positions, TaskMapDisplay.from_embedding(means).positions)
    by_column = TaskMapDisplay.from_estimator(
        StandardScaler().fit(np.column_stack([X, GROUPS])),
        np.column_stack([X, GROUPS]),
        task_column=3,
    )
    assert by_column.positions.shape == (15, 2)


@pytest.mark.parametrize("metric", [None, mean_absolute_error, "r2"])
def test_a_deep_learner_gives_description_and_errors(metric):
    model = RidgeHeadRegressor(max_iter=5, hidden_layer_sizes=(8,), random_state=0)
    model.fit(X, Y, groups=GROUPS)
    found = TaskMapDisplay.from_estimator(model, X, Y, groups=GROUPS, metric=metric)
    expected = TaskErrorDisplay.from_estimator(model, X, Y, groups=GROUPS, metric=metric)
    assert_allclose(found.errors, expected.errors)
    assert found.error_name == expected.error_name
    colours = found.scatter_.to_rgba(np.sort(found.errors))[:, :3].sum(axis=1)
    darkest_is_lowest = colours[0] < colours[-1]
    assert darkest_is_lowest == (metric == "r2")


@pytest.mark.parametrize(
    ("embedding", "errors", "message"),
    [
        (np.ones((1, 3)), None, "minimum of 2 is required"),
        (np.ones((5, 1)), None, "minimum of 2 is required"),
        (np.full((5, 2), np.nan), None, "embedding contains NaN"),
        (np.arange(10).reshape(5, 2), [1.0], "inconsistent numbers of samples"),
        (np.tile([1.0, 7.3], (5, 1)), None, "describes all tasks by the same numbers"),
    ],
)
def test_what_cannot_be_drawn_is_said(embedding, errors, message):
    with pytest.raises(ValueError, match=message):
        TaskMapDisplay.from_embedding(embedding, errors=errors)


def test_tasks_are_needed():
    with pytest.raises(ValueError, match="Tasks are needed to show them"):
        TaskMapDisplay.from_estimator(StandardScaler().fit(X), X)
    with pytest.raises(TypeError, match="Ridge has no method transform to describe tasks by"):
        TaskMapDisplay.from_estimator(Ridge().fit(X, Y), X, groups=GROUPS)
