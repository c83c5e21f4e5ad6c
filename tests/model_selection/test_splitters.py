"""Properties of the splitters; instances share them where they can."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.utils.metadata_routing import get_routing_for_object

from skmeta.model_selection import EpisodicKFold, EpisodicShuffleSplit, TaskKFold

N_SHOTS = 3

EPISODIC = [
    EpisodicKFold(4, N_SHOTS, random_state=0),
    EpisodicKFold(3, N_SHOTS, support="first", n_repeats=2, random_state=1),
    EpisodicShuffleSplit(5, N_SHOTS, random_state=0),
    EpisodicShuffleSplit(5, N_SHOTS, test_size=3, support="first", random_state=0),
]
ALL = [
    *EPISODIC,
    EpisodicKFold(3, N_SHOTS, stratify=True, random_state=0),
    EpisodicShuffleSplit(3, N_SHOTS, stratify=True, random_state=0),
    TaskKFold(4),
    TaskKFold(4, shuffle=True, random_state=0),
]


@pytest.fixture
def rows():
    """Rows of 20 tasks of 4 to 23 rows, and of one that is too small, in mixed order."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(21), [2, *range(4, 24)]))
    X = rng.normal(size=(len(groups), 2))
    return X, rng.integers(0, 2, len(groups)), groups


def splits(cv, X, y, groups):
    return [(train.tolist(), test.tolist()) for train, test in cv.split(X, y, groups)]


@pytest.mark.parametrize("cv", ALL, ids=str)
def test_train_and_test_are_sorted_and_cover_the_rows_once(cv, rows):
    found = list(cv.split(*rows))
    assert len(found) == cv.get_n_splits()
    for train, test in found:
        assert len(test) > 0
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(rows[0])))
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()


@pytest.mark.parametrize("cv", ALL, ids=str)
def test_same_random_state_gives_the_same_splits(cv, rows):
    assert splits(cv, *rows) == splits(cv, *rows) == splits(clone(cv, safe=False), *rows)


@pytest.mark.parametrize("cv", ALL, ids=str)
@pytest.mark.parametrize(
    "rename", [lambda task: 100 - task, lambda task: f"school {task % 7} {task}"]
)
def test_names_of_tasks_do_not_matter(cv, rename, rows):
    X, y, groups = rows
    renamed = [rename(task) for task in groups.tolist()]
    assert splits(cv, X, y, groups) == splits(cv, X, y, renamed)


@pytest.mark.parametrize("cv", ALL, ids=str)
def test_a_column_of_x_serves_as_well_as_groups(cv, rows):
    X, y, groups = rows
    expected = splits(cv, X, y, groups)
    names = [f"task {task}" for task in groups]
    columns = {"a": X[:, 0], "task": names, "b": X[:, 1]}
    for table, column in [
        (np.column_stack([groups, X]), 0),
        (np.column_stack([X, groups]), -1),
        (pd.DataFrame(columns, index=groups), "task"),
        (pl.DataFrame(columns), "task"),
    ]:
        by_column = clone(cv, safe=False)
        by_column.task_column = column
        assert splits(by_column, table, y, None) == expected


@pytest.mark.parametrize("cv", EPISODIC, ids=str)
def test_n_shots_rows_of_each_held_out_task_are_in_train(cv, rows):
    X, y, groups = rows
    for train, test in cv.split(X, y, groups):
        for task in np.unique(groups[test]):
            assert (groups[train] == task).sum() == N_SHOTS


@pytest.mark.parametrize("cv", [cv for cv in EPISODIC if cv.support == "first"], ids=str)
def test_first_support_comes_before_all_test_rows_of_the_task(cv, rows):
    X, y, groups = rows
    for train, test in cv.split(X, y, groups):
        for task in np.unique(groups[test]):
            assert train[groups[train] == task].max() < test[groups[test] == task].min()


def test_random_support_is_drawn_anew_in_each_repeat(rows):
    X, y, groups = rows
    found = list(EpisodicKFold(2, N_SHOTS, n_repeats=5, random_state=0).split(X, y, groups))
    supports = {tuple(train[groups[train] == 20]) for train, test in found if 20 in groups[test]}
    assert len(supports) == 5


@pytest.mark.parametrize("splitter", [EpisodicKFold, EpisodicShuffleSplit])
def test_stratified_support_has_n_shots_rows_of_each_class(splitter, rows):
    X, _, groups = rows
    y = np.random.default_rng(1).choice(["active", "inactive", "unknown"], len(groups))
    cv = splitter(3, 2, stratify=True, random_state=0)
    for train, test in cv.split(X, y, groups):
        for task in np.unique(groups[test]):
            for label in np.unique(y):
                cell = (groups == task) & (y == label)
                assert cell[train].sum() == min(2, cell.sum())


def test_each_large_enough_task_is_held_out_once_per_repeat(rows):
    X, y, groups = rows
    cv = EpisodicKFold(3, N_SHOTS, n_repeats=4, random_state=0)
    held_out = [np.unique(groups[test]) for _, test in cv.split(X, y, groups)]
    for repeat in np.split(np.arange(12), 4):
        tasks = np.concatenate([held_out[fold] for fold in repeat])
        np.testing.assert_array_equal(np.sort(tasks), np.arange(1, 21))
        sizes = [len(held_out[fold]) for fold in repeat]
        assert max(sizes) - min(sizes) <= 1


def test_task_k_fold_holds_out_every_task_whole(rows):
    X, y, groups = rows
    found = list(TaskKFold(4).split(X, y, groups))
    for train, test in found:
        assert not set(groups[train]) & set(groups[test])
    tests = np.concatenate([test for _, test in found])
    np.testing.assert_array_equal(np.sort(tests), np.arange(len(groups)))


@pytest.mark.parametrize(("test_size", "held_out"), [(0.5, 10), (0.01, 1), (0.21, 5), (3, 3)])
def test_shuffle_split_holds_out_the_share_or_number_asked_for(test_size, held_out, rows):
    X, y, groups = rows
    cv = EpisodicShuffleSplit(3, N_SHOTS, test_size=test_size, random_state=0)
    assert [len(np.unique(groups[test])) for _, test in cv.split(X, y, groups)] == [held_out] * 3


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (EpisodicKFold(21, N_SHOTS), "n_splits=21 .* only 20 task.* more than n_shots=3"),
        (EpisodicKFold(2, 500), "only 0 task"),
        (EpisodicKFold(1, N_SHOTS), "n_splits == 1"),
        (EpisodicKFold(2, 0), "n_shots == 0"),
        (EpisodicKFold(2, n_repeats=0), "n_repeats == 0"),
        (EpisodicKFold(2, support="last"), "support='last' must be"),
        (EpisodicShuffleSplit(2, N_SHOTS, test_size=30), "test_size=30 .* only 20"),
        (EpisodicShuffleSplit(2, N_SHOTS, test_size=1.0), "test_size == 1.0"),
        (EpisodicShuffleSplit(0, N_SHOTS), "n_splits == 0"),
        (TaskKFold(22), "n_splits=22 .* there are 21"),
        (TaskKFold(4, task_column=0), "Both groups and task_column"),
    ],
)
def test_what_cannot_be_done_is_said(cv, message, rows):
    with pytest.raises(ValueError, match=message):
        next(cv.split(*rows))


@pytest.mark.parametrize("cv", ALL, ids=str)
def test_missing_task_information_is_an_error(cv, rows):
    X, y, _ = rows
    with pytest.raises(ValueError, match=r"set task_column .* or pass groups"):
        next(cv.split(X, y))


@pytest.mark.parametrize(("given", "message"), [(False, "needs y"), (True, "continuous")])
def test_stratification_needs_classes(given, message, rows):
    X, _, groups = rows
    y = np.linspace(0, 1, len(groups)) if given else None
    with pytest.raises(ValueError, match=message):
        next(EpisodicKFold(2, stratify=True).split(X, y, groups))


@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
def test_plain_estimators_are_validated_on_tables_with_a_task_column(container, rows):
    X, y, groups = rows
    table = np.column_stack([groups, X])
    if container != "numpy":
        library = {"pandas": pd, "polars": pl}[container]
        table = library.DataFrame({"task": groups, "a": X[:, 0], "b": X[:, 1]})
    column = 0 if container == "numpy" else "task"
    cv = EpisodicKFold(3, N_SHOTS, task_column=column, random_state=0)
    scores = cross_val_score(Ridge(), table, y, cv=cv, scoring="neg_root_mean_squared_error")
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=cv).fit(table, y)
    assert np.isfinite(scores).all()
    assert search.n_splits_ == 3


@pytest.mark.parametrize("cv", ALL, ids=str)
def test_groups_reach_the_splitter_by_routing_without_any_request(cv, rows):
    X, y, groups = rows
    with config_context(enable_metadata_routing=True):
        assert get_routing_for_object(cv).split.requests == {"groups": True}
        result = cross_validate(
            Ridge(), X, y, cv=cv, params={"groups": groups}, return_indices=True
        )
        GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=cv).fit(X, y, groups=groups)
    found = [test.tolist() for test in result["indices"]["test"]]
    assert found == [test for _, test in splits(cv, X, y, groups)]


def test_splits_of_many_tasks_are_fast():
    groups = np.random.default_rng(0).integers(0, 20_000, 200_000)
    sizes = [len(test) for _, test in EpisodicKFold(5, 2).split(groups[:, None], groups=groups)]
    assert sum(sizes) > 100_000  # a loop over tasks would take minutes


def test_repr_names_the_parameters():
    assert repr(EpisodicKFold(3, 2, task_column="school")).startswith("EpisodicKFold(n_repeats=1")
    assert "task_column='school'" in repr(TaskKFold(task_column="school"))
