"""What classifiers promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from skmeta.utils.estimator_checks._common import (
    Check,
    assert_raises,
    fitted_copy,
    outputs_of,
    own_label_rows,
    parameter_value,
    rows_for,
)

__all__ = ["classifier_checks"]


def check_proba_sums_to_one(estimator: Any) -> None:
    """Probabilities are such, and `predict` names the most probable class."""
    rows = rows_for(estimator)
    fitted = fitted_copy(estimator, rows)
    for model in (fitted, fitted.adapt(*rows)):
        proba = model.predict_proba(rows.X, groups=rows.groups)
        assert proba.shape == (len(rows.X), len(model.classes_))
        assert proba.min() >= 0
        assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        predicted = model.predict(rows.X, groups=rows.groups)
        assert_array_equal(predicted, model.classes_[proba.argmax(axis=1)])
        with np.errstate(divide="ignore"):
            log_proba = np.log(proba)
        assert_allclose(
            model.predict_log_proba(rows.X, groups=rows.groups), log_proba, rtol=1e-6, atol=1e-9
        )


def check_own_label_sets(estimator: Any) -> None:
    """A class that a task does not have gets probability 0; `adapt` has its support's classes."""
    rows = own_label_rows()
    model = fitted_copy(estimator, rows, label_sets="own")
    assert_array_equal(model.classes_, np.arange(20))
    proba = model.predict_proba(rows.X, groups=rows.groups)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    owner = np.arange(20) // 2
    assert (proba[owner != rows.groups[:, None]] == 0).all()
    there = np.isin(rows.groups, [3, 6])
    adapted = model.adapt(*rows.take(there))
    assert_array_equal(adapted.classes_, [6, 7, 12, 13])
    assert_allclose(
        adapted.predict_proba(rows.X[there], groups=rows.groups[there]),
        proba[there][:, [6, 7, 12, 13]],
        rtol=1e-5,
        atol=1e-6,
    )
    names = np.where(rows.y % 2 == 0, "even", "odd")  # labels that fit has not seen
    new = model.adapt(rows.X[:16], names[:16])
    assert_array_equal(new.classes_, ["even", "odd"])
    assert set(new.predict(rows.X)) <= {"even", "odd"}


def check_own_label_sets_need_two_classes(estimator: Any) -> None:
    """One class cannot be told from itself."""
    rows = own_label_rows()
    model = fitted_copy(estimator, rows, label_sets="own")
    assert_raises(ValueError, "a support of one class", model.adapt, rows.X[:8], rows.y[:8])


def check_one_class_in_fit_raises(estimator: Any) -> None:
    """A classifier needs two classes, and is left as it was without them."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    same = np.full(len(rows.y), "low")
    assert_raises(ValueError, "one class", model.fit, rows.X, same, rows.groups)
    assert_array_equal(model.classes_, ["high", "low"])


def check_shared_label_set_is_kept(estimator: Any) -> None:
    """A task whose rows show some of the classes has all of them."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows, label_sets="shared")
    assert_array_equal(model.classes_, ["high", "low"])
    for word in model.classes_:  # tasks of one class
        some = rows.take((rows.y == word) & (rows.groups > 5))
        adapted = model.adapt(*some)
        assert_array_equal(adapted.classes_, model.classes_)
        proba = adapted.predict_proba(some.X, groups=some.groups)
        assert proba.shape == (len(some.X), 2)
        assert np.isfinite(proba).all()


def check_labels_unknown_to_a_shared_label_set_raise(estimator: Any) -> None:
    """A shared label set is that of fit."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows, label_sets="shared")
    y = np.where(rows.y == "low", "middle", rows.y)
    assert_raises(ValueError, "an unknown label", model.adapt, rows.X, y, rows.groups)


def check_names_of_classes_do_not_matter(estimator: Any) -> None:
    """Classes named by numbers are predicted as classes named by strings."""
    rows = rows_for(estimator)
    numbers = np.where(rows.y == "low", 7, -3)  # in the order of the strings
    assert_array_equal(
        outputs_of(fitted_copy(estimator, rows._replace(y=numbers)), rows.X, rows.groups),
        outputs_of(fitted_copy(estimator, rows), rows.X, rows.groups),
    )


def classifier_checks(estimator: Any) -> Iterator[Check]:
    """Yield the checks that apply to a classifier."""
    yield check_proba_sums_to_one
    yield check_one_class_in_fit_raises
    yield check_names_of_classes_do_not_matter
    if parameter_value(estimator, "offset") is None:  # a pooled model needs one label set
        yield check_own_label_sets
        yield check_own_label_sets_need_two_classes
    if parameter_value(estimator, "n_way") is None:
        yield check_shared_label_set_is_kept
        yield check_labels_unknown_to_a_shared_label_set_raise
