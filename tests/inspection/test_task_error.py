"""The picture shows each task at its rows and error, and names the worst."""

import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import EmpiricalBayesRegressor, Shared, TaskErrorDisplay

TASKS = skmeta.make_linear_tasks(20, (5, 30), 3, noise=0.3, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
NAMES = np.array([f"s{task:02}" for task in GROUPS])


def by_hand(predicted, metric=root_mean_squared_error):
    return [metric(Y[task == GROUPS], predicted[task == GROUPS]) for task in np.unique(GROUPS)]


def test_a_point_for_each_task():
    predicted = Ridge().fit(X, Y).predict(X)
    display = TaskErrorDisplay.from_predictions(Y, predicted, NAMES)
    found = display.scatter_.get_offsets()
    assert_array_equal(found[:, 0], np.bincount(GROUPS))
    assert_allclose(found[:, 1], by_hand(predicted))
    assert_allclose(display.line_.get_ydata(), root_mean_squared_error(Y, predicted))
    assert display.ax_.get_ylabel() == "Root mean squared error"


def test_the_worst_tasks_are_named_first_and_do_not_cover_each_other():
    n_rows, errors = np.full(6, 10), np.array([1.0, 5.0, np.nan, 4.9, 4.95, 0.0])
    display = TaskErrorDisplay(
        errors=errors, n_rows=n_rows, tasks=np.array(list("abcdef")), overall=1.0
    ).plot(n_named=3)
    assert [text.get_text() for text in display.texts_] == ["b", "e", "d"]
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.texts_]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))
    assert not display.plot(n_named=0).texts_


def test_estimators_with_groups_or_a_column():
    model = EmpiricalBayesRegressor().fit(X, Y, groups=GROUPS)
    expected = by_hand(model.predict(X, groups=GROUPS))
    display = TaskErrorDisplay.from_estimator(model, X, Y, groups=GROUPS)
    assert_allclose(display.errors, expected)
    table = np.column_stack([GROUPS, X])
    pipe = make_pipeline(
        Shared(StandardScaler(), task_column=0), EmpiricalBayesRegressor(task_column=0)
    ).fit(table, Y)
    display = TaskErrorDisplay.from_estimator(pipe, table, Y, task_column=0)
    assert_allclose(display.errors, expected, rtol=1e-4)
    pooled = Ridge().fit(X, Y)
    display = TaskErrorDisplay.from_estimator(pooled, X, Y, groups=NAMES)
    assert_allclose(display.errors, by_hand(pooled.predict(X)))
    assert display.tasks.tolist() == sorted(set(NAMES))


def test_a_pipeline_gets_its_groups_without_routing_being_switched_on():
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), EmpiricalBayesRegressor())
        pipe.fit(X, Y, groups=GROUPS)
    display = TaskErrorDisplay.from_estimator(pipe, X, Y, groups=GROUPS)
    pooled = TaskErrorDisplay.from_estimator(Ridge().fit(X, Y), X, Y, groups=GROUPS)
    assert display.errors.mean() < 0.5 * pooled.errors.mean()


def test_metric():
    classes = np.where(Y > 0, "up", "down")
    model = LogisticRegression().fit(X, classes)
    wrong = model.predict(X) != classes
    rate = [wrong[task == GROUPS].mean() for task in np.unique(GROUPS)]
    for display in (
        TaskErrorDisplay.from_estimator(model, X, classes, groups=GROUPS),
        TaskErrorDisplay.from_predictions(classes, model.predict(X), GROUPS),
    ):
        assert_allclose(display.errors, rate)
        assert display.ax_.get_ylabel() == "Error rate"
    display = TaskErrorDisplay.from_predictions(Y, Y + 1, GROUPS, metric=mean_absolute_error)
    assert_allclose(display.errors, 1.0)
    assert display.ax_.get_ylabel() == "Mean absolute error"


@pytest.mark.parametrize("metric", ["r2", r2_score])
def test_of_a_score_the_lowest_are_the_worst_and_the_same_on_either_side(metric):
    rng = np.random.default_rng(0)
    predicted = Y + rng.normal(size=len(Y)) * (1 + 3 * (GROUPS % 3))
    display = TaskErrorDisplay.from_predictions(Y, predicted, GROUPS, metric=metric, n_named=4)
    assert_allclose(display.errors, by_hand(predicted, r2_score))
    worst = np.argsort(display.errors)[:4]
    assert [text.get_text() for text in display.texts_] == [str(task) for task in worst]
    mirrored = TaskErrorDisplay(
        errors=-display.errors, n_rows=display.n_rows, tasks=display.tasks, overall=0.0
    ).plot(n_named=np.int64(4))
    display.figure_.canvas.draw()
    places = [[text.xyann[1] for text in shown.texts_] for shown in (display, mirrored)]
    assert_allclose(places[0], -np.array(places[1]), atol=1)


def test_names_of_scorers():
    named = TaskErrorDisplay.from_predictions(Y, Y + 1, GROUPS, metric="neg_mean_absolute_error")
    assert_allclose(named.errors, 1.0)
    assert named.ax_.get_ylabel() == "Mean absolute error"
    assert not named.greater_is_better
    classes = np.where(Y > 0, "up", "down")
    model = LogisticRegression().fit(X, classes)
    rate = TaskErrorDisplay.from_estimator(model, X, classes, groups=GROUPS)
    right = TaskErrorDisplay.from_estimator(model, X, classes, groups=GROUPS, metric="accuracy")
    assert_allclose(right.errors, 1 - rate.errors)
    assert right.greater_is_better
    assert right.ax_.get_ylabel() == "Accuracy"


def test_an_error_of_probabilities_is_an_error():
    classes = np.where(Y > 0, "up", "down")
    model = LogisticRegression().fit(X, classes)
    display = TaskErrorDisplay.from_predictions(
        classes,
        model.predict_proba(X),
        GROUPS,
        metric=partial(log_loss, labels=model.classes_),
    )
    assert not display.greater_is_better


@pytest.mark.parametrize(("most", "scale"), [(60, "linear"), (600, "log")])
def test_tasks_of_very_different_sizes_get_a_log_axis(most, scale):
    display = TaskErrorDisplay(
        errors=np.ones(2), n_rows=np.array([10, most]), tasks=np.arange(2), overall=1.0
    )
    assert display.plot().ax_.get_xscale() == scale


def test_what_cannot_be_drawn_is_said(monkeypatch):
    model = Ridge().fit(X, Y)
    with pytest.raises(ValueError, match="Tasks are needed to show them"):
        TaskErrorDisplay.from_estimator(model, X, Y)
    with pytest.raises(ValueError, match="metric='roc_auc' is not computed from predictions"):
        TaskErrorDisplay.from_predictions(Y > 0, Y > 0, GROUPS, metric="roc_auc")
    with pytest.raises(ValueError, match="r_squared"):
        TaskErrorDisplay.from_predictions(Y, Y, GROUPS, metric="r_squared")
    with pytest.raises(ValueError, match="n_named == -1"):
        TaskErrorDisplay.from_estimator(model, X, Y, groups=GROUPS, n_named=-1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TaskErrorDisplay.from_predictions(Y, Y, GROUPS[:-1])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="from_predictions requires matplotlib"):
        TaskErrorDisplay.from_predictions(Y, Y, GROUPS)
