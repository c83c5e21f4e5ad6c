"""Bad input is refused, and changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from skmeta.utils.estimator_checks._common import (
    Check,
    assert_raises,
    copy_of,
    fitted_copy,
    frames_of,
    outputs_of,
    rows_for,
)

__all__ = ["INPUT_CHECKS"]


def check_bad_input_raises_and_changes_nothing(estimator: Any) -> None:
    """Bad rows or labels are a ValueError in fit, adapt and predict, which leave the model."""
    rows = rows_for(estimator)
    X, y, groups = rows
    model = fitted_copy(estimator, rows)
    outputs = outputs_of(model, X, groups)
    spoiled = {"NaN": X.copy(), "infinity": X.copy()}
    spoiled["NaN"][3, 1], spoiled["infinity"][3, 1] = np.nan, np.inf
    lost = groups.astype(float)
    lost[0] = np.nan
    nameless = groups.astype(object)
    nameless[0] = None
    cases = {f"{what} in X": (bad, y, groups) for what, bad in spoiled.items()}
    cases["groups too short"] = (X, y, groups[:-1])
    cases["NaN in groups"] = (X, y, lost)
    cases["None in groups"] = (X, y, nameless)
    cases["a table of groups"] = (X, y, np.column_stack([groups, groups]))
    cases["no rows"] = (X[:0], y[:0], groups[:0])
    for what, case in cases.items():
        assert_raises(ValueError, f"{what} in fit", model.fit, *case)
        assert_raises(ValueError, f"{what} in adapt", model.adapt, *case)
        assert_raises(ValueError, f"{what} in predict", model.predict, case[0], groups=case[2])
        assert_array_equal(outputs_of(model, X, groups), outputs)
    assert_raises(ValueError, "y too short in fit", model.fit, X, y[:-1], groups)
    assert_raises(ValueError, "y too short in adapt", model.adapt, X, y[:-1], groups)
    assert_raises(ValueError, "features in adapt", model.adapt, X[:, :2], y, groups)
    assert_raises(ValueError, "features in predict", model.predict, X[:, :2], groups=groups)
    assert_array_equal(outputs_of(model, X, groups), outputs)


def check_missing_task_column_raises(estimator: Any) -> None:
    """A task column that X does not have is an error, and so is X without features."""
    rows = rows_for(estimator)
    assert_raises(
        ValueError, "column 7 of 3", copy_of(estimator, task_column=7).fit, rows.X, rows.y
    )
    assert_raises(
        ValueError, "a name in an array", copy_of(estimator, task_column="t").fit, rows.X, rows.y
    )
    lone = rows.groups[:, None].astype(float)
    assert_raises(ValueError, "no features", copy_of(estimator, task_column=0).fit, lone, rows.y)
    for frame in frames_of(rows):
        assert_raises(
            ValueError, "a missing name", copy_of(estimator, task_column="t").fit, frame, rows.y
        )


INPUT_CHECKS: list[Check] = [
    check_bad_input_raises_and_changes_nothing,
    check_missing_task_column_raises,
]
