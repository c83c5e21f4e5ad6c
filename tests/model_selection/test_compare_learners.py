"""The table against the curves it is made of, and what it finds on tasks of known kinds."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge

import skmeta
from skmeta import (
    AdaptationCurveDisplay,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    adaptation_curve,
    compare_learners,
)
from skmeta.metrics._interval import mean_over_tasks
from skmeta.metrics._paired_test import holm, paired_test

TASKS = skmeta.make_linear_tasks(24, (8, 14), 3, noise=0.3, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
QUICK = {"shots": (1, 5), "n_splits": 3, "random_state": 0}
BASELINES = ["pooled linear", "pooled boosting", "per-task linear", "mixed effects"]


@pytest.fixture(scope="module")
def table():
    return compare_learners({"dummy": DummyRegressor()}, X, Y, groups=GROUPS, **QUICK)


def test_one_row_for_each_learner_and_number_of_shots(table):
    assert table.columns.tolist() == [
        "learner",
        "shots",
        "score",
        "low",
        "high",
        "difference",
        "p_value",
        "n_tasks",
        "fit_seconds",
        "adapt_seconds",
    ]
    names = ["dummy", *BASELINES]
    assert table["learner"].tolist() == np.repeat(names, 2).tolist()
    assert table["shots"].tolist() == [1, 5] * 5
    assert (table["n_tasks"] == 24).all()
    adapts = table["learner"].isin(["per-task linear", "mixed effects"])
    assert_array_equal(table["adapt_seconds"] > 0, adapts)
    assert (table["fit_seconds"] > 0).all()


def test_numbers_are_those_of_the_curves():
    learners = {"EB": EmpiricalBayesRegressor(), "ridge": Ridge(), "dummy": DummyRegressor()}
    found = compare_learners(
        learners, X, Y, groups=GROUPS, baselines=False, reference="ridge", **QUICK
    )
    curves = {
        name: adaptation_curve(learner, X, Y, groups=GROUPS, **QUICK).scores
        for name, learner in learners.items()
    }
    mean, half_width = mean_over_tasks(np.concatenate(list(curves.values())))
    assert_allclose(found["score"], mean)
    assert_allclose(found["low"], mean - half_width)
    assert_allclose(found["high"], mean + half_width)
    differences = [scores - curves["ridge"] for scores in curves.values()]
    assert_allclose(found["difference"], np.concatenate(differences).mean(axis=1))
    tested = found["learner"] != "ridge"
    raw = [paired_test(row) for row in (*differences[0], *differences[2])]
    assert_allclose(found["p_value"][tested], holm(np.array(raw)))
    assert found["p_value"][~tested].isna().all()


def scores_at(table, shots):
    rows = table[table["shots"] == shots]
    return dict(zip(rows["learner"], rows["score"], strict=True))


def test_tasks_that_differ_around_a_common_mean_are_for_mixed_effects():
    y = Y + X @ [3.0, -3.0, 3.0]
    found = compare_learners({"dummy": DummyRegressor()}, X, y, groups=GROUPS, **QUICK)
    score = scores_at(found, 5)
    assert max(score, key=score.get) == "mixed effects"
    assert min(score, key=score.get) == "dummy"
    best = found[(found["learner"] == "mixed effects") & (found["shots"] == 5)]
    assert best["p_value"].item() < 0.01
    assert best["difference"].item() > 0


def test_tasks_that_are_all_alike_are_pooled():
    y = X @ [1.0, -2.0, 0.5] + np.random.default_rng(0).normal(size=len(X))
    score = scores_at(
        compare_learners({"dummy": DummyRegressor()}, X, y, groups=GROUPS, **QUICK), 1
    )
    assert score["pooled linear"] > score["per-task linear"] + 0.3


@pytest.fixture(scope="module")
def with_holes():
    """Rows with missing values, and the scores on them by groups."""
    holes = X[:, :2].copy()
    holes[::7, 1] = np.nan
    found = compare_learners({"dummy": DummyRegressor()}, holes, Y, groups=GROUPS, **QUICK)
    return holes, found["score"]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_task_column_and_missing_values_in_any_frame(make, with_holes):
    holes, by_groups = with_holes
    columns = {"a": holes[:, 0], "school": [f"s{task:02}" for task in GROUPS], "b": holes[:, 1]}
    frame = make(columns)
    found = compare_learners({"dummy": DummyRegressor()}, frame, Y, task_column="school", **QUICK)
    assert type(found) is type(frame)
    columns = found.to_pydict() if make is pa.table else found
    assert_allclose(columns["score"], by_groups)


def test_classifiers():
    tasks = skmeta.make_classification_tasks(30, 20, 3, random_state=0)
    found = compare_learners(
        {"EB": EmpiricalBayesClassifier(), "dummy": DummyClassifier()},
        tasks.data,
        tasks.target,
        groups=tasks.groups,
        **QUICK,
    )
    score = scores_at(found, 5)
    assert score["mixed effects"] > score["dummy"]
    assert score["EB"] == pytest.approx(score["mixed effects"], abs=0.05)
    assert found["score"].between(0, 1).all()


def test_a_learner_may_replace_a_baseline():
    found = compare_learners({"pooled boosting": Ridge()}, X, Y, groups=GROUPS, **QUICK)
    assert found["learner"].unique().tolist() == [
        "pooled boosting",
        "pooled linear",
        "per-task linear",
        "mixed effects",
    ]
    replaced = adaptation_curve(Ridge(), X, Y, groups=GROUPS, **QUICK)
    assert_allclose(found["score"][:2], replaced.scores.mean(axis=1))


def test_the_display_draws_the_table(table):
    display = AdaptationCurveDisplay.from_comparison(table, negate_score=True)
    assert [line.get_label() for line in display.lines_] == table["learner"].unique().tolist()
    assert_allclose(display.lines_[1].get_ydata(), -table["score"][2:4])
    assert_allclose(display.half_widths.ravel(), (table["high"] - table["low"]) / 2)
    plt.close(display.figure_)


def test_the_display_does_not_depend_on_the_order_of_the_rows(table):
    expected = AdaptationCurveDisplay.from_comparison(table)
    shuffled = table.sample(frac=1, random_state=0)
    found = AdaptationCurveDisplay.from_comparison(shuffled)
    assert found.names != expected.names
    order = [found.names.index(name) for name in expected.names]
    assert_array_equal(found.shots, expected.shots)
    assert_array_equal(found.scores[order], expected.scores)
    assert_array_equal(found.half_widths[order], expected.half_widths)
    plt.close("all")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop(index=3), "0 rows of learner 'pooled linear' with 5 shots"),
        (lambda table: pd.concat([table, table[:1]]), "2 rows of learner 'dummy' with 1 shots"),
        (lambda table: table.drop(columns="high"), r"no column \['high'\]"),
        (lambda table: table[:0], "table has no rows"),
    ],
)
def test_an_incomplete_table_is_not_drawn(table, spoil, message):
    with pytest.raises(ValueError, match=message):
        AdaptationCurveDisplay.from_comparison(spoil(table))


class Refuses(DummyRegressor):
    """Cannot be fitted."""

    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("learners", "given", "message"),
    [
        ({}, {}, "learners={} must be a dict"),
        ([Ridge()], {}, r"learners=\[Ridge\(\)\] must be a dict"),
        ({"a": Ridge(), "b": DummyClassifier()}, {}, "classifiers and regressors"),
        ({"a": Ridge()}, {"reference": "b"}, r"reference='b' must be one of \['a', 'pooled"),
        ({"a": Ridge()}, {"groups": None}, "Tasks are needed"),
        ({"a": Refuses()}, {"baselines": False}, "(?s)Not one fit of any learner .*6 of 6 fits"),
        ({"a": Ridge()}, {"shots": 14}, "shots goes up to 14"),
    ],
)
def test_what_cannot_be_compared_is_said(learners, given, message):
    with pytest.raises(ValueError, match=message):
        compare_learners(learners, X, Y, **{"groups": GROUPS, **QUICK, **given})


def test_a_learner_that_fails_leaves_the_others_their_rows():
    with pytest.warns(FitFailedWarning, match=r"(?s)learner 'picky': 6 of 6 fits .*no"):
        found = compare_learners(
            {"ridge": Ridge(), "picky": Refuses()}, X, Y, groups=GROUPS, baselines=False, **QUICK
        )
    expected = compare_learners({"ridge": Ridge()}, X, Y, groups=GROUPS, baselines=False, **QUICK)
    columns = ["learner", "shots", "score", "low", "high", "n_tasks"]
    pd.testing.assert_frame_equal(found[columns][:2], expected[columns])
    assert found["learner"].tolist() == ["ridge"] * 2 + ["picky"] * 2
    assert found.loc[2:, ["score", "low", "high", "difference", "p_value"]].isna().all(axis=None)
    assert (found["n_tasks"][2:] == 0).all()
    display = AdaptationCurveDisplay.from_comparison(found)
    assert np.isnan(display.scores[1]).all()
    plt.close(display.figure_)


@pytest.mark.parametrize(
    ("learner", "given", "error", "message"),
    [
        (Refuses(), {"error_score": "raise"}, RuntimeError, "no"),
        (EmpiricalBayesRegressor(task_column=0), {}, ValueError, "groups were given"),
    ],
)
def test_an_error_says_which_learner_it_was(learner, given, error, message):
    with pytest.raises(error, match=message) as caught:
        compare_learners({"ok": Ridge(), "picky": learner}, X, Y, groups=GROUPS, **QUICK, **given)
    assert caught.value.__notes__ == ["The learner was 'picky'."]


def test_one_number_of_shots():
    given = {"groups": GROUPS, "baselines": False, "n_splits": 3, "random_state": 0}
    found = compare_learners({"ridge": Ridge()}, X, Y, shots=5, **given)
    expected = compare_learners({"ridge": Ridge()}, X, Y, shots=(5,), **given)
    assert found["shots"].tolist() == [5]
    assert_array_equal(found["score"], expected["score"])
