"""What is promised by learners with a representation, weights of rows, or a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from sklearn.utils.validation import has_fit_parameter

from skmeta.utils.estimator_checks._common import (
    Check,
    Rows,
    copy_of,
    fitted_copy,
    outputs_of,
    parameter_name,
    rows_for,
)

__all__ = ["optional_checks"]


def check_same_random_state_same_result(estimator: Any) -> None:
    """The same seed gives the same bits, and a RandomState works as a seed does."""
    rows = rows_for(estimator)
    for seed in (int, np.random.RandomState):
        first, second = (
            outputs_of(fitted_copy(estimator, rows, random_state=seed(1)), rows.X, rows.groups)
            for _ in range(2)
        )
        assert_array_equal(first, second)


def check_a_row_of_weight_zero_is_no_row(estimator: Any) -> None:
    """Rows of weight 0 may as well be left out."""
    rows = rows_for(estimator)
    kept = np.arange(len(rows.X)) % 5 > 0
    weighted = copy_of(estimator).fit(
        rows.X, rows.y, groups=rows.groups, sample_weight=kept.astype(float)
    )
    fewer = copy_of(estimator).fit(*rows.take(kept), sample_weight=np.ones(kept.sum()))
    assert_array_equal(
        outputs_of(weighted, *_queries(rows.take(kept))),
        outputs_of(fewer, *_queries(rows.take(kept))),
    )


def _queries(rows: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    return rows.X, rows.groups


def check_transform_shape_and_names(estimator: Any) -> None:
    """The representation has a row for each row, and a name for each column."""
    rows = rows_for(estimator)
    model = fitted_copy(estimator, rows)
    values = model.transform(rows.X, groups=rows.groups)
    names = model.get_feature_names_out()
    assert values.shape == (len(rows.X), len(names))
    assert values.dtype == rows.X.dtype
    assert np.isfinite(values).all()
    assert len(set(names)) == len(names)
    assert names.dtype == object


def optional_checks(estimator: Any) -> Iterator[Check]:
    """Yield the checks of what an estimator has."""
    if hasattr(estimator, "transform"):
        yield check_transform_shape_and_names
    if has_fit_parameter(estimator, "sample_weight"):
        yield check_a_row_of_weight_zero_is_no_row
    if parameter_name(estimator, "random_state") is not None:
        yield check_same_random_state_same_result
