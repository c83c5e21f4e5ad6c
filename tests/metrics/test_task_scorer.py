"""The task scorer against a loop over tasks, and wherever scikit-learn takes a scorer."""

import pickle
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer, log_loss, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skmeta.metrics import task_scorer
from skmeta.model_selection import EpisodicKFold, TaskKFold

REGRESSION = ["r2", "neg_root_mean_squared_error", "neg_mean_absolute_error", "explained_variance"]
BINARY = ["accuracy", "roc_auc", "neg_log_loss", "neg_brier_score", "average_precision", "f1"]
MULTI_CLASS = ["accuracy", "roc_auc_ovr", "roc_auc_ovo", "neg_log_loss", "f1_macro"]


@pytest.fixture
def rows():
    """Rows of eight tasks of 40 rows each, two features and a noisy linear score."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(8), 40))
    X = rng.normal(size=(320, 2))
    return X, X @ [1.0, 2.0] + rng.normal(size=320), groups


class TaskMean(RegressorMixin, BaseEstimator):
    """Predict the mean of the task; count the calls of predict."""

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__predict: ClassVar = {"groups": True}

    def fit(self, X, y, groups=None):
        self.means_ = {task: y[groups == task].mean() for task in np.unique(groups)}
        self.n_calls_ = 0
        return self

    def predict(self, X, groups=None):
        self.n_calls_ += 1
        return np.array([self.means_.get(task, 0.0) for task in groups])


def task_scores(metric, model, X, y, groups):
    scorer = get_scorer(metric)
    return [scorer(model, X[groups == task], y[groups == task]) for task in np.unique(groups)]


@pytest.mark.parametrize("aggregate", ["mean", "median", "worst"])
@pytest.mark.parametrize("metric", REGRESSION)
def test_regression_equals_a_loop_over_tasks(metric, aggregate, rows):
    X, y, groups = rows
    model = LinearRegression().fit(X, y)
    expected = {"mean": np.mean, "median": np.median, "worst": min}[aggregate](
        task_scores(metric, model, X, y, groups)
    )
    found = task_scorer(metric, aggregate=aggregate)(model, X, y, groups=groups)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "labels"),
    [(metric, [0, 1]) for metric in BINARY]
    + [(metric, ["active", "inactive"]) for metric in BINARY[:3]],
)
def test_binary_classification_equals_a_loop_over_tasks(metric, labels, rows):
    X, y, groups = rows
    classes = np.take(labels, (y > 0).astype(int))
    for model in (LogisticRegression(), LinearSVC()):
        if hasattr(model, "predict_proba") or metric not in ("neg_log_loss", "neg_brier_score"):
            model.fit(X, classes)
            expected = np.mean(task_scores(metric, model, X, classes, groups))
            found = task_scorer(metric)(model, X, classes, groups=groups)
            assert found == pytest.approx(expected)


@pytest.mark.parametrize("metric", MULTI_CLASS)
def test_multi_class_equals_a_loop_over_tasks(metric, rows):
    X, y, groups = rows
    classes = np.digitize(y, [-1, 1])
    model = LogisticRegression().fit(X, classes)
    expected = np.mean(task_scores(metric, model, X, classes, groups))
    assert task_scorer(metric)(model, X, classes, groups=groups) == pytest.approx(expected)


def test_several_targets(rows):
    X, y, groups = rows
    targets = np.column_stack([y, -y])
    model = LinearRegression().fit(X, targets)
    expected = np.mean(task_scores("r2", model, X, targets, groups))
    assert task_scorer("r2")(model, X, targets, groups=groups) == pytest.approx(expected)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_loss_of_a_task_that_lacks_a_class(n_classes, rows):
    X, y, _ = rows
    classes = np.digitize(y, [-1, 1][: n_classes - 1])
    model = LogisticRegression().fit(X, classes)
    expected = [
        -log_loss(
            classes[classes == task], model.predict_proba(X[classes == task]), labels=model.classes_
        )
        for task in range(n_classes)
    ]
    found = task_scorer("neg_log_loss", aggregate="median")(model, X, classes, groups=classes)
    assert found == pytest.approx(np.median(expected))


def test_all_rows_are_predicted_in_one_call_with_their_groups(rows):
    X, y, groups = rows
    model = TaskMean().fit(X, y, groups=groups)
    scorer = task_scorer("neg_mean_absolute_error")
    expected = np.mean(
        [-np.abs(y[groups == task] - model.means_[task]).mean() for task in range(8)]
    )
    assert scorer(model, X, y, groups=groups) == pytest.approx(expected)
    assert model.n_calls_ == 1


def test_undefined_tasks_are_left_out_with_one_warning(rows):
    X, y, groups = rows
    model = LinearRegression().fit(X, y)
    expected = task_scorer("r2")(model, X, y, groups=groups)
    row = [[0.5, 0.5]]
    with pytest.warns(UndefinedMetricWarning, match="r2 is undefined for 1 of 9 tasks") as caught:
        found = task_scorer("r2")(model, np.r_[X, row], np.r_[y, 0], groups=np.r_[groups, 8])
    assert found == pytest.approx(expected)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("metric", "n_classes"),
    [
        ("roc_auc", 2),
        ("roc_auc_ovr", 3),
        ("roc_auc_ovo_weighted", 3),
        ("d2_log_loss_score", 2),
        ("d2_log_loss_score", 3),
    ],
)
def test_a_metric_defined_for_no_task_is_nan(metric, n_classes, rows):
    X, y, _ = rows
    classes = np.digitize(y, [-1, 1][: n_classes - 1])
    model = LogisticRegression().fit(X, classes)
    with pytest.warns(UndefinedMetricWarning, match=f"undefined for {n_classes} of {n_classes}"):
        assert np.isnan(task_scorer(metric)(model, X, classes, groups=classes))


def test_names_and_order_of_tasks_do_not_matter(rows):
    X, y, groups = rows
    model = LinearRegression().fit(X, y)
    order = np.random.default_rng(1).permutation(len(y))
    scorer = task_scorer("r2", aggregate="worst")
    names = [f"school {9 - task}" for task in groups[order]]
    assert scorer(model, X[order], y[order], groups=names) == pytest.approx(
        scorer(model, X, y, groups=groups)
    )


def test_a_scorer_of_your_own(rows):
    X, y, groups = rows
    model = LinearRegression().fit(X, y)
    own = make_scorer(mean_absolute_error, greater_is_better=False)
    assert task_scorer(own)(model, X, y, groups=groups) == pytest.approx(
        task_scorer("neg_mean_absolute_error")(model, X, y, groups=groups)
    )


@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
def test_tasks_come_from_a_column_of_x(container, rows):
    X, y, groups = rows
    table, column = np.column_stack([groups, X]), 0
    if container != "numpy":
        library, column = {"pandas": pd, "polars": pl}[container], "task"
        table = library.DataFrame({"task": groups, "a": X[:, 0], "b": X[:, 1]})
        y = library.Series(y)
    model = Ridge().fit(table, y)
    predicted, targets = model.predict(table), np.asarray(y)
    expected = np.mean([-np.abs(predicted - targets)[groups == task].mean() for task in range(8)])
    scorer = task_scorer("neg_mean_absolute_error", task_column=column)
    assert scorer(model, table, y) == pytest.approx(expected)
    cv = EpisodicKFold(3, 2, task_column=column, random_state=0)
    serial = cross_val_score(Ridge(), table, y, cv=cv, scoring=scorer)
    np.testing.assert_allclose(
        serial, cross_val_score(Ridge(), table, y, cv=cv, scoring=scorer, n_jobs=2)
    )
    assert np.isfinite(serial).all()
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1e6]}, scoring=scorer, cv=cv).fit(table, y)
    assert search.best_params_ == {"alpha": 0.1}
    assert search.score(table, y) == pytest.approx(scorer(search, table, y))


@pytest.mark.parametrize("pipeline", [False, True])
def test_groups_are_routed_to_scorer_and_estimator_without_any_request(pipeline, rows):
    X, y, groups = rows
    model = make_pipeline(StandardScaler(), TaskMean()) if pipeline else TaskMean()
    scoring = {"mean": task_scorer("r2"), "worst": task_scorer("r2", aggregate="worst")}
    cv = EpisodicKFold(3, 2, random_state=0)
    with config_context(enable_metadata_routing=True):
        result = cross_validate(
            model, X, y, cv=cv, scoring=scoring, params={"groups": groups}, error_score="raise"
        )
        search = GridSearchCV(
            Ridge(), {"alpha": [0.1, 1e6]}, scoring=scoring, refit="mean", cv=TaskKFold(3)
        ).fit(X, y, groups=groups)
    assert (result["test_worst"] < result["test_mean"]).all()
    train, test = next(cv.split(X, y, groups))
    fitted = TaskMean().fit(X[train], y[train], groups=groups[train])
    expected = task_scorer("r2")(fitted, X[test], y[test], groups=groups[test])
    assert result["test_mean"][0] == pytest.approx(expected)
    assert search.best_params_ == {"alpha": 0.1}


def test_estimator_predicts_under_the_settings_of_the_caller(rows):
    X, y, groups = rows

    class Watching(TaskMean):
        def predict(self, X, groups=None):
            from sklearn import get_config

            assert not get_config()["enable_metadata_routing"]
            return super().predict(X, groups)

    model = Watching().fit(X, y, groups=groups)
    assert np.isfinite(task_scorer("r2")(model, X, y, groups=groups))


def test_pickles_and_says_what_it_is():
    scorer = task_scorer("r2", aggregate="median", task_column="school")
    assert repr(scorer) == "task_scorer('r2', aggregate='median', task_column='school')"
    assert repr(pickle.loads(pickle.dumps(scorer))) == repr(scorer)


def test_bad_input_is_named(rows):
    X, y, groups = rows
    model = LinearRegression().fit(X, y)
    with pytest.raises(ValueError, match="aggregate='max' must be one of mean, median, worst"):
        task_scorer("r2", aggregate="max")
    with pytest.raises(ValueError, match="R2"):
        task_scorer("R2")
    with pytest.raises(ValueError, match="task_column, or enable metadata routing"):
        task_scorer("r2")(model, X, y)
    with pytest.raises(ValueError, match="Both groups and task_column"):
        task_scorer("r2", task_column=0)(model, X, y, groups=groups)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        task_scorer("r2")(model, X, y[1:], groups=groups)


def test_warnings_of_the_estimator_are_kept(rows):
    X, y, groups = rows

    class Talkative(TaskMean):
        def predict(self, X, groups=None):
            warnings.warn("unseen", UserWarning, stacklevel=1)
            return super().predict(X, groups)

    with pytest.warns(UserWarning, match="unseen"):
        task_scorer("r2")(Talkative().fit(X, y, groups=groups), X, y, groups=groups)
