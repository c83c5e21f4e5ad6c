"""What regressors promise."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.utils import get_tags

from skmeta.utils.estimator_checks._common import Check, assert_raises, fitted_copy, rows_for

__all__ = ["regressor_checks"]


def check_adapt_rejects_another_number_of_outputs(estimator: Any) -> None:
    """Support targets have as many outputs as those of fit."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    two = np.column_stack([rows.y, rows.y])
    assert_raises(ValueError, "two outputs instead of one", model.adapt, rows.X, two, rows.groups)


def check_targets_must_be_finite(estimator: Any) -> None:
    """NaN and infinity are no targets."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    for bad in (np.nan, np.inf):
        y = rows.y.copy()
        y[2] = bad
        assert_raises(ValueError, f"{bad} in y of fit", model.fit, rows.X, y, rows.groups)
        assert_raises(ValueError, f"{bad} in y of adapt", model.adapt, rows.X, y, rows.groups)


def check_several_outputs(estimator: Any) -> None:
    """Targets with several columns are predicted with as many, one column with one."""
    rows = rows_for(estimator)
    for y in (np.column_stack([rows.y, -2 * rows.y]), rows.y[:, None]):
        model = fitted_copy(estimator, rows._replace(y=y))
        assert model.predict(rows.X, groups=rows.groups).shape == y.shape
        new = model.adapt(rows.X[-20:], y[-20:])
        assert new.predict(rows.X).shape == y.shape
        assert model.score(rows.X, y, groups=rows.groups) <= 1


def check_std_is_positive(estimator: Any) -> None:
    """`return_std` adds a positive deviation in the shape and float type of the prediction."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    for dtype in (np.float32, np.float64):
        X = rows.X.astype(dtype)
        mean, std = model.predict(X, groups=rows.groups, return_std=True)
        assert_array_equal(mean, model.predict(X, groups=rows.groups))
        assert std.shape == mean.shape
        assert std.dtype == mean.dtype
        assert (std > 0).all()


def regressor_checks(estimator: Any) -> Iterator[Check]:
    """Yield the checks that apply to a regressor."""
    yield check_adapt_rejects_another_number_of_outputs
    yield check_targets_must_be_finite
    if get_tags(estimator).target_tags.multi_output:
        yield check_several_outputs
    if "return_std" in inspect.signature(estimator.predict).parameters:
        yield check_std_is_positive
