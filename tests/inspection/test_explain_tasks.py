"""Closed forms, limit cases and simulations of what a fitted model says of its tasks."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    AutoMetaRegressor,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    MAMLRegressor,
    MultiHeadRegressor,
    PrototypicalClassifier,
    RidgeHeadRegressor,
    TaskInterpolation,
    TaskVariationDisplay,
    UnseenTaskWarning,
    explain_tasks,
)

NET = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}


def draw(n_tasks=40, n_rows=12, *, level=1.0, slope=0.5, noise=0.5, seed=0):
    """Draw tasks that differ in level and in the slope of the first of two features."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    X = random.normal(size=(len(groups), 2)) * [1.0, 3.0]
    effects = random.normal(size=(n_tasks, 2)) * [level, slope]
    signal = X @ [1.0, -0.5] + effects[groups, 0] + effects[groups, 1] * X[:, 0]
    return X, signal + noise * random.normal(size=len(groups)), groups


@pytest.fixture(scope="module")
def model():
    X, y, groups = draw()
    return EmpiricalBayesRegressor().fit(X, y, groups=groups)


def by_task(found):
    return found.tasks.set_index("task").sort_index()


# Closed forms


def test_components_are_moments_of_the_prior_over_the_rows(model):
    X, y, _ = draw()
    rows = np.column_stack([np.ones(len(X)), X])
    omega, noise = model.prior_covariance_[0], model.noise_variance_[0]
    found = explain_tasks(model).variance.iloc[0]
    between = np.einsum("ni,ij,nj->n", rows, omega, rows).mean()
    mean = rows.mean(axis=0)
    assert_allclose(found["level"] + found["slopes"], between, rtol=1e-8)
    assert_allclose(found["level"], mean @ omega @ mean, rtol=1e-8)
    assert_allclose(found["shared"], np.var(rows @ model.prior_mean_[0]), rtol=1e-8)
    assert_allclose(found["noise"], noise)
    assert_allclose(found["icc"], between / (between + noise), rtol=1e-8)
    total = found["shared"] + between + noise
    assert_allclose(found["r2_marginal"], found["shared"] / total)
    assert_allclose(found["r2_conditional"], 1 - noise / total)
    assert_allclose(total, y.var(), rtol=0.1)


def test_distance_is_that_of_mahalanobis(model):
    X, y, groups = draw()
    omega = model.prior_covariance_[0]
    inverse, noise = np.linalg.inv(omega), model.noise_variance_[0]
    found = by_task(explain_tasks(model))
    for task in (0, 7):
        F = np.column_stack([np.ones(12), X[groups == task]])
        S = np.linalg.inv(inverse + F.T @ F / noise)
        m = S @ F.T @ (y[groups == task] - F @ model.prior_mean_[0]) / noise
        assert_allclose(found["distance"][task], np.sqrt(m @ inverse @ m), rtol=1e-5)
        assert_allclose(found["learned"][task], 3 - np.trace(inverse @ S), rtol=1e-5)


def test_shift_is_that_of_the_predictions_from_those_of_an_unseen_task(model):
    X, _, groups = draw()
    with pytest.warns(UnseenTaskWarning):
        prior = model.predict(X, groups=np.full(len(X), 99))
    moved = (model.predict(X, groups=groups) - prior).reshape(40, 12)
    found = by_task(explain_tasks(model))
    assert_allclose(found["shift"], np.sqrt((moved**2).mean(axis=1)))
    assert explain_tasks(model).tasks["distance"].is_monotonic_decreasing


def test_effects_of_one_standard_deviation(model):
    X, _, _ = draw()
    table = explain_tasks(model, ["a", "b"]).features
    assert table["feature"].tolist() == ["a", "b"]
    assert_allclose(table["effect"], model.prior_mean_[0, 1:] * X.std(axis=0))
    omega = np.diag(model.prior_covariance_[0])[1:]
    assert_allclose(table["sd"], np.sqrt(omega) * X.std(axis=0))
    assert table["sd"][0] > 5 * table["sd"][1]  # tasks differ in the first slope alone


def test_logistic_noise_and_total_variation():
    X, y, groups = draw(noise=1.0)
    model = EmpiricalBayesClassifier().fit(X, np.where(y > 0, "yes", "no"), groups=groups)
    found = explain_tasks(model)
    assert_allclose(found.variance["noise"], np.pi**2 / 3)
    assert found.variance["output"].tolist() == ["yes"]
    with pytest.warns(UnseenTaskWarning):
        prior = model.predict_proba(X, groups=np.full(len(X), 99))
    moved = np.abs(model.predict_proba(X, groups=groups) - prior)[:, 1].reshape(40, 12)
    assert_allclose(by_task(found)["shift"], moved.mean(axis=1), rtol=1e-6)


# Simulations, and limit cases


@pytest.mark.parametrize("effects", ["full", "diagonal"])
def test_the_intraclass_correlation_is_recovered(effects):
    iccs, ratios = [], []
    for seed in range(6):
        X, y, groups = draw(100, 10, level=1.0, slope=0.5, noise=1.0, seed=seed)
        found = explain_tasks(EmpiricalBayesRegressor(effects).fit(X, y, groups=groups))
        iccs.append(found.variance["icc"][0])
        ratios.append((found.tasks["distance"] ** 2).sum() / found.tasks["learned"].sum())
    assert_allclose(np.mean(iccs), 1.25 / 2.25, atol=0.04)
    assert_allclose(ratios, 1, atol=0.05)  # as many squares as the rows have determined


def test_the_latent_intraclass_correlation_is_recovered():
    iccs = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        groups = np.repeat(np.arange(150), 20)
        X = random.normal(size=(len(groups), 1))
        latent = X[:, 0] + 2.0 * random.normal(size=150)[groups]
        y = latent + random.logistic(size=len(groups)) > 0
        model = EmpiricalBayesClassifier("intercept").fit(X, y, groups=groups)
        iccs.append(explain_tasks(model).variance["icc"][0])
    assert_allclose(np.mean(iccs), 4 / (4 + np.pi**2 / 3), atol=0.08)


def test_tasks_that_are_alike_have_not_moved():
    X, y, groups = draw(level=0.0, slope=0.0)
    found = explain_tasks(EmpiricalBayesRegressor().fit(X, y, groups=groups))
    assert found.variance["icc"][0] < 0.05
    assert found.tasks["shift"].max() < 0.1 * y.std()
    same = explain_tasks(
        EmpiricalBayesRegressor().fit(
            np.tile(X[:12], (5, 1)), np.tile(y[:12], 5), groups=np.repeat(np.arange(5), 12)
        )
    )
    assert same.tasks["shift"].max() < 1e-2 * y.std()
    assert same.tasks["distance"].max() < 0.1


def test_one_task_has_no_other_to_differ_from():
    X, y, _ = draw(1)
    found = explain_tasks(EmpiricalBayesRegressor().fit(X, y))
    assert found.variance["icc"][0] == 0
    assert_array_equal(found.tasks[["shift", "distance", "learned"]], [[0, 0, 0]])
    assert "Distance from the prior: 0 in" in found.summary
    assert "None" not in found.summary


def test_tables_are_of_the_library_that_the_learner_was_fitted_to(model):
    X, y, groups = draw()
    frame = pl.DataFrame({"school": [f"s{task:02}" for task in groups], "a": X[:, 0], "b": X[:, 1]})
    learner = EmpiricalBayesRegressor(task_column="school")
    pipe = make_pipeline(skmeta.Shared(StandardScaler(), task_column="school"), learner)
    expected = explain_tasks(model)
    for fitted in (learner.fit(frame, y), pipe.fit(frame, y), learner.adapt(frame[:4], y[:4])):
        found = explain_tasks(fitted)
        for one in (found.tasks, found.variance, found.features):
            assert isinstance(one, pl.DataFrame)
        assert_allclose(found.variance["icc"], expected.variance["icc"], rtol=1e-5)


def test_a_foreign_task_is_the_farthest():
    X, y, groups = draw()
    y[groups == 11] *= -4
    found = explain_tasks(EmpiricalBayesRegressor().fit(X, y, groups=groups))
    assert found.tasks["task"][0] == 11
    assert "11 (" in found.summary


def test_an_offset_is_shared_and_measured_out_of_fold():
    """A pooled model that learns noise by heart explains nothing."""
    random = np.random.default_rng(0)
    X, groups = random.normal(size=(400, 30)), np.repeat(np.arange(40), 10)
    noise = random.normal(size=400)
    signal = X[:, 0] * 2
    model = EmpiricalBayesRegressor("intercept", offset=LinearRegression())
    found = explain_tasks(model.fit(X, signal + noise, groups=groups)).variance.iloc[0]
    assert_allclose(found["r2_marginal"], 0.8, atol=0.05)
    assert found["shared"] > 3


# Invariance


def test_order_and_names_of_tasks_do_not_matter(model):
    X, y, groups = draw()
    order = np.random.default_rng(1).permutation(len(X))
    names = np.array([f"task {99 - group}" for group in groups])
    other = explain_tasks(EmpiricalBayesRegressor().fit(X[order], y[order], groups=names[order]))
    found = explain_tasks(model)
    assert_array_equal(other.variance, found.variance)
    assert_array_equal(other.features, found.features)
    columns = ["rows", "shift", "distance", "learned"]
    assert_array_equal(other.tasks[columns], found.tasks[columns])
    assert other.tasks["task"].tolist() == [f"task {99 - task}" for task in found.tasks["task"]]


@pytest.mark.parametrize(
    ("learner", "rtol"),
    [
        (EmpiricalBayesRegressor(), 1e-4),
        (MultiHeadRegressor(**NET), 3e-2),  # the unit changes the order in which rows are drawn
    ],
)
def test_shares_and_distances_do_not_depend_on_the_unit_of_y(learner, rtol):
    X, y, groups = draw()
    found = explain_tasks(learner.fit(X, y, groups=groups))
    scaled = explain_tasks(learner.fit(X, 1000 * y + 7, groups=groups))
    shares = ["icc", "r2_marginal", "r2_conditional"]
    assert_allclose(scaled.variance[shares], found.variance[shares], rtol=rtol)
    assert_allclose(scaled.variance["noise"], 1e6 * found.variance["noise"], rtol=rtol)
    other, one = scaled.tasks.max(), found.tasks.max()
    assert_allclose(other["distance"], one["distance"], rtol=rtol)
    assert_allclose(other["shift"], 1000 * one["shift"], rtol=rtol)


def test_the_unit_of_features_does_not_matter(model):
    X, y, groups = draw()
    other = EmpiricalBayesRegressor().fit(X * [100, 0.1] + 5, y, groups=groups)
    columns = ["effect", "sd"]
    assert_allclose(
        explain_tasks(other).features[columns], explain_tasks(model).features[columns], rtol=1e-5
    )


# What may be explained


def test_a_pipeline_with_a_task_column_names_its_features(model):
    X, y, groups = draw()
    frame = pd.DataFrame({"a": X[:, 0], "school": groups, "b": X[:, 1]})
    pipe = make_pipeline(
        skmeta.Shared(StandardScaler(), task_column="school"),
        EmpiricalBayesRegressor(task_column="school"),
    )
    found = explain_tasks(pipe.fit(frame, y))
    assert found.features["feature"].tolist() == ["a", "b"]
    assert_allclose(found.variance["icc"], explain_tasks(model).variance["icc"], rtol=1e-5)
    array = EmpiricalBayesRegressor(task_column=1).fit(frame.to_numpy(), y)
    assert explain_tasks(array).features["feature"].tolist() == ["x0", "x2"]


def test_new_tasks_are_explained_after_adapting(model):
    X, y, groups = draw(seed=5)
    few = np.isin(groups, [3, 8]) & (np.arange(len(X)) % 12 < 4)
    found = explain_tasks(model.adapt(X[few], y[few], groups=groups[few]))
    assert sorted(found.tasks["task"]) == [3, 8]
    assert found.tasks["rows"].tolist() == [4, 4]
    assert (found.tasks["learned"] < 3).all()
    assert_array_equal(found.variance, explain_tasks(model).variance)


def test_several_outputs_and_several_classes():
    X, y, groups = draw()
    two = EmpiricalBayesRegressor().fit(X, np.column_stack([y, -2 * y]), groups=groups)
    found = explain_tasks(two)
    assert_allclose(*found.variance["icc"], rtol=1e-6)
    assert len(found.features) == 4
    labels = np.digitize(y, [-1, 1])
    three = explain_tasks(EmpiricalBayesClassifier().fit(X, labels, groups=groups))
    assert three.variance["output"].tolist() == [0, 1, 2]
    assert "of 2:" in three.summary
    assert by_task(three)["shift"].between(0, 1).all()


def test_label_sets_of_their_own_have_no_shift():
    X, y, groups = draw(20)
    own = 2 * groups + (y > 0)
    found = explain_tasks(EmpiricalBayesClassifier(label_sets="own").fit(X, own, groups=groups))
    assert list(found.tasks) == ["task", "rows", "distance", "learned"]
    assert found.variance["output"].tolist() == ["any class"]
    model = PrototypicalClassifier(n_shots=2, label_sets="own", **NET).fit(X, own, groups=groups)
    with pytest.raises(ValueError, match="label sets of their own"):
        explain_tasks(model)


def test_a_learner_without_a_prior_says_how_far_its_predictions_moved():
    X, y, groups = draw()
    learner = MAMLRegressor(n_shots=3, **NET).fit(X, y, groups=groups)
    found = explain_tasks(learner)
    assert found.variance is None
    assert found.features is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenTaskWarning)
        prior = learner.predict(X, groups=np.full(len(X), -1))
    moved = (learner.predict(X, groups=groups) - prior).reshape(40, 12)
    assert_allclose(by_task(found)["shift"], np.sqrt((moved**2).mean(axis=1)), rtol=1e-4)


def test_meta_transformers_and_searches_are_explained_by_what_is_in_them():
    X, y, groups = draw()
    ridge = RidgeHeadRegressor(n_shots=3, **NET)
    wrapped = TaskInterpolation(ridge).fit(X, y, groups=groups)
    moved = explain_tasks(wrapped).tasks["shift"]
    assert_array_equal(moved, explain_tasks(wrapped.estimator_).tasks["shift"])
    candidates = {"mixed": EmpiricalBayesRegressor()}
    auto = AutoMetaRegressor(candidates=candidates, n_splits=2, random_state=0)
    auto.fit(X, y, groups=groups)
    chosen = explain_tasks(auto.estimator_)
    assert chosen.variance is not None
    both = by_task(explain_tasks(auto)), by_task(chosen)
    assert_allclose(both[0]["shift"], both[1]["shift"], rtol=1e-6)


def test_a_prior_over_heads_explains_variance():
    X, y, groups = draw(60, 20, noise=0.5)
    model = MultiHeadRegressor(hidden_layer_sizes=(16,), max_iter=100, random_state=0)
    found = explain_tasks(model.fit(X, y, groups=groups))
    assert found.features is None
    assert_allclose(found.variance["icc"], 1.25 / 1.5, atol=0.1)
    ratio = (found.tasks["distance"] ** 2).sum() / found.tasks["learned"].sum()
    assert_allclose(ratio, 1, atol=0.25)


def test_wrong_arguments_raise(model):
    with pytest.raises(TypeError, match="LinearRegression is no meta-learner"):
        explain_tasks(LinearRegression())
    with pytest.raises(ValueError, match="feature_names has 1 names for the 2 features"):
        explain_tasks(model, ["a"])


# The picture


def test_the_picture_shows_what_the_tables_say(model):
    display = TaskVariationDisplay.from_estimator(model, ["a", "b"], n_named=2)
    found = explain_tasks(model, ["a", "b"])
    row = found.variance.iloc[0]
    total = row[["shared", "level", "slopes", "noise"]].sum()
    widths = [bar.get_width() for bar in display.axes_["variance"].patches]
    assert_allclose(widths, row[["shared", "level", "slopes", "noise"]].astype(float) / total)
    names = [text.get_text() for text in display.axes_["features"].get_yticklabels()]
    assert names == found.features.sort_values("sd", ascending=False)["feature"].tolist()
    points = display.axes_["tasks"].collections[0].get_offsets()
    table = found.tasks.set_index("task").loc[model.tasks_]
    assert_allclose(points[:, 0], table["shift"])
    assert_allclose(points[:, 1], table["distance"] / np.sqrt(table["learned"]))
    assert len(display.axes_["tasks"].texts) == 2
    plt.close("all")


def test_the_picture_on_given_axes(model):
    figure, axes = plt.subplots(3)
    display = TaskVariationDisplay.from_estimator(model, ax=axes)
    assert list(display.axes_) == ["variance", "features", "tasks"]
    assert list(display.axes_.values()) == axes.tolist()
    assert display.figure_ is figure
    with pytest.raises(ValueError, match="draws 3 panels; ax must hold as many Axes, got 1"):
        display.plot(axes[0])
    part = plt.figure().subfigures(1, 2)[0]
    assert display.plot(part.subplots(3)).figure_ is part
    plt.close("all")


def test_the_picture_of_a_learner_without_a_prior_has_one_panel():
    X, y, groups = draw(10)
    learner = MAMLRegressor(n_shots=3, **NET).fit(X, y, groups=groups)
    display = TaskVariationDisplay.from_estimator(learner)
    assert list(display.axes_) == ["tasks"]
    ax = plt.subplots()[1]
    assert TaskVariationDisplay.from_estimator(learner, ax=ax).axes_ == {"tasks": ax}
    assert display.axes_["tasks"].get_ylabel() == "Predictions moved, in the units of y"
