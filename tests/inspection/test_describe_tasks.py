"""The table against pandas by hand, and the warnings on tasks made to deserve them."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csc_array, csr_matrix

import skmeta
from skmeta import describe_tasks

TASKS = skmeta.make_linear_tasks(30, (6, 12), 2, noise=0.5, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups


def table(**given):
    return describe_tasks(X, **{"y": Y, "groups": GROUPS, **given}).table


def test_rows_mean_and_sd_are_those_of_each_task():
    found = table()
    expected = pd.Series(Y).groupby(GROUPS)
    assert found["task"].tolist() == list(range(30))
    assert_array_equal(found["rows"], expected.size())
    assert_allclose(found["target_mean"], expected.mean())
    assert_allclose(found["target_sd"], expected.std())
    assert (found["missing"] == 0).all()


def test_classes_and_the_share_of_the_most_frequent():
    classes = np.random.default_rng(0).choice(["a", "b", "c"], len(Y), p=[0.8, 0.1, 0.1])
    found = table(y=classes)
    expected = pd.Series(classes).groupby(GROUPS)
    assert_array_equal(found["classes"], expected.nunique())
    assert_allclose(
        found["majority"], expected.agg(lambda task: task.value_counts(normalize=True).iloc[0])
    )


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_the_table_is_of_the_library_of_x(make):
    frame = make({"school": [f"s{task:02}" for task in GROUPS], "a": X[:, 0], "b": X[:, 1]})
    found = describe_tasks(frame, Y, task_column="school")
    assert type(found.table) is type(frame)
    columns = found.table.to_pydict() if make is pa.table else found.table
    assert list(columns["task"]) == [f"s{task:02}" for task in range(30)]
    assert_allclose(columns["target_sd"], table()["target_sd"])
    assert str(found) == str(describe_tasks(X, Y, groups=GROUPS))


def test_array_and_no_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"describe_tasks returns a data frame.*install pandas"):
        table()
    frame = pl.DataFrame({"school": GROUPS, "a": X[:, 0]})
    assert isinstance(describe_tasks(frame, Y, task_column="school").table, pl.DataFrame)


def test_a_good_collection_has_no_warnings():
    description = describe_tasks(X, Y, groups=GROUPS)
    assert (description.table["warnings"] == "").all()
    assert str(description).endswith("No warnings.")
    assert str(description).startswith(f"30 tasks, {len(Y)} rows: 6 to 12 in each, median ")


def warned(text, **given):
    """Return the tasks whose warnings contain a text; the summary has to count them."""
    description = describe_tasks(X, **{"y": Y, "groups": GROUPS, **given})
    tasks = description.table["task"][description.table["warnings"].str.contains(text)].tolist()
    assert f"Warning: {len(tasks)} of 30 tasks have {text}" in str(description)
    return tasks


def test_tasks_too_small_for_the_shots():
    small = np.flatnonzero(np.bincount(GROUPS) <= 7)
    assert 0 < len(small) < 30
    assert_array_equal(warned("no more than n_shots=7 rows", n_shots=7), small)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 3])
def test_constant_targets(value):
    assert warned("a constant target", y=np.where(GROUPS == 3, value, Y)) == [3]


def test_one_class():
    classes = np.where(GROUPS == 4, 1, np.arange(len(Y)) % 2)
    assert warned("one class", y=classes) == [4]


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_scales_apart(factor):
    y = np.where(GROUPS == 5, factor * Y, Y)
    assert warned("a target sd 10 times above or below", y=y) == [5]


def test_all_scales_alike_are_no_warning_in_any_unit():
    assert (table(y=1e6 * Y + 1e8)["warnings"] == "").all()


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_missing_values_of_x_and_y_are_counted(make):
    holes, y = X.copy(), Y.copy()
    first, second = np.flatnonzero(GROUPS == 2)[:2]
    holes[first], y[second] = np.nan, np.nan
    given = make(holes) if make is not pl.DataFrame else pl.DataFrame(holes, schema=["a", "b"])
    if make is pl.DataFrame:
        given = given.fill_nan(None)
    description = describe_tasks(given, y, groups=GROUPS)
    counts = np.asarray(description.table["missing"])
    assert counts[2] == 3
    assert counts.sum() == 3
    assert np.isfinite(np.asarray(description.table["target_mean"])).all()
    assert "1 of 30 tasks have missing values in X: most learners refuse them; impute" in str(
        description
    )
    assert "1 of 30 tasks have missing targets: no learner takes them; leave those rows out" in str(
        description
    )


def test_numbers_held_as_objects_are_numbers():
    expected = describe_tasks(X, Y, groups=GROUPS)
    holes = pd.Series(Y, dtype=object)
    assert str(describe_tasks(X, holes, groups=GROUPS)) == str(expected)
    assert "Regression" in str(describe_tasks(X, pd.Series(Y).astype("Float64"), groups=GROUPS))
    holes[0] = None
    assert "Regression" in str(describe_tasks(X, holes, groups=GROUPS))
    mixed = np.array([row if row % 2 else f"c{row}" for row in range(len(Y))], dtype=object)
    assert f"Classification: {len(Y)} classes" in str(describe_tasks(X, mixed, groups=GROUPS))


@pytest.mark.parametrize("dtype", [float, object])
def test_infinite_values_are_said_and_left_out(dtype):
    beyond, y = X.copy(), Y.astype(dtype)
    first, second = np.flatnonzero(GROUPS == 2)[:2]
    beyond[first, 0], y[second] = np.inf, -np.inf
    description = describe_tasks(beyond, y, groups=GROUPS)
    assert "1 of 30 tasks have infinite values in X" in str(description)
    assert "1 of 30 tasks have infinite targets" in str(description)
    assert np.isfinite(description.table["target_mean"]).all()
    assert (description.table["missing"] == 0).all()


@pytest.mark.parametrize("make", [csr_matrix, csc_array])
def test_missing_values_of_a_sparse_matrix_are_counted(make):
    holes = X * (X > 0)
    holes[np.flatnonzero(GROUPS == 2)[0]] = np.nan
    found = describe_tasks(make(holes), Y, groups=GROUPS)
    pd.testing.assert_frame_equal(found.table, describe_tasks(holes, Y, groups=GROUPS).table)
    assert found.table["missing"][2] == 2


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize(
    "label", [lambda task: (task, "b"), lambda task: f"s{task}" if task else 0]
)
def test_any_hashable_is_a_task_in_any_library(make, label):
    frame = make({"a": X[:, 0]})
    groups = [label(task) for task in GROUPS.tolist()]
    found = describe_tasks(frame, Y, groups=groups).table
    tasks = found.to_pydict()["task"] if make is pa.table else list(found["task"])
    names = [label(task) for task in range(30)]
    assert tasks == (names if make is pd.DataFrame else list(map(str, names)))


def test_a_single_row():
    description = describe_tasks([[1.0]], [2.5], groups=["a"])
    assert "1 task(s)" in str(description)
    assert np.isnan(description.table["target_sd"][0])


def test_few_tasks_and_tiny_ones():
    description = describe_tasks([[1], [2], [3]], [1.5, 2.0, 4.0], groups=["a", "a", "b"])
    assert "2 task(s) say little about what tasks share" in str(description)
    assert np.isnan(description.table["target_sd"][1])
    assert description.table["rows"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("y", "task_type", "found"),
    [
        (np.arange(30.0), "auto", "Regression"),
        (np.arange(30) % 20, "auto", "Classification: 20 classes"),
        (np.arange(30) % 2 == 0, "auto", "Classification: 2 classes"),
        ([f"c{row}" for row in range(30)], "auto", "Classification: 30 classes"),
        (np.arange(30) % 2 + 0.5, "auto", "Regression"),
        (np.arange(30) % 20, "regression", "Regression"),
        (np.arange(30), "classification", "Classification: 30 classes"),
    ],
)
def test_what_y_is(y, task_type, found):
    description = describe_tasks(
        np.zeros((30, 1)), y, groups=np.arange(30) % 3, task_type=task_type
    )
    assert found in str(description)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groups": None}, "Tasks are needed to describe them"),
        ({"task_column": 0}, "Both groups and task_column"),
        ({"n_shots": 0}, "n_shots == 0"),
        ({"task_type": "ranking"}, "task_type='ranking' must be"),
        ({"y": np.ones((len(Y), 2))}, "should be a 1d array"),
        ({"y": Y[:-1]}, "inconsistent numbers of samples"),
        ({"y": np.full(len(Y), np.nan)}, "y has no known, finite value"),
        ({"X": X[:, 0]}, "Expected 2D array, got 1D array"),
        ({"X": X[:0], "y": Y[:0], "groups": GROUPS[:0]}, "X has no rows"),
    ],
)
def test_what_cannot_be_described_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        describe_tasks(**{"X": X, "y": Y, "groups": GROUPS, **given})
