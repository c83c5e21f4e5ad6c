"""What may name tasks, and what about them must not matter."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from skmeta.exceptions import UnseenTaskWarning
from skmeta.utils.estimator_checks._common import (
    SIZES,
    Check,
    assert_close,
    assert_raises,
    copy_of,
    count_unseen_warnings,
    fitted_copy,
    frames_of,
    outputs_of,
    rows_for,
)

__all__ = ["TASK_CHECKS"]


def check_row_order_does_not_matter(estimator: Any) -> None:
    """The order of training rows changes no bit of a prediction."""
    rows = rows_for(estimator)
    shuffled = rows.take(np.random.default_rng(2).permutation(len(rows.X)))
    assert_array_equal(
        outputs_of(fitted_copy(estimator, shuffled), rows.X, rows.groups),
        outputs_of(fitted_copy(estimator, rows), rows.X, rows.groups),
    )


def check_names_of_tasks_do_not_matter(estimator: Any) -> None:
    """Other labels in another order, of any hashable kind, change no bit of a prediction."""
    rows = rows_for(estimator)
    expected = outputs_of(fitted_copy(estimator, rows), rows.X, rows.groups)
    numbers = np.random.default_rng(3).permutation(len(SIZES))[rows.groups]
    strings = np.array([f"task {number}" for number in numbers])
    tuples = [("task", int(number)) for number in numbers]
    for labels in (numbers / 4, strings, tuples):
        model = fitted_copy(estimator, rows._replace(groups=labels))
        assert_array_equal(outputs_of(model, rows.X, labels), expected)
        assert set(model.tasks_) == set(labels)


def check_task_column_equals_groups(estimator: Any) -> None:
    """A task column, in an array or in any data frame, gives what groups give."""
    rows = rows_for(estimator)
    expected = outputs_of(fitted_copy(estimator, rows), rows.X, rows.groups)
    array = np.column_stack([rows.X, rows.groups])
    for column in (3, -1):
        model = copy_of(estimator, task_column=column).fit(array, rows.y)
        assert_array_equal(outputs_of(model, array), expected)
    for frame in frames_of(rows):
        model = copy_of(estimator, task_column="task").fit(frame, rows.y)
        assert_array_equal(outputs_of(model, frame), expected)
        adapted = model.adapt(frame[-20:], rows.y[-20:])
        assert_array_equal(adapted.tasks_, [11])


def check_rows_without_task_information(estimator: Any) -> None:
    """A model that knows several tasks does not guess; one that knows a single task predicts."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    assert_raises(ValueError, "rows without tasks", model.predict, rows.X)
    assert_raises(ValueError, "rows without tasks", model.score, rows.X, rows.y)
    last = rows.take(rows.groups == 11)
    named = model.adapt(last.X, last.y, groups=last.groups)
    assert_array_equal(outputs_of(model.adapt(last.X, last.y), rows.X), outputs_of(named, rows.X))


def check_column_and_groups_at_once_raise(estimator: Any) -> None:
    """Two sources of labels are an error, in every method."""
    rows = rows_for(estimator)
    array = np.column_stack([rows.X, rows.groups])
    model = copy_of(estimator, task_column=3)
    assert_raises(ValueError, "both in fit", model.fit, array, rows.y, groups=rows.groups)
    model.fit(array, rows.y)
    assert_raises(ValueError, "both in predict", model.predict, array, groups=rows.groups)
    assert_raises(ValueError, "both in adapt", model.adapt, array, rows.y, groups=rows.groups)


def check_groups_are_requested_by_default(estimator: Any) -> None:
    """With metadata routing, groups reach the learner without any set-up."""
    routing = copy_of(estimator).get_metadata_routing()
    methods = ["fit", "predict", "score"]
    methods += [name for name in ("predict_proba", "transform") if hasattr(estimator, name)]
    for method in methods:
        assert routing.consumes(method, ["groups"]), f"{method} does not request groups."


def check_unseen_tasks_are_predicted_with_one_warning(estimator: Any) -> None:
    """Rows of tasks never seen get the prior's prediction, whatever the tasks are called."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows, unseen="prior")
    unseen = np.where(rows.groups > 5, rows.groups + 100, rows.groups)
    assert count_unseen_warnings(model.predict, rows.X, groups=unseen) == 1
    assert count_unseen_warnings(model.score, rows.X, rows.y, groups=unseen) == 1
    assert count_unseen_warnings(model.predict, rows.X, groups=rows.groups) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenTaskWarning)
        outputs = outputs_of(model, rows.X, unseen)
        other = outputs_of(model, rows.X, np.where(unseen > 100, -1, unseen))
    assert np.isfinite(outputs).all()
    assert_close(outputs, other)
    assert_close(
        outputs[rows.groups <= 5],
        outputs_of(model, rows.X, rows.groups)[rows.groups <= 5],
    )


def check_unseen_tasks_raise_if_asked_to(estimator: Any) -> None:
    """With unseen="raise", rows of a task never seen are an error; others are not."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows, unseen="raise")
    assert model.predict(rows.X, groups=rows.groups).shape == rows.y.shape
    assert_raises(
        ValueError, "unseen tasks", model.predict, rows.X, groups=np.full(len(rows.X), 99)
    )
    adapted = model.adapt(rows.X[-9:], rows.y[-9:], groups=np.full(9, 99))
    assert adapted.predict(rows.X, groups=np.full(len(rows.X), 99)).shape == rows.y.shape
    assert_raises(ValueError, "forgotten tasks", adapted.predict, rows.X, groups=rows.groups)


TASK_CHECKS: list[Check] = [
    check_row_order_does_not_matter,
    check_names_of_tasks_do_not_matter,
    check_task_column_equals_groups,
    check_rows_without_task_information,
    check_column_and_groups_at_once_raise,
    check_groups_are_requested_by_default,
    check_unseen_tasks_are_predicted_with_one_warning,
    check_unseen_tasks_raise_if_asked_to,
]
