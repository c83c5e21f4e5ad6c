import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import EmpiricalBayesClassifier, EmpiricalBayesRegressor, UnseenTaskWarning, adapt


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 8)
    X = random.normal(size=(96, 3))
    w = 1 + 0.5 * random.normal(size=(12, 3))
    return X, (X * w[groups]).sum(axis=1) + 0.1 * random.normal(size=96), groups


@pytest.fixture(scope="module")
def new():
    random = np.random.default_rng(1)
    X = random.normal(size=(20, 3))
    return X, X @ [2.0, 0.0, 1.0] + 0.1 * random.normal(size=20), np.repeat([50, 51], 10)


def test_a_learner_adapts_as_by_its_method(rows, new):
    X, y, groups = rows
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    assert_array_equal(
        adapt(model, *new).predict(new[0], groups=new[2]),
        model.adapt(*new).predict(new[0], groups=new[2]),
    )
    assert_array_equal(
        adapt(model, *new[:2]).predict(new[0]), model.adapt(*new[:2]).predict(new[0])
    )


def test_a_pipeline_adapts_behind_its_transformers(rows, new):
    X, y, groups = rows
    scaler = StandardScaler().fit(X)
    model = EmpiricalBayesRegressor().fit(scaler.transform(X), y, groups=groups)
    expected = model.adapt(scaler.transform(new[0]), new[1]).predict(scaler.transform(new[0]))
    for steps in (
        [StandardScaler(), EmpiricalBayesRegressor()],
        ["passthrough", StandardScaler(), EmpiricalBayesRegressor()],
        [make_pipeline(StandardScaler(), "passthrough"), EmpiricalBayesRegressor()],
        [StandardScaler(), make_pipeline("passthrough", EmpiricalBayesRegressor())],
    ):
        pipe = make_pipeline(*steps)
        with config_context(enable_metadata_routing=True):
            pipe.fit(X, y, groups=groups)
            before = pipe.predict(X, groups=groups)
            adapted = adapt(pipe, *new[:2])
            assert isinstance(adapted, Pipeline)
            assert_array_equal(adapted.predict(new[0]), expected)
            assert_array_equal(pipe.predict(X, groups=groups), before)
            both = adapt(pipe, *new)
            assert both.predict(new[0], groups=new[2]).shape == (20,)


def test_a_search_gives_its_adapted_best_estimator(rows, new):
    X, y, groups = rows
    array, support = np.column_stack([groups, X]), np.column_stack([new[2], new[0]])
    learner = EmpiricalBayesRegressor(task_column=0)
    search = GridSearchCV(learner, {"effects": ["full", "intercept"]}, cv=_folds()).fit(array, y)
    assert search.best_params_ == {"effects": "full"}
    adapted = adapt(search, support, new[1])
    assert isinstance(adapted, EmpiricalBayesRegressor)
    assert_array_equal(adapted.tasks_, [50, 51])
    assert_array_equal(
        adapted.predict(support), search.best_estimator_.adapt(support, new[1]).predict(support)
    )
    inside = make_pipeline("passthrough", search)
    inside.fit(array, y)
    assert isinstance(adapt(inside, support, new[1]).steps[-1][1], EmpiricalBayesRegressor)


@pytest.mark.parametrize(
    "fitted", [Ridge(), make_pipeline(StandardScaler(), Ridge()), "no estimator"], ids=repr
)
def test_what_cannot_adapt(rows, fitted):
    if not isinstance(fitted, str):
        fitted.fit(*rows[:2])
    with pytest.raises(TypeError, match="cannot adapt; expected a fitted meta-learner, or a Pip"):
        adapt(fitted, *rows[:2])


# Tasks through scikit-learn's tools


def test_groups_reach_everything_under_metadata_routing(rows):
    X, y, groups = rows
    known = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), EmpiricalBayesRegressor())
        for model in (EmpiricalBayesRegressor(), pipe):
            model.fit(X, y, groups=groups)
            assert_allclose(
                model.predict(X, groups=groups), known.predict(X, groups=groups), rtol=1e-6
            )
            assert model.score(X, y, groups=groups) > 0.99
            with pytest.warns(UnseenTaskWarning):  # GroupKFold holds out whole tasks
                new = cross_validate(model, X, y, cv=GroupKFold(3), params={"groups": groups})
            seen = cross_validate(model, X, y, cv=_folds(), params={"groups": groups})
            assert seen["test_score"].min() > 0.9 > new["test_score"].max()
            effects = [name for name in model.get_params() if name.endswith("effects")]
            search = GridSearchCV(model, {effects[0]: ["full"]}, cv=_folds())
            search.fit(X, y, groups=groups)
            assert search.best_score_ > 0.9
            assert search.score(X, y, groups=groups) > 0.99


def test_probabilities_under_metadata_routing(rows):
    X, y, groups = rows
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), EmpiricalBayesClassifier())
        pipe.fit(X, y > 0, groups=groups)
        proba = pipe.predict_proba(X, groups=groups)
        assert proba.shape == (96, 2)
        assert_allclose(np.exp(pipe.predict_log_proba(X, groups=groups)), proba)
        scores = cross_val_score(pipe, X, y > 0, params={"groups": groups}, cv=_folds())
        assert scores.mean() > 0.8


def test_a_column_reaches_what_carries_nothing_but_x(rows):
    X, y, groups = rows
    array = np.column_stack([X, groups])
    learner = EmpiricalBayesRegressor(task_column=-1)
    pooled = cross_val_predict(Ridge(), X, y, cv=_folds())
    shuffled = cross_val_predict(learner, array, y, cv=_folds())
    assert np.mean((shuffled - y) ** 2) < 0.3 * np.mean((pooled - y) ** 2)
    stack = StackingRegressor([("tasks", learner)], Ridge(), cv=_folds())
    assert stack.fit(array, y).score(array, y) > 0.95
    assert cross_val_score(learner, array, y, cv=_folds(), scoring="r2").min() > 0.9


def _folds():
    rows = np.arange(96)
    return [(rows[rows % 4 != fold], rows[rows % 4 == fold]) for fold in range(4)]


def test_parallel_and_serial_cross_validation_agree(rows):
    X, y, groups = rows
    array = np.column_stack([X, groups])
    learner = EmpiricalBayesRegressor(task_column=-1)
    scores = [cross_val_score(learner, array, y, cv=_folds(), n_jobs=n_jobs) for n_jobs in (1, 2)]
    assert_array_equal(*scores)


def test_routing_can_be_switched_off_for_a_learner(rows):
    X, y, groups = rows
    with config_context(enable_metadata_routing=True):
        learner = EmpiricalBayesRegressor().set_fit_request(groups=False)
        assert not learner.get_metadata_routing().consumes("fit", ["groups"])
        pipe = make_pipeline(StandardScaler(), learner)
        with pytest.raises(TypeError, match="groups"):
            pipe.fit(X, y, groups=groups)
