import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmeta.tasks import as_labels, separate_tasks


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([3, 1, 2], "i"),
        (np.array([3, 1, 2], dtype=np.int8), "i"),
        (np.array([3, 1, 2], dtype=np.uint64), "u"),
        ([0.5, 1, 2], "f"),
        ([0.5, 1.5, 2.0], "f"),
        ([True, False, True], "i"),
        (np.array([True, False, True]), "b"),
        (["a", "b", "c"], "O"),
        (np.array(["a", "b", "c"]), "O"),
        ([("a", 1), ("b", 2), ("a", 3)], "O"),
        ([("a",), ("b", 2), "c"], "O"),
        (range(3), "i"),
        (pd.Series([1, 2, 3]), "i"),
        (pd.Series(["a", "b", "c"]), "O"),
        (pd.Series(["a", "b", "c"], dtype="category"), "O"),
        (pd.Series([1, 2, 3], dtype="Int64"), "i"),
        (pl.Series(["a", "b", "c"]), "O"),
        (pl.Series([1, 2, 3]), "i"),
        (pd.Index(["a", "b", "c"]), "O"),
        (np.array([1, 2, 3], dtype=object), "i"),
        (np.array([1, 2.5, 3], dtype=object), "f"),
        ([2**80, 2**81, 2**82], "O"),  # hashes and uuids
        ([2**63, 2**63 + 1, 5], "O"),
    ],
)
def test_labels_are_kept_whole(values, kind):
    labels = as_labels(values)
    assert labels.shape == (3,)
    assert labels.dtype.kind == kind
    assert labels.tolist() == list(values)


@pytest.mark.parametrize(
    "values",
    [
        [1.0, np.nan],
        [1.0, np.inf],
        [1, 2.0, np.nan],
        np.array([1, None], dtype=object),
        ["a", None],
        ["a", float("nan")],
        [("a", 1), None],
        ["a", pd.NA],
        ["a", pd.NaT],
        pd.Series([1, None]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", None]),
        pd.Series(["a", None], dtype="category"),
        pl.Series(["a", None]),
        pl.Series([1, None]),
        np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
        pd.Series(pd.to_datetime(["2020-01-01", None])),
    ],
)
def test_a_missing_label_is_an_error(values):
    with pytest.raises(ValueError, match="every row needs a task"):
        as_labels(values)


def test_other_impossible_labels():
    with pytest.raises(ValueError, match=r"one-dimensional, got shape \(2, 1\)"):
        as_labels(np.array([[1], [2]]))
    with pytest.raises(TypeError, match="hashable"):
        as_labels([[1], [2]])
    with pytest.raises(TypeError, match="hashable, got dict"):
        as_labels([{}, "a"])
    with pytest.raises(ValueError, match="Complex"):
        as_labels(np.array([1j]))
    with pytest.raises(ValueError, match="one-dimensional"):
        as_labels(pd.DataFrame({"task": [1, 2]}))


def test_nothing_to_separate():
    X = [[1.0], [2.0]]
    features, labels = separate_tasks(X)
    assert features is X
    assert labels is None


def test_groups_name_the_tasks():
    X = np.ones((3, 2))
    features, labels = separate_tasks(X, groups=["a", "b", "a"])
    assert features is X
    assert labels.tolist() == ["a", "b", "a"]
    with pytest.raises(ValueError, match="groups has 2 labels for the 3 rows"):
        separate_tasks(X, groups=["a", "b"])
    with pytest.raises(ValueError, match="groups has 2 labels for the 3 rows"):
        separate_tasks(sparse.csr_array(X), groups=["a", "b"])


@pytest.mark.parametrize("library", [pd, pl])
def test_a_column_of_a_data_frame(library):
    frame = library.DataFrame({"a": [1.0, 2.0], "task": ["x", "y"], "b": [3.0, 4.0]})
    for column in ("task", 1, -2, np.int64(1)):
        features, labels = separate_tasks(frame, task_column=column)
        assert list(features.columns) == ["a", "b"]
        assert isinstance(features, library.DataFrame)
        assert labels.tolist() == ["x", "y"]
    assert list(frame.columns) == ["a", "task", "b"]
    for column in ("school", 3, -4, True):
        with pytest.raises(ValueError, match="is not a column of X, which has"):
            separate_tasks(frame, task_column=column)


def test_a_column_of_a_pyarrow_table():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1.0, 2.0], "task": ["x", "y"]})
    features, labels = separate_tasks(table, task_column="task")
    assert features.column_names == ["a"]
    assert labels.tolist() == ["x", "y"]


def test_a_column_named_by_a_number():
    frame = pd.DataFrame(np.arange(6.0).reshape(2, 3), columns=[10, 0, 1])
    features, labels = separate_tasks(frame, task_column=0)  # the name, before the position
    assert list(features.columns) == [10, 1]
    assert_array_equal(labels, [1, 4])


def test_a_column_of_an_array():
    X = np.arange(6.0).reshape(2, 3)
    for column, expected in ((0, [0, 3]), (-1, [2, 5]), (np.int64(1), [1, 4])):
        features, labels = separate_tasks(X, task_column=column)
        assert_array_equal(labels, expected)
        assert_array_equal(features, np.delete(X, column, axis=1))
    features, labels = separate_tasks([["a", 1.0], ["b", 2.0]], task_column=0)
    assert labels.tolist() == ["a", "b"]
    assert features.astype(float).tolist() == [[1.0], [2.0]]
    with pytest.raises(ValueError, match="task_column=3 is not a column of X, which has 3"):
        separate_tasks(X, task_column=3)
    with pytest.raises(ValueError, match="task_column='a' names a column, but X is not a data"):
        separate_tasks(X, task_column="a")
    with pytest.raises(ValueError, match="task_column=True names a column"):
        separate_tasks(X, task_column=True)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        separate_tasks(X[0], task_column=0)
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        separate_tasks(X[:, :0], task_column=0)
    with pytest.raises(TypeError, match="Sparse"):
        separate_tasks(sparse.csr_array(X), task_column=0)


def test_both_ways_at_once():
    with pytest.raises(ValueError, match="Both groups and task_column=0"):
        separate_tasks(np.ones((2, 2)), groups=[1, 2], task_column=0)
