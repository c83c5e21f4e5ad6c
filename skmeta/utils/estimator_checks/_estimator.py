"""What scikit-learn's users expect of any estimator, with tasks."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, r2_score

from skmeta.utils.estimator_checks._common import (
    Check,
    Rows,
    assert_close,
    assert_raises,
    copy_of,
    fitted_copy,
    outputs_of,
    parameter_name,
    rows_for,
)

__all__ = ["ESTIMATOR_CHECKS"]


def check_pickle_round_trip(estimator: Any) -> None:
    """Fitted and adapted models predict the same after a pickle."""
    rows = rows_for(estimator)
    fitted = fitted_copy(estimator, rows)
    for model in (fitted, fitted.adapt(*rows)):
        again = pickle.loads(pickle.dumps(model))
        assert_array_equal(
            outputs_of(again, rows.X, rows.groups), outputs_of(model, rows.X, rows.groups)
        )
        assert_array_equal(again.tasks_, model.tasks_)


def check_clone_is_unfitted_and_equal(estimator: Any) -> None:
    """A clone of a fitted model knows nothing, and learns the same."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    copy = clone(model)
    assert not hasattr(copy, "tasks_")
    assert repr(copy.get_params()) == repr(model.get_params())
    assert_array_equal(
        outputs_of(copy.fit(*rows), rows.X, rows.groups), outputs_of(model, rows.X, rows.groups)
    )


def check_fit_twice_equals_fit_once(estimator: Any) -> None:
    """A second fit starts from nothing."""
    rows, other = rows_for(estimator), rows_for(estimator, seed=11)
    model = fitted_copy(estimator, other).fit(*rows)
    assert_array_equal(
        outputs_of(model, rows.X, rows.groups),
        outputs_of(fitted_copy(estimator, rows), rows.X, rows.groups),
    )


def check_fit_leaves_its_input_as_it_was(estimator: Any) -> None:
    """Neither data nor parameters are changed, and nothing fitted aliases the data."""
    rows = rows_for(estimator)
    given = Rows(*(array.copy() for array in rows))
    model = copy_of(estimator)
    before = repr(model.get_params())
    model.fit(*given)
    outputs = outputs_of(model, given.X, given.groups)
    adapted = model.adapt(*given)
    for now, then in zip(given, rows, strict=True):
        assert_array_equal(now, then)
    assert repr(model.get_params()) == before
    given.X[:] = 0.0
    assert_array_equal(outputs_of(model, rows.X, rows.groups), outputs)
    assert_close(outputs_of(adapted, rows.X, rows.groups), outputs)


def check_read_only_input(estimator: Any) -> None:
    """Memory that joblib shares between processes is enough."""
    rows = Rows(*(array.copy() for array in rows_for(estimator)))
    for array in rows:
        array.flags.writeable = False
    model = fitted_copy(estimator, rows)
    assert len(model.adapt(*rows).predict(rows.X, groups=rows.groups)) == len(rows.X)


def check_float_type_is_kept(estimator: Any) -> None:
    """float32 in, float32 out; float64 in, float64 out; integers give float64."""
    rows = rows_for(estimator)
    for dtype in (np.float32, np.float64):
        model = fitted_copy(estimator, rows._replace(X=rows.X.astype(dtype)))
        outputs = outputs_of(model, rows.X.astype(dtype), rows.groups)
        assert outputs.dtype == dtype, f"{dtype.__name__} gave {outputs.dtype}."
        adapted = model.adapt(rows.X.astype(dtype), rows.y, groups=rows.groups)
        assert outputs_of(adapted, rows.X.astype(dtype), rows.groups).dtype == dtype
    integers = np.round(10 * rows.X).astype(int)
    model = fitted_copy(estimator, rows._replace(X=integers))
    assert outputs_of(model, integers, rows.groups).dtype == np.float64


def check_score_is_that_of_scikit_learn(estimator: Any) -> None:
    """`score` is R2 or accuracy over all rows."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    metric = accuracy_score if is_classifier(model) else r2_score
    predicted = model.predict(rows.X, groups=rows.groups)
    score = model.score(rows.X, rows.y, groups=rows.groups)
    assert isinstance(score, float)
    assert_allclose(score, metric(rows.y, predicted), rtol=1e-12)
    weight = np.random.default_rng(12).random(len(rows.X))
    weighted = model.score(rows.X, rows.y, groups=rows.groups, sample_weight=weight)
    assert_allclose(weighted, metric(rows.y, predicted, sample_weight=weight), rtol=1e-12)


def check_parameters_can_be_set(estimator: Any) -> None:
    """`set_params` with what `get_params` gives changes nothing; unknown names raise."""
    model = copy_of(estimator)
    before = repr(model)
    assert repr(model.set_params(**model.get_params(deep=False))) == before
    assert_raises(ValueError, "an unknown parameter", model.set_params, no_such_parameter=1)
    for name in ("task_column", "unseen"):
        assert parameter_name(model, name) is not None, f"There is no parameter {name}."


def check_wrong_unseen_raises(estimator: Any) -> None:
    """`unseen` is one of two words."""
    rows = rows_for(estimator)
    model = copy_of(estimator, unseen="no such thing")
    assert_raises(ValueError, "unseen='no such thing'", model.fit, *rows)


ESTIMATOR_CHECKS: list[Check] = [
    check_pickle_round_trip,
    check_clone_is_unfitted_and_equal,
    check_fit_twice_equals_fit_once,
    check_fit_leaves_its_input_as_it_was,
    check_read_only_input,
    check_float_type_is_kept,
    check_score_is_that_of_scikit_learn,
    check_parameters_can_be_set,
    check_wrong_unseen_raises,
]
