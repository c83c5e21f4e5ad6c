"""Pictures of what meta-transformers made of the tasks."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import HeTRoM, HeTRoMDisplay, RidgeHeadRegressor, TaskGrouping, TaskGroupingDisplay

LEARNER = RidgeHeadRegressor(
    hidden_layer_sizes=(8,), max_iter=150, meta_batch_size=10, random_state=0
)


@pytest.fixture(scope="module")
def tasks():
    """Return sinusoids, the first five of which have noise for labels."""
    tasks = skmeta.make_sinusoid_tasks(25, 20, random_state=0)
    noise = np.random.default_rng(0).normal(scale=5, size=100)
    return tasks.data, np.concatenate([noise, tasks.target[100:]]), tasks.groups


@pytest.mark.parametrize("guidance", [None, "lognormal", "worst_case"])
def test_selection_is_drawn_from_the_record(tasks, guidance):
    X, y, groups = tasks
    model = HeTRoM(LEARNER, drop_hardest=0.3, guidance=guidance).fit(X, y, groups=groups)
    display = HeTRoMDisplay.from_estimator(model)
    histogram, thresholds, selection = display.axes_
    assert sum(patch.get_height() for patch in histogram.patches) >= 25
    assert bool(thresholds.lines) == (guidance != "worst_case")
    assert sum(len(points.get_offsets()) for points in selection.collections) == 25
    if guidance is None:
        named = selection.get_title().removeprefix("Suspects: ").split(", ")
        assert {"0", "1", "2", "3", "4"} <= set(named)
        assert display.n_updates[-1] == 150
        heights = [text.get_text() for text in histogram.get_legend().get_texts()]
        assert heights[1] == f"dropped as hard ({len(model.suspect_tasks_)})"


def test_losses_that_are_negative_and_tasks_that_are_small(tasks):
    X, y, groups = tasks
    rows = np.flatnonzero((groups > 0) | (np.arange(len(groups)) < 2))
    learner = skmeta.BayesianHeadRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0)
    model = HeTRoM(learner).fit(X[rows], 1e-3 * y[rows], groups=groups[rows])
    display = HeTRoMDisplay.from_estimator(model)
    assert display.axes_[0].get_xscale() == "linear"


def test_a_pipeline_and_given_axes(tasks):
    X, y, groups = tasks
    rows = np.column_stack([groups, X])
    learner = LEARNER.set_params(task_column=0)
    model = make_pipeline(skmeta.Shared(StandardScaler(), task_column=0), HeTRoM(learner))
    figure, axes = plt.subplots(1, 3)
    display = HeTRoMDisplay.from_estimator(model.fit(rows, y), ax=axes)
    assert display.figure_ is figure
    assert display.axes_.tolist() == axes.tolist()
    with pytest.raises(ValueError, match=r"HeTRoMDisplay draws 3 panels; ax must hold .* got 2"):
        display.plot(axes[:2])
    LEARNER.set_params(task_column=None)


@pytest.mark.parametrize("group", ["similar", "random"])
def test_groups_are_drawn_in_order(tasks, group):
    X, y, groups = tasks
    model = TaskGrouping(LEARNER, group=group, n_groups=3, embedding="head", random_state=0)
    model.fit(X, y, groups=groups)
    display = TaskGroupingDisplay.from_estimator(model)
    matrix, places = display.axes_
    image = np.asarray(matrix.images[0].get_array())
    order = np.argsort(model.labels_, kind="stable")
    np.testing.assert_array_equal(image, model.dissimilarity_[np.ix_(order, order)])
    assert [len(points.get_offsets()) for points in places.collections] == np.bincount(
        model.labels_
    ).tolist()


def test_the_map_keeps_distances_of_a_plane():
    points = np.random.default_rng(0).uniform(0, 0.5, size=(20, 2))
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    display = TaskGroupingDisplay.from_dissimilarity(distance, np.zeros(20, dtype=int))
    found = np.linalg.norm(display.map_[:, None] - display.map_, axis=-1)
    np.testing.assert_allclose(found, distance, atol=1e-6)


def test_groups_on_given_axes():
    figure, axes = plt.subplots(2, 1)
    D = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) / 4
    display = TaskGroupingDisplay.from_dissimilarity(D, [0, 0, 1, 1], ax=axes)
    assert display.figure_ is figure
    assert display.axes_[0].images
    with pytest.raises(ValueError, match="TaskGroupingDisplay draws 2 panels"):
        display.plot(axes[0])


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_tasks_that_do_not_differ_have_one_place(n_tasks):
    display = TaskGroupingDisplay.from_dissimilarity(np.zeros((n_tasks, n_tasks)), [0] * n_tasks)
    np.testing.assert_array_equal(display.map_, np.zeros((n_tasks, 2)))


def test_of_many_tasks_the_landmarks_are_drawn():
    random = np.random.default_rng(0)
    E = random.normal(size=(60, 3))
    D = skmeta.task_dissimilarity(E, n_landmarks=20)
    display = TaskGroupingDisplay.from_dissimilarity(D, random.integers(2, size=60))
    assert display.dissimilarity.shape == (20, 20)
    np.testing.assert_allclose(display.dissimilarity, display.dissimilarity.T, atol=1e-12)


@pytest.mark.parametrize("display", [HeTRoMDisplay, TaskGroupingDisplay])
def test_other_learners_have_nothing_to_draw(display, tasks):
    X, y, groups = tasks
    with pytest.raises(ValueError, match="RidgeHeadRegressor has no"):
        display.from_estimator(LEARNER.fit(X, y, groups=groups))


def test_an_adapted_model_knows_other_tasks(tasks):
    X, y, groups = tasks
    model = HeTRoM(LEARNER).fit(X, y, groups=groups).adapt(X[:5], y[:5])
    with pytest.raises(ValueError, match="not adapted"):
        HeTRoMDisplay.from_estimator(model)
