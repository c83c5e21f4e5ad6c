"""The curve against what its definition says by hand, and what it promises of its draws."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer, mean_absolute_error, root_mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skmeta
from skmeta import (
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    EpisodicKFold,
    Shared,
    adaptation_curve,
    task_scorer,
)
from skmeta.model_selection._folds import Fold

TASKS = skmeta.make_linear_tasks(24, (8, 14), 3, noise=0.3, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
NAMES = np.array([f"school {task}" for task in GROUPS])
QUICK = {"shots": (1, 3, 5), "n_splits": 3, "random_state": 0}


def by_hand(fit_and_predict, n_repeats=1, support="random"):
    """Mean over repeats of each task's error at five shots, from the splitter alone."""
    cv = EpisodicKFold(3, 5, n_repeats=n_repeats, support=support, random_state=0)
    errors = {task: [] for task in np.unique(GROUPS)}
    for train, test in cv.split(X, groups=GROUPS):
        predicted = fit_and_predict(train, test)
        for task in np.unique(GROUPS[test]):
            rows = GROUPS[test] == task
            errors[task].append(-root_mean_squared_error(Y[test][rows], predicted[rows]))
    return [np.mean(errors[task]) for task in np.unique(GROUPS)]


@pytest.mark.parametrize(("n_repeats", "support"), [(1, "first"), (2, "first"), (2, "random")])
def test_an_ordinary_estimator_is_fitted_on_train_tasks_and_shots(n_repeats, support):
    def expected(train, test):
        return Ridge().fit(X[train], Y[train]).predict(X[test])

    curve = adaptation_curve(
        Ridge(), X, Y, groups=GROUPS, n_repeats=n_repeats, support=support, **QUICK
    )
    assert_array_equal(curve.tasks, np.unique(GROUPS))
    np.testing.assert_allclose(curve.scores[-1], by_hand(expected, n_repeats, support))
    assert (curve.adapt_times == 0).all()
    assert (curve.fit_times > 0).all()
    assert curve.fit_times.shape == (3, 3 * n_repeats)


def test_a_meta_learner_is_fitted_on_train_tasks_and_adapted_to_the_shots():
    def expected(train, test):
        known = np.isin(GROUPS[train], GROUPS[test])
        fit, shots = train[~known], train[known]
        model = EmpiricalBayesRegressor().fit(X[fit], Y[fit], groups=GROUPS[fit])
        return model.adapt(X[shots], Y[shots], groups=GROUPS[shots]).predict(
            X[test], groups=GROUPS[test]
        )

    curve = adaptation_curve(EmpiricalBayesRegressor(), X, Y, groups=GROUPS, **QUICK)
    np.testing.assert_allclose(curve.scores[-1], by_hand(expected))
    assert (curve.adapt_times > 0).all()
    assert (curve.fit_times == curve.fit_times[0]).all()


class CountFits(RegressorMixin, BaseEstimator):
    """A meta-learner that counts its fits."""

    n_fits = 0

    def fit(self, X, y):
        CountFits.n_fits += 1
        return self

    def adapt(self, X, y, groups=None):
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_a_meta_learner_is_fitted_once_per_fold(monkeypatch):
    monkeypatch.setattr(CountFits, "n_fits", 0)
    adaptation_curve(CountFits(), X, Y, groups=GROUPS, **QUICK)
    assert CountFits.n_fits == 3


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_fewer_shots_are_part_of_more_shots(seed, n_classes):
    cells = GROUPS * n_classes + np.arange(len(GROUPS)) % n_classes
    _, test = next(EpisodicKFold(3, 6, random_state=0).split(X, groups=GROUPS))
    fold = Fold.of(GROUPS, cells, test, np.array([1, 2, 3]), seed)
    for number, (few, more) in enumerate(
        zip([np.array([], dtype=int), *fold.supports], fold.supports, strict=False)
    ):
        assert set(few) < set(more)
        _, counts = np.unique(cells[more], return_counts=True)
        assert counts.max() == number + 1
        assert not set(more) & set(test)
        assert not set(GROUPS[more]) & set(GROUPS[fold.train])


CURVE = adaptation_curve(
    make_pipeline(StandardScaler(), EmpiricalBayesRegressor()), X, Y, groups=GROUPS, **QUICK
)


def pipeline(column):
    return make_pipeline(
        Shared(StandardScaler(), task_column=column), EmpiricalBayesRegressor(task_column=column)
    )


def test_a_column_serves_as_well_as_groups():
    columns = {"school": NAMES, "a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}
    for table, column in [
        (np.column_stack([GROUPS, X]), 0),
        (pd.DataFrame(columns, index=GROUPS), "school"),
        (pl.DataFrame(columns), "school"),
    ]:
        found = adaptation_curve(pipeline(column), table, Y, task_column=column, **QUICK)
        np.testing.assert_allclose(found.scores, CURVE.scores)
    assert found.tasks.tolist() == [f"school {task}" for task in CURVE.tasks]


@pytest.mark.parametrize(
    "estimator",
    [
        GridSearchCV(pipeline(0), {}, cv=EpisodicKFold(2, 2, task_column=0)),
        make_pipeline(pipeline(0)),
    ],
    ids=["search", "nested"],
)
def test_whatever_ends_in_a_meta_learner_adapts(estimator):
    found = adaptation_curve(estimator, np.column_stack([GROUPS, X]), Y, task_column=0, **QUICK)
    np.testing.assert_allclose(found.scores, CURVE.scores)
    assert (found.adapt_times > 0).all()


def test_groups_reach_the_splitter_of_a_search():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=EpisodicKFold(2, 2))
    found = adaptation_curve(search, X, Y, groups=GROUPS, **QUICK)
    expected = adaptation_curve(Ridge(), X, Y, groups=GROUPS, **QUICK)
    assert_array_equal(found.scores, expected.scores)


def test_an_ordinary_pipeline_may_use_the_task_column():
    table = pd.DataFrame(X, columns=list("abc")).assign(school=NAMES)
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["school"]), remainder="passthrough"
    )
    level = np.repeat(np.arange(24) * 10.0, np.bincount(GROUPS))
    found = adaptation_curve(
        make_pipeline(encoded, Ridge()), table, level, task_column="school", **QUICK
    )
    dropped = make_pipeline(make_column_transformer(("passthrough", list("abc"))), Ridge())
    blind = adaptation_curve(dropped, table, level, task_column="school", **QUICK)
    assert found.scores.mean() > 0.5 * blind.scores.mean()


def test_same_random_state_same_curve_whatever_n_jobs():
    again = adaptation_curve(
        make_pipeline(StandardScaler(), EmpiricalBayesRegressor()),
        X,
        Y,
        groups=GROUPS,
        n_jobs=2,
        **QUICK,
    )
    assert_array_equal(again.scores, CURVE.scores)


def test_shots_are_sorted_and_distinct():
    found = adaptation_curve(
        DummyRegressor(), X, Y, groups=GROUPS, **{**QUICK, "shots": [5, 1, 3, 3]}
    )
    assert_array_equal(found.shots, [1, 3, 5])


def test_tasks_without_a_row_to_test_are_counted_and_only_trained_on():
    small = np.r_[GROUPS, [100] * 5]
    grown = np.r_[X, np.ones((5, 3))], np.r_[Y, np.zeros(5)]
    with pytest.warns(UserWarning, match="1 of 25 tasks have no more rows .* shots, 5;"):
        found = adaptation_curve(Ridge(), *grown, groups=small, **QUICK)
    assert found.n_left_out == 1
    assert_array_equal(found.tasks, CURVE.tasks)
    assert CURVE.n_left_out == 0


def test_classifiers():
    tasks = skmeta.make_classification_tasks(20, 20, 3, random_state=0)
    given = {"groups": tasks.groups, "random_state": 0, "n_splits": 2, "shots": (1, 3)}
    for estimator in (EmpiricalBayesClassifier(), LogisticRegression()):
        for scoring in (None, "neg_log_loss"):
            for stratify in (False, True):
                found = adaptation_curve(
                    estimator,
                    tasks.data,
                    tasks.target,
                    stratify=stratify,
                    scoring=scoring,
                    **given,
                )
                assert np.isfinite(found.scores).all()
    assert found.scoring == "neg_log_loss"


def test_any_scorer_by_task():
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    found = adaptation_curve(Ridge(), X, Y, groups=GROUPS, scoring=scorer, **QUICK)
    named = adaptation_curve(
        Ridge(), X, Y, groups=GROUPS, scoring="neg_mean_absolute_error", **QUICK
    )
    assert_array_equal(found.scores, named.scores)


def test_undefined_scores_are_nan_with_one_warning():
    with pytest.warns(UndefinedMetricWarning, match="r2 is undefined for 4 of 24 tasks"):
        found = adaptation_curve(
            Ridge(), X, Y, groups=GROUPS, scoring="r2", **{**QUICK, "shots": (1, 7)}
        )
    assert_array_equal(np.isnan(found.scores[0]), np.bincount(GROUPS) == 8)


class Fussy(Ridge):
    """Refuses a training set of more than 200 rows."""

    def fit(self, X, y):
        if len(X) > 200:
            raise RuntimeError("too many rows")
        return super().fit(X, y)


def test_failures_become_the_error_score():
    with pytest.warns(FitFailedWarning, match=r"of 9 fits .*(?s:.)*too many rows"):
        found = adaptation_curve(Fussy(), X, Y, groups=GROUPS, error_score=-7.0, **QUICK)
    assert (found.scores == -7.0).any()
    assert (found.scores != -7.0).any()
    with pytest.raises(RuntimeError, match="too many rows"):
        adaptation_curve(Fussy(), X, Y, groups=GROUPS, error_score="raise", **QUICK)


RARE = skmeta.make_linear_tasks(12, 8, 2, noise=0.3, random_state=0)
FEW = {"groups": RARE.groups, "shots": (1, 4), "n_splits": 2, "random_state": 0}


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_a_class_of_one_task_alone_costs_that_task_alone(row, scoring):
    """Whether it is a known row or one to test on that shows the class."""
    given = {**FEW, "scoring": scoring}
    classes = (RARE.target > 0).astype(int)
    expected = adaptation_curve(EmpiricalBayesClassifier(), RARE.data, classes, **given)
    classes[row] = 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = adaptation_curve(EmpiricalBayesClassifier(), RARE.data, classes, **given)
    lost = np.isnan(found.scores)
    assert not lost[:, 1:].any()
    assert lost[:, 0].all() == lost[:, 0].any() == bool(caught)
    assert lost.any() or scoring == "accuracy"  # which may count the rows as wrong
    for warning in caught:
        assert warning.category is FitFailedWarning
        assert "EmpiricalBayesClassifier fails on classes that no" in str(warning.message)
        assert "1 of 12 tasks have some; their scores are nan" in str(warning.message)
    held_out_alike = expected.scores[:, 1:] == found.scores[:, 1:]
    assert held_out_alike.mean() > 0.1  # other folds train on the class
    pooled = adaptation_curve(
        LogisticRegression(), RARE.data, classes, **{**given, "scoring": "accuracy"}
    )
    assert np.isfinite(pooled.scores).all()  # it is fitted on the shots


def test_classes_of_each_task_are_for_learners_that_can_do_with_them():
    some = RARE.groups < 4
    classes = 2 * RARE.groups[some] + (RARE.target[some] > 0)
    given = {**FEW, "groups": RARE.groups[some], "shots": 4}
    learner = EmpiricalBayesClassifier("intercept", label_sets="own")
    found = adaptation_curve(learner, RARE.data[some], classes, **given)
    assert np.isfinite(found.scores).all()
    learner.set_params(label_sets="shared")
    with pytest.raises(ValueError, match="All 2 of 2 fits or adaptations failed"):
        adaptation_curve(learner, RARE.data[some], classes, **given)


def test_one_number_of_shots():
    one = adaptation_curve(Ridge(), X, Y, groups=GROUPS, **{**QUICK, "shots": 5})
    several = adaptation_curve(Ridge(), X, Y, groups=GROUPS, **{**QUICK, "shots": (5,)})
    assert_array_equal(one.scores, several.scores)


@pytest.mark.parametrize(
    ("estimator", "given", "message"),
    [
        (Ridge(), {"groups": None}, "Tasks are needed"),
        (Ridge(), {"task_column": 0}, "Both groups and task_column"),
        (EmpiricalBayesRegressor(), {"groups": None, "task_column": 0}, "set it there too"),
        (EmpiricalBayesRegressor(task_column=0), {}, "groups were given, but .* task_column=0"),
        (Ridge(), {"shots": (1, 14)}, "shots goes up to 14, and only 0 of 24 tasks"),
        (Ridge(), {"shots": ()}, "shots is empty"),
        (Ridge(), {"shots": (0, 1)}, "shots == 0"),
        (Ridge(), {"scoring": "rms"}, "rms"),
        (Ridge(), {"scoring": task_scorer("r2")}, "task_scorer.* by task already"),
        (Ridge(), {"support": "last"}, "support='last'"),
        (StandardScaler(), {}, "scoring=None needs"),
        (LogisticRegression(), {}, "(?s)All 9 of 9 fits .*Unknown label type"),
    ],
)
def test_what_cannot_be_done_is_said(estimator, given, message):
    with pytest.raises(ValueError, match=message):
        adaptation_curve(estimator, X, Y, **{"groups": GROUPS, **QUICK, **given})


def test_rows_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=re.escape("inconsistent numbers of samples")):
        adaptation_curve(Ridge(), X, Y[:-1], groups=GROUPS, **QUICK)
