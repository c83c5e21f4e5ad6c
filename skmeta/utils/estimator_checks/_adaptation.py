"""What adapting to new tasks promises."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from skmeta.utils.estimator_checks._common import (
    SIZES,
    Check,
    assert_close,
    fitted_copy,
    outputs_of,
    rows_for,
)

__all__ = ["ADAPTATION_CHECKS"]


def check_adapting_to_a_task_of_fit_changes_nothing(estimator: Any) -> None:
    """`adapt` on a task's own rows predicts as `fit` does."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    adapted = model.adapt(rows.X, rows.y, groups=rows.groups)
    expected = outputs_of(model, rows.X, rows.groups)
    assert_close(outputs_of(adapted, rows.X, rows.groups), expected)
    one = rows.take(rows.groups == 8)
    alone = model.adapt(one.X, one.y)
    assert_close(outputs_of(alone, one.X), expected[rows.groups == 8])


def check_adapting_many_tasks_equals_one_at_a_time(estimator: Any) -> None:
    """One call for ragged tasks gives what a call for each gives."""
    model = fitted_copy(estimator)
    new = rows_for(estimator, seed=4)
    new = new.take(new.groups > 2)  # the others have one class, which not all learners take alone
    together = outputs_of(model.adapt(new.X, new.y, groups=new.groups), new.X, new.groups)
    for task in np.unique(new.groups):
        there = new.groups == task
        alone = model.adapt(new.X[there], new.y[there])
        assert_close(outputs_of(alone, new.X[there]), together[there])


def check_adapt_and_predict_leave_the_model_as_it_was(estimator: Any) -> None:
    """Neither changes a byte of the model."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    outputs, content = outputs_of(model, rows.X, rows.groups), pickle.dumps(model)
    new = rows_for(estimator, seed=5)
    adapted = model.adapt(new.X, new.y, groups=new.groups)
    adapted.predict(new.X, groups=new.groups)
    assert pickle.dumps(model) == content
    assert_array_equal(outputs_of(model, rows.X, rows.groups), outputs)
    assert type(adapted) is type(model)
    assert adapted is not model


def check_support_order_does_not_matter(estimator: Any) -> None:
    """The order of support rows changes no bit of a prediction."""
    model = fitted_copy(estimator)
    new = rows_for(estimator, seed=6)
    shuffled = new.take(np.random.default_rng(7).permutation(len(new.X)))
    assert_array_equal(
        outputs_of(model.adapt(*shuffled), new.X, new.groups),
        outputs_of(model.adapt(*new), new.X, new.groups),
    )


def check_predictions_do_not_depend_on_other_rows(estimator: Any) -> None:
    """A row is predicted alike, alone and among others."""
    rows = rows_for(estimator)
    fitted = fitted_copy(estimator, rows)
    for model in (fitted, fitted.adapt(*rows)):
        together = outputs_of(model, rows.X, rows.groups)
        for row in (0, 5, 60, -1):
            alone = outputs_of(model, rows.X[[row]], rows.groups[[row]])
            assert_close(alone, together[[row]])


def check_one_row_tasks(estimator: Any) -> None:
    """A task of one row is adapted to, and its prediction is finite."""
    model = fitted_copy(estimator)
    new = rows_for(estimator, seed=8)
    _, first = np.unique(new.groups, return_index=True)
    last = np.append(first[1:], len(new.X)) - 1
    one = new.take(np.where(new.groups[first] % 2 == 0, first, last))  # of both classes
    adapted = model.adapt(*one)
    assert_array_equal(np.sort(adapted.tasks_), np.arange(len(SIZES)))
    assert np.isfinite(outputs_of(adapted, new.X, new.groups)).all()


def check_adapt_from_adapted(estimator: Any) -> None:
    """What `adapt` returns can adapt on, and knows the new tasks alone."""
    model = fitted_copy(estimator)
    first, second = rows_for(estimator, seed=9), rows_for(estimator, seed=10)
    again = model.adapt(*first).adapt(*second)
    assert_close(
        outputs_of(again, first.X, first.groups),
        outputs_of(model.adapt(*second), first.X, first.groups),
    )


ADAPTATION_CHECKS: list[Check] = [
    check_adapting_to_a_task_of_fit_changes_nothing,
    check_adapting_many_tasks_equals_one_at_a_time,
    check_adapt_and_predict_leave_the_model_as_it_was,
    check_support_order_does_not_matter,
    check_predictions_do_not_depend_on_other_rows,
    check_one_row_tasks,
    check_adapt_from_adapted,
]
