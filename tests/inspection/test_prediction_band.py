"""The picture shows what the adapted learner itself predicts."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    EpisodicKFold,
    MultiHeadRegressor,
    PredictionBandDisplay,
    RidgeHeadRegressor,
    Shared,
)

TASKS = skmeta.make_linear_tasks(30, 10, 2, noise=0.3, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
NEW = GROUPS == 29
SUPPORT, QUERY = np.flatnonzero(NEW)[:4], np.flatnonzero(NEW)[4:]
QUICK = {"max_iter": 5, "hidden_layer_sizes": (4,), "random_state": 0}


def table(make):
    names = np.array([f"s{task:02}" for task in GROUPS])
    return make({"a": X[:, 0], "school": names, "b": X[:, 1]})


def take(frame, rows):
    return frame[rows] if isinstance(frame, pl.DataFrame) else frame.iloc[rows]


@pytest.fixture(scope="module")
def model():
    return EmpiricalBayesRegressor().fit(X[~NEW], Y[~NEW], groups=GROUPS[~NEW])


def test_line_and_band_are_the_prediction_along_the_feature(model):
    display = PredictionBandDisplay.from_estimator(
        model, X[SUPPORT], Y[SUPPORT], 1, grid_resolution=7
    )
    grid = np.column_stack(
        [
            np.full(7, np.median(X[SUPPORT, 0])),
            np.linspace(X[SUPPORT, 1].min(), X[SUPPORT, 1].max(), 7),
        ]
    )
    mean, std = model.adapt(X[SUPPORT], Y[SUPPORT]).predict(grid, return_std=True)
    assert_allclose(display.line_.get_xdata(), grid[:, 1])
    assert_allclose(display.line_.get_ydata(), mean)
    heights = display.band_.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx((mean + 1.96 * std).max())
    assert heights.min() == pytest.approx((mean - 1.96 * std).min())
    assert_allclose(display.support_.get_offsets(), np.c_[X[SUPPORT, 1], Y[SUPPORT]])
    assert display.query_ is None
    assert display.ax_.get_xlabel() == "x1"


def test_rows_to_predict_may_be_given(model):
    display = PredictionBandDisplay.from_estimator(
        model, X[SUPPORT], Y[SUPPORT], 0, X_query=X[QUERY], y_query=Y[QUERY]
    )
    order = np.argsort(X[QUERY, 0])
    expected = model.adapt(X[SUPPORT], Y[SUPPORT]).predict(X[QUERY])
    assert_array_equal(display.line_.get_xdata(), X[QUERY, 0][order])
    assert_allclose(display.line_.get_ydata(), expected[order])
    assert_allclose(display.query_.get_offsets(), np.c_[X[QUERY, 0], Y[QUERY]])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("search", [False, True])
def test_frames_with_a_task_column_through_pipelines_and_searches(make, search, model):
    frame = table(make)
    pipe = make_pipeline(
        Shared(StandardScaler(), task_column="school"),
        EmpiricalBayesRegressor(task_column="school"),
    )
    if search:
        pipe = GridSearchCV(pipe, {}, cv=EpisodicKFold(2, 2, task_column="school"))
    pipe.fit(take(frame, np.flatnonzero(~NEW)), Y[~NEW])
    found = PredictionBandDisplay.from_estimator(pipe, take(frame, SUPPORT), Y[SUPPORT], "b")
    expected = PredictionBandDisplay.from_estimator(model, X[SUPPORT], Y[SUPPORT], 1)
    assert_allclose(found.y_pred, expected.y_pred, rtol=1e-4)
    assert_allclose(found.y_std, expected.y_std, rtol=1e-4)
    assert found.ax_.get_xlabel() == "b"


@pytest.mark.parametrize("label", [7, "north"])
def test_arrays_with_a_task_column(label, model):
    rows = np.column_stack([np.full(len(X), label, dtype=object), X])
    rows[~NEW, 0] = GROUPS[~NEW] if label == 7 else [f"s{task}" for task in GROUPS[~NEW]]
    learner = EmpiricalBayesRegressor(task_column=0).fit(rows[~NEW], Y[~NEW])
    found = PredictionBandDisplay.from_estimator(learner, rows[SUPPORT], Y[SUPPORT], 2)
    expected = PredictionBandDisplay.from_estimator(model, X[SUPPORT], Y[SUPPORT], 1)
    if label == 7:
        assert_allclose(found.y_pred, expected.y_pred)
    assert np.isfinite(found.y_pred.astype(float)).all()


@pytest.mark.parametrize(
    "learner", [RidgeHeadRegressor(**QUICK), MultiHeadRegressor(head=Ridge(), **QUICK)], ids=str
)
def test_learners_without_standard_deviations_have_no_band(learner):
    learner.fit(X, Y, groups=GROUPS)
    display = PredictionBandDisplay.from_estimator(learner, X[SUPPORT], Y[SUPPORT], 0)
    assert display.band_ is None
    assert display.y_std is None


def test_keywords_reach_the_artists(model):
    display = PredictionBandDisplay.from_estimator(
        model,
        X[SUPPORT],
        Y[SUPPORT],
        -1,
        line_kw={"c": "red", "label": "mine"},
        band_kw={"alpha": 0.5},
        support_kw={"marker": "x"},
    )
    assert display.line_.get_color() == "red"
    assert display.line_.get_label() == "mine"
    assert display.band_.get_alpha() == 0.5


@pytest.mark.parametrize(
    ("feature", "y", "message"),
    [
        (2, Y[SUPPORT], "feature=2 is not a column of X, which has 2 columns"),
        ("a", Y[SUPPORT], "feature='a' is not a column"),
        (0, Y[SUPPORT][:-1], "inconsistent numbers of samples"),
    ],
)
def test_what_cannot_be_drawn_is_said(feature, y, message, model):
    with pytest.raises(ValueError, match=message):
        PredictionBandDisplay.from_estimator(model, X[SUPPORT], y, feature)


def test_one_task_and_its_features_alone():
    frame, learner = table(pd.DataFrame), EmpiricalBayesRegressor(task_column="school")
    pipe = make_pipeline(Shared(StandardScaler(), task_column="school"), learner)
    rows, query = frame.iloc[SUPPORT], frame.iloc[QUERY]
    for model in (learner.fit(frame, Y), pipe.fit(frame, Y)):
        with pytest.raises(ValueError, match=r"draws one task, but X has rows of 2: \['s00', 's01"):
            PredictionBandDisplay.from_estimator(model, frame[:20], Y[:20], "a")
        with pytest.raises(ValueError, match="feature='school' is the task column"):
            PredictionBandDisplay.from_estimator(model, rows, Y[SUPPORT], "school")
        with pytest.raises(ValueError, match=r"X_query has rows of another task than X: .*s00"):
            PredictionBandDisplay.from_estimator(
                model, rows, Y[SUPPORT], "a", X_query=frame.iloc[np.r_[0, QUERY]]
            )
        found = PredictionBandDisplay.from_estimator(model, rows, Y[SUPPORT], "a", X_query=query)
        assert len(found.x) == len(QUERY)


def test_a_task_column_that_only_the_last_step_knows_by_its_place(model):
    school_last = ColumnTransformer([("all", "passthrough", ["school", "a", "b"])])
    pipe = make_pipeline(school_last, EmpiricalBayesRegressor(task_column=0))
    pipe.fit(table(pd.DataFrame), Y)
    rows = table(pd.DataFrame).iloc[SUPPORT]
    assert len(PredictionBandDisplay.from_estimator(pipe, rows, Y[SUPPORT], "a").x) == 100


def test_the_picture_of_given_predictions(model):
    expected = PredictionBandDisplay.from_estimator(model, X[SUPPORT], Y[SUPPORT], 0)
    backwards = slice(None, None, -1)
    found = PredictionBandDisplay.from_predictions(
        expected.x[backwards],
        expected.y_pred[backwards],
        X[SUPPORT, 0],
        Y[SUPPORT],
        y_std=expected.y_std[backwards],
        feature_name="x0",
    )
    assert_array_equal(found.line_.get_xydata(), expected.line_.get_xydata())
    for one, two in zip(found.band_.get_paths(), expected.band_.get_paths(), strict=True):
        assert_array_equal(one.vertices, two.vertices)
    assert_array_equal(found.support_.get_offsets(), expected.support_.get_offsets())
    assert found.ax_.get_xlabel() == expected.ax_.get_xlabel()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        PredictionBandDisplay.from_predictions([1, 2], [1, 2], [1], [1], y_std=[1])


def test_only_meta_learners_for_one_real_target(model):
    classifier = EmpiricalBayesClassifier().fit(X, Y > 0, groups=GROUPS)
    with pytest.raises(ValueError, match="draws regressors, got the EmpiricalBayesClassifier"):
        PredictionBandDisplay.from_estimator(classifier, X[SUPPORT], Y[SUPPORT] > 0, 0)
    with pytest.raises(TypeError, match="Ridge cannot adapt"):
        PredictionBandDisplay.from_estimator(Ridge().fit(X, Y), X[SUPPORT], Y[SUPPORT], 0)
    two = np.column_stack([Y, Y])
    several = EmpiricalBayesRegressor().fit(X, two, groups=GROUPS)
    with pytest.raises(ValueError, match="draws one output, but y has 2"):
        PredictionBandDisplay.from_estimator(several, X[SUPPORT], two[SUPPORT], 0)
