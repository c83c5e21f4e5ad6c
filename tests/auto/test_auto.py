"""What is chosen on tasks of known kinds, what the table says, and what a budget cuts."""

import re
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skmeta
from skmeta import (
    AutoMetaClassifier,
    AutoMetaRegressor,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    MultiHeadRegressor,
    UnseenTaskWarning,
    adaptation_curve,
)
from skmeta.auto._candidates import default_classifiers, default_regressors
from skmeta.auto._search import Trial, as_seconds, ranking
from skmeta.metrics._interval import mean_over_tasks

TASKS = skmeta.make_linear_tasks(40, (8, 14), 3, noise=0.3, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
LABELS = np.where(np.median(Y) < Y, "high", "low")
MIXED = {
    "pooled": Ridge(),
    "intercepts": EmpiricalBayesRegressor("intercept"),
    "mixed": EmpiricalBayesRegressor(),
}
CLASSIFIERS = {
    "pooled": LogisticRegression(),
    "intercepts": EmpiricalBayesClassifier("intercept"),
    "mixed": EmpiricalBayesClassifier(),
}


class Slow(EmpiricalBayesRegressor):
    """Takes half a second to fit."""

    def fit(self, X, y, groups=None, sample_weight=None):
        time.sleep(0.5)
        return super().fit(X, y, groups, sample_weight)


class Broken(EmpiricalBayesRegressor):
    """Cannot be fitted."""

    def fit(self, X, y, groups=None, sample_weight=None):
        raise RuntimeError("no fit\nwith details")


def search(candidates=MIXED, **given):
    return AutoMetaRegressor(**{"candidates": candidates, "random_state": 0, **given})


@pytest.fixture(scope="module")
def model():
    return search().fit(X, Y, groups=GROUPS)


def pooled_tasks():
    random = np.random.default_rng(0)
    features = random.normal(size=(600, 3))
    signal = features @ [1.0, -2.0, 0.5] + 0.5 * random.normal(size=600)
    return features, signal, np.repeat(np.arange(40), 15)


# What is chosen


def test_a_pooled_model_where_tasks_are_alike():
    features, signal, groups = pooled_tasks()
    assert search().fit(features, signal, groups=groups).best_name_ == "pooled"
    classifier = AutoMetaClassifier(candidates=CLASSIFIERS, random_state=0)
    assert classifier.fit(features, signal > 0, groups=groups).best_name_ == "pooled"


def test_intercepts_where_tasks_differ_in_level():
    features, signal, groups = pooled_tasks()
    level = np.random.default_rng(1).normal(size=40)[groups]
    assert search().fit(features, signal + level, groups=groups).best_name_ == "intercepts"


def test_mixed_effects_where_slopes_differ_and_they_beat_pooled_ones_on_new_tasks(model):
    assert model.best_name_ == "mixed"
    assert isinstance(model.estimator_, EmpiricalBayesRegressor)
    new = skmeta.make_linear_tasks(20, 20, 3, noise=0.3, random_state=1)
    known = np.arange(len(new.data)) % 20 < 6
    adapted = model.adapt(new.data[known], new.target[known], groups=new.groups[known])
    rest = new.data[~known], new.target[~known]
    assert adapted.score(*rest, groups=new.groups[~known]) > 0.8 > Ridge().fit(X, Y).score(*rest)


def test_mixed_effects_among_classifiers():
    tasks = skmeta.make_linear_tasks(60, 30, 3, noise=0.1, random_state=0)
    labels = np.where(tasks.target > 0, "high", "low")
    classifier = AutoMetaClassifier(candidates=CLASSIFIERS, random_state=0)
    classifier.fit(tasks.data, labels, groups=tasks.groups)
    assert classifier.best_name_ == "mixed"
    table = classifier.leaderboard_
    assert (table["score"].between(0.5, 1)).all()
    assert (table.loc[table["learner"] == "pooled", "difference"] < -0.05).all()


def test_a_network_on_sinusoids():
    tasks = skmeta.make_sinusoid_tasks(60, 20, random_state=0)
    network = MultiHeadRegressor(hidden_layer_sizes=(32, 32), max_iter=200, lr=5e-3, random_state=0)
    found = search({**MIXED, "network": network}, n_splits=2)
    assert found.fit(tasks.data, tasks.target, groups=tasks.groups).best_name_ == "network"


@pytest.mark.parametrize(
    ("gap", "chosen"), [(0.0, "first"), (0.9, "first"), (1.1, "second"), (5.0, "second")]
)
def test_the_simpler_one_within_one_standard_error(gap, chosen):
    noise = np.random.default_rng(0).normal(size=50)
    noise -= noise.mean()
    unit = noise.std(ddof=1) / np.sqrt(50)
    level = 100 * np.random.default_rng(1).normal(size=50)  # hard tasks are hard for both
    second = np.stack([level + 1, level - 1])  # the mean over shots counts
    first = np.tile(level - gap * unit + noise, (2, 1))
    trials = [Trial("first", first, 1.0, "ok"), Trial("second", second, 1.0, "ok")]
    assert ranking(trials)[0].name == chosen


# The table


def test_scores_are_those_of_the_curves(model):
    order = model._support.table.order
    table = model.leaderboard_.set_index(["learner", "shots"])
    assert list(table.index.unique("learner")) == ["pooled", "intercepts", "mixed"]
    for name in ("intercepts", "mixed"):
        curve = adaptation_curve(
            MIXED[name],
            X[order],
            Y[order],
            groups=GROUPS[order],
            shots=model.shots_,
            random_state=0,
        )
        mean, half = mean_over_tasks(curve.scores)
        found = table.loc[name]
        assert_allclose(found["score"], mean, rtol=1e-12)
        assert_allclose(found["high"] - found["low"], 2 * half, rtol=1e-9)
    chosen = table.loc["mixed"]
    assert (chosen["status"] == "chosen").all()
    assert (chosen["difference"] == 0).all()
    assert_allclose(
        table.loc["pooled", "difference"], table.loc["pooled", "score"] - chosen["score"]
    )
    assert (table["seconds"] > 0).all()


def test_first_rows_are_known_in_a_forecast():
    found = search(support="first").fit(X, Y, groups=GROUPS)
    order = np.lexsort((found._support.table.order, np.sort(found._support.table.codes)))
    order = found._support.table.order[order]
    curve = adaptation_curve(
        MIXED["mixed"],
        X[order],
        Y[order],
        groups=GROUPS[order],
        shots=found.shots_,
        support="first",
        random_state=0,
    )
    table = found.leaderboard_.set_index("learner")
    assert_allclose(table.loc["mixed", "score"], mean_over_tasks(curve.scores)[0], rtol=1e-12)


def test_the_order_of_rows_matters_for_a_forecast_alone():
    scores = {}
    for support in ("first", "random"):
        for step in (1, -1):
            found = search(support=support).fit(X[::step], Y[::step], groups=GROUPS[::step])
            scores[support, step] = found.leaderboard_["score"].to_numpy()
    assert_array_equal(scores["random", 1], scores["random", -1])
    assert np.abs(scores["first", 1] - scores["first", -1]).min() > 1e-3


def test_the_metric_decides():
    """Of skewed targets the mean has the least squared error, and the median the least absolute."""
    random = np.random.default_rng(0)
    skewed, groups = random.exponential(size=2000) ** 2, np.repeat(np.arange(40), 50)
    rows = random.normal(size=(2000, 1))
    mean, median = DummyRegressor(), DummyRegressor(strategy="median")
    squared = search({"median": median, "mean": mean}).fit(rows, skewed, groups=groups)
    assert squared.best_name_ == "mean"
    for scoring in (
        "neg_mean_absolute_error",
        make_scorer(mean_absolute_error, greater_is_better=False),
    ):
        absolute = search({"mean": mean, "median": median}, scoring=scoring)
        assert absolute.fit(rows, skewed, groups=groups).best_name_ == "median"
        score = absolute.leaderboard_["score"].iloc[-1]
        assert_allclose(score, -np.abs(skewed - np.median(skewed)).mean(), rtol=0.1)


def test_tasks_without_a_score_are_left_out_of_all_comparisons():
    labels = np.where(GROUPS < 4, "low", LABELS)
    classifier = AutoMetaClassifier(
        candidates=CLASSIFIERS, scoring="roc_auc", shots=3, random_state=0
    )
    with pytest.warns(UndefinedMetricWarning, match=r"roc_auc is undefined for \d+ of 40"):
        classifier.fit(X, labels, groups=GROUPS)
    assert classifier.leaderboard_[["score", "difference"]].notna().all(axis=None)
    assert classifier.leaderboard_["score"].between(0.4, 1).all()
    with pytest.raises(ValueError, match="defined for 0 of 40 held-out tasks"):
        AutoMetaClassifier(
            candidates={"mixed": EmpiricalBayesClassifier()}, scoring="roc_auc", random_state=0
        ).fit(X, np.where(GROUPS % 2 == 0, "low", "high"), groups=GROUPS)


def test_the_table_is_of_the_library_of_the_rows():
    columns = {"a": X[:, 0], "b": X[:, 1], "task": GROUPS}
    for library in (pd, pl):
        frame = library.DataFrame(columns)
        found = search(task_column="task").fit(frame, Y)
        assert type(found.leaderboard_) is library.DataFrame
        assert found.predict(frame).shape == Y.shape


def test_shots_are_half_the_median_size_and_a_quarter_of_that():
    assert search().fit(X, Y, groups=GROUPS).shots_.tolist() == [2, 5]
    large = skmeta.make_linear_tasks(5, 60, 3, random_state=0)
    assert search().fit(large.data, large.target, groups=large.groups).shots_.tolist() == [3, 10]
    assert search(shots=4).fit(X, Y, groups=GROUPS).shots_.tolist() == [4]
    assert search(shots=(6, 1)).fit(X, Y, groups=GROUPS).shots_.tolist() == [1, 6]


# The budget


def test_without_any_time_the_first_candidate_is_the_answer():
    with pytest.warns(UserWarning, match="8 of 9 candidates .* A longer time_budget would try"):
        found = AutoMetaRegressor(0, random_state=0).fit(X, Y, groups=GROUPS)
    assert found.best_name_ == "pooled linear"
    status = found.leaderboard_.drop_duplicates("learner")["status"].tolist()
    assert status == ["chosen"] + ["skipped: no time left"] * 8
    assert found.predict(X, groups=GROUPS).shape == Y.shape
    with pytest.warns(UserWarning, match="skipped for lack of time"):
        labelled = AutoMetaClassifier(0, random_state=0).fit(X, LABELS, groups=GROUPS)
    assert labelled.best_name_ == "pooled linear"
    assert labelled.predict_proba(X, groups=GROUPS).shape == (len(X), 2)


def test_what_does_not_fit_into_the_budget_is_skipped_after_a_fold():
    candidates = {"pooled": DummyRegressor(), "slow": Slow()}
    found = search(candidates, n_splits=2, time_budget=1.4)
    said = r"1 of 2 candidates .* time: slow. A time_budget of about \d\S* s would try"
    with pytest.warns(UserWarning, match=said):
        found.fit(X, Y, groups=GROUPS)
    table = found.leaderboard_
    slow = table[table["learner"] == "slow"]
    assert slow["status"].str.match(r"skipped: .* s needed, .* s left").all()
    assert slow["score"].isna().all()
    assert found.best_name_ == "pooled"
    patient = search(candidates, n_splits=2).fit(X, Y, groups=GROUPS)
    assert patient.best_name_ == "slow"


def test_the_budget_counts_after_the_first_candidate_even_if_it_fails():
    with pytest.warns(UserWarning, match="No learner|skipped") as warned:
        found = search({"broken": Broken(), **MIXED}, time_budget=0).fit(X, Y, groups=GROUPS)
    assert found.best_name_ == "pooled"
    assert found.leaderboard_["status"].tolist()[4:] == ["skipped: no time left"] * 4
    unscored, skipped = (str(warning.message) for warning in warned)
    assert unscored.startswith("No learner has a score on tasks held out; 'pooled' was chosen")
    assert "failed: RuntimeError: no fit; skipped: no time left" in unscored
    assert skipped.startswith("3 of 4 candidates were skipped")


def test_seconds_are_plain_numbers():
    assert [as_seconds(value) for value in (0.123, 9.87, 143.2)] == ["0.12 s", "9.9 s", "143 s"]


# What fails


def test_a_candidate_that_fails_is_passed_over():
    found = search({"broken": Broken(), **MIXED}).fit(X, Y, groups=GROUPS)
    assert found.best_name_ == "mixed"
    assert found.leaderboard_["status"].tolist()[0] == "failed: RuntimeError: no fit"


@pytest.mark.parametrize("rows", [[5], GROUPS == 7], ids=["a row", "all rows of the task"])
@pytest.mark.parametrize("labels", [[0, 1, 2], ["no", "yes", "rare"]], ids=["numbers", "names"])
def test_a_class_of_one_task_alone_is_left_out_of_the_scores(rows, labels):
    codes = (Y > 0) * 1
    codes[rows] = 2
    candidates = {name: CLASSIFIERS[name] for name in ("pooled", "intercepts")}
    found = AutoMetaClassifier(candidates=candidates, n_splits=2, random_state=0)
    found.fit(X, np.array(labels)[codes], groups=GROUPS)
    assert set(found.leaderboard_["status"]) == {"ok", "chosen"}
    assert found.leaderboard_["score"].between(0.6, 1).all()
    assert_array_equal(found.classes_, np.unique(labels))


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_columns_that_are_no_numbers_are_named_with_the_step_that_helps(library):
    def refused(said, **column):
        frame = library.DataFrame({"a": X[:, 0], "task": GROUPS.astype(str), **column})
        with pytest.raises(ValueError, match=said) as error:
            search(task_column="task").fit(frame, Y)
        learner = search(task_column="task")
        names = {
            **vars(skmeta),
            "AutoMetaRegressor": lambda task_column: learner.set_params(task_column=task_column),
            "make_column_transformer": make_column_transformer,
            "make_pipeline": make_pipeline,
            "OneHotEncoder": OneHotEncoder,
            "SimpleImputer": SimpleImputer,
        }
        advice = str(error.value).partition(" in front: ")[2].removesuffix(".")
        assert eval(advice, names).fit(frame, Y).predict(frame).shape == Y.shape

    gaps, kinds = X[:, 1].copy(), np.where(Y > 0, "house", "flat")
    gaps[3] = np.nan
    refused(r"\['size'\] of X have missing values \(NaN\)", size=gaps)
    refused(r"\['kind'\] of X do not hold numbers", kind=kinds)


def test_missing_values_of_an_array_are_refused():
    gaps = X.copy()
    gaps[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN.* make_pipeline\(Shared\(SimpleImputer\(\)\)"):
        search().fit(gaps, Y, groups=GROUPS)


def test_all_candidates_failing_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"All 1 candidates failed: 'broken' failed: .*no fit"):
        search({"broken": Broken()}).fit(X, Y, groups=GROUPS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"candidates": {}}, "candidates={} must be a dict"),
        ({"candidates": [Ridge()]}, "must be a dict"),
        ({"candidates": {"a": DummyClassifier()}}, r"candidates\['a'\] is DummyClassifier.*no reg"),
        ({"time_budget": -1}, "time_budget"),
        ({"n_splits": 1}, "n_splits"),
        ({"support": "last"}, "support='last' must be 'random' or 'first'"),
        ({"scoring": "no such thing"}, "no such thing"),
        ({"scoring": skmeta.task_scorer("r2")}, "computed by task already"),
        ({"shots": ()}, "shots is empty"),
        ({"shots": 0}, "shots"),
        ({"shots": 20}, "only 0 of 40 tasks have more rows"),
    ],
)
def test_wrong_parameters_raise(given, said):
    with pytest.raises(ValueError, match=said):
        search(**given).fit(X, Y, groups=GROUPS)


def test_error_bars_are_those_of_the_chosen_or_an_error(model):
    mean, std = model.predict(X, groups=GROUPS, return_std=True)
    own = model.estimator_.predict(X, groups=GROUPS, return_std=True)
    assert_allclose(mean, own[0])
    assert_allclose(std, own[1])
    pooled = search({"pooled": Ridge()}).fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match=r"return_std needs .*, and 'pooled'"):
        pooled.predict(X, groups=GROUPS, return_std=True)


# Candidates of all kinds, and tasks of all kinds


def test_an_ordinary_regressor_is_pooled():
    found = search({"ridge": Ridge()}).fit(X, Y, groups=GROUPS)
    adapted = found.adapt(X[:5], Y[:5])
    expected = Ridge().fit(X, Y).predict(X)
    assert_allclose(found.predict(X, groups=GROUPS), expected)
    assert_allclose(adapted.predict(X), expected)
    adapted = skmeta.adapt(found.estimator_, X[:5], Y[:5])
    assert_allclose(adapted.predict(X), expected)


def test_a_pipeline_gets_the_tasks():
    pipeline = make_pipeline(skmeta.Shared(StandardScaler()), EmpiricalBayesRegressor())
    found = search({"pipeline": pipeline}).fit(X, Y, groups=GROUPS)
    expected = EmpiricalBayesRegressor().fit(X, Y, groups=GROUPS)
    assert_allclose(found.predict(X, groups=GROUPS), expected.predict(X, groups=GROUPS), rtol=1e-6)
    assert_allclose(found.adapt(X[:5], Y[:5]).predict(X), expected.adapt(X[:5], Y[:5]).predict(X))
    with pytest.raises(ValueError, match="return_std needs"):
        found.predict(X, groups=GROUPS, return_std=True)


def test_a_search_is_its_best_estimator():
    cv = skmeta.EpisodicKFold(2, n_shots=3, random_state=0)
    inner = GridSearchCV(EmpiricalBayesRegressor(), {"effects": ["intercept", "full"]}, cv=cv)
    found = search({"search": inner}, n_splits=2).fit(X, Y, groups=GROUPS)
    assert found.leaderboard_["status"].tolist() == ["chosen"] * 2
    assert found.estimator_.effects == "full"
    with pytest.warns(UnseenTaskWarning):
        assert found.predict(X[:5], groups=np.full(5, 999)).shape == (5,)


def test_tasks_never_seen_are_predicted_from_the_prior_of_the_chosen(model):
    named = -1 - GROUPS  # no labels that could be taken for numbers of tasks
    found = search().fit(X, Y, groups=named)
    expected = EmpiricalBayesRegressor().fit(X, Y, groups=GROUPS)
    with pytest.warns(UnseenTaskWarning):
        prior = found.predict(X[:9], groups=np.full(9, 1))
    with pytest.warns(UnseenTaskWarning):
        assert_allclose(prior, expected.predict(X[:9], groups=np.full(9, 999)))


def test_rows_of_one_task_are_fitted_by_the_first_candidate():
    with pytest.warns(UserWarning, match=r"All rows are one task.* Pass groups") as warned:
        found = search().fit(X, Y)
    assert warned[0].filename == __file__
    assert found.best_name_ == "pooled"
    assert_allclose(found.predict(X), Ridge().fit(X, Y).predict(X))
    status = found.leaderboard_["status"]
    assert status.tolist()[0] == "chosen"
    assert status.str.contains("fewer than two tasks").sum() == 4
    assert found.leaderboard_["score"].isna().all()


def test_default_classifiers_take_label_sets_of_their_own():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 16)
    half = np.tile([0, 1], 96)
    features = random.normal(size=(192, 3)) + 3.0 * half[:, None] * [1, 0, 0]
    with pytest.warns(UserWarning, match="3 of 4 candidates were skipped for lack of time"):
        found = AutoMetaClassifier(0, random_state=0).fit(
            features, 2 * groups + half, groups=groups
        )
    assert found.best_name_ == "mixed effects"
    assert found.leaderboard_["score"][0] > 0.5
    new = found.adapt(features[:4], np.where(half[:4], "odd", "even"))
    assert_array_equal(new.classes_, ["even", "odd"])
    assert set(new.predict(features)) <= {"even", "odd"}


@pytest.mark.parametrize(
    ("auto", "y", "candidates"),
    [
        (AutoMetaRegressor, Y, default_regressors((2, 5), X.shape[1], 0)),
        (
            AutoMetaClassifier,
            LABELS,
            default_classifiers((2, 5), X.shape[1], 0, own_label_sets=False),
        ),
    ],
    ids=["regression", "classification"],
)
def test_default_candidates_all_work(auto, y, candidates):
    """Networks aside, whose learners have tests of their own."""
    cheap = {name: learner for name, learner in candidates.items() if "network" not in name}
    assert len(cheap) == 7
    few = GROUPS < 16
    found = auto(600, candidates=cheap, n_splits=2, random_state=0)
    found.fit(X[few], y[few], groups=GROUPS[few])
    assert set(found.leaderboard_["status"]) == {"ok", "chosen"}


def test_mixed_effects_of_a_wide_table_are_of_its_components():
    """A signal in the direction of most variance, among features too many for a covariance.

    Rows go into folds by their bits, which differ between processors: errors are from 0.4 to 0.6.
    """
    random = np.random.default_rng(0)
    direction = random.normal(size=200)
    score = random.normal(size=len(GROUPS))
    wide = np.outer(score, direction) + 0.1 * random.normal(size=(len(GROUPS), 200))
    y = score * (1 + GROUPS % 3)
    candidates = default_regressors((2, 5), 200, 0)
    found = search({"mixed effects": candidates["mixed effects"]}, n_splits=2)
    found.fit(wide, y, groups=GROUPS)
    assert found.leaderboard_["score"][0] > -0.7 * y.std()
    assert found.estimator_.scaler_.transform(wide).shape[1] == 50
    assert "component 0" in str(skmeta.explain_tasks(found.estimator_))


def test_mixed_effects_of_more_features_than_rows():
    few = GROUPS < 4
    wide = np.tile(X[few], (1, 60))
    candidates = default_regressors((2, 5), wide.shape[1], 0)
    mixed = {name: learner for name, learner in candidates.items() if name.startswith("mixed e")}
    found = search(mixed, n_splits=2).fit(wide, Y[few], groups=GROUPS[few])
    assert set(found.leaderboard_["status"]) == {"ok", "chosen"}


# What users are told


def test_a_line_for_each_candidate(capsys):
    candidates = {"broken": Broken(), **MIXED}
    found = search(candidates, n_splits=2, verbose=1).fit(X, Y, groups=GROUPS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("[AutoMetaRegressor] (1 of 4) broken: failed: RuntimeError: no fit")
    scores = found.leaderboard_.groupby("learner")["score"].mean()
    for line, name in zip(lines[1:], MIXED, strict=True):
        assert re.search(rf"{name}: score {scores[name]:.4g} \(\S+ s\)$", line)


def test_notebooks_show_shots_and_scores(model):
    shown = model._repr_html_()
    scores = model.leaderboard_.query("status == 'chosen'")["score"]
    assert "<tr><th>Shots</th><td>2, 5</td></tr>" in shown
    expected = ", ".join(f"{score:.4g}" for score in scores)
    assert f"<tr><th>Score (neg_root_mean_squared_error)</th><td>{expected}</td></tr>" in shown
