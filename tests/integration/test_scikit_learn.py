"""scikit-learn's tools, which pass nothing but X, with a task column; and groups under routing."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    EmpiricalBayesRegressor,
    EpisodicKFold,
    MAMLRegressor,
    MultiHeadRegressor,
    PerTask,
    RidgeHeadRegressor,
    Shared,
    TaskKFold,
    UnseenTaskWarning,
    task_scorer,
)

DEEP = {"max_iter": 20, "hidden_layer_sizes": (8,), "random_state": 0}
LEARNERS = {
    "empirical bayes": (EmpiricalBayesRegressor(), {"effects": ["full", "intercept"]}),
    "ridge head": (RidgeHeadRegressor(n_shots=3, **DEEP), {"lr": [1e-3, 1e-2]}),
    "multi-head": (MultiHeadRegressor(**DEEP), {"hidden_layer_sizes": [(4,), (8,)]}),
    "maml": (MAMLRegressor(n_shots=3, **DEEP), {"optimizer__weight_decay": [0.0, 1e-2]}),
}
LEARNER = pytest.mark.parametrize("name", LEARNERS)
RMSE = "neg_root_mean_squared_error"


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(24, (6, 10), 3, noise=0.3, random_state=0)


@pytest.fixture(params=["numpy", "pandas"])
def table(request, tasks):
    """The rows with their task column, the column's name, and the targets."""
    if request.param == "numpy":
        return np.column_stack([tasks.groups, tasks.data]), 0, tasks.target
    frame = pd.DataFrame(tasks.data, columns=["a", "b", "c"])
    frame.insert(1, "school", [f"school {group}" for group in tasks.groups])
    return frame, "school", tasks.target


def pipeline(name, column):
    learner, grid = LEARNERS[name]
    pipe = Pipeline(
        [
            ("scale", Shared(StandardScaler(), task_column=column)),
            ("learn", clone(learner).set_params(task_column=column)),
        ]
    )
    return pipe, {f"learn__{key}": values for key, values in grid.items()}


@LEARNER
def test_grid_search_over_a_pipeline_and_its_predict(name, table):
    X, column, y = table
    pipe, grid = pipeline(name, column)
    cv = EpisodicKFold(3, n_shots=3, task_column=column, random_state=0)
    search = GridSearchCV(pipe, grid, cv=cv, scoring=RMSE).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.predict(X))
    before = search.predict(X)
    new = skmeta.adapt(search, X[:4], y[:4])
    assert isinstance(new, Pipeline)
    scale, learn = search.best_estimator_
    by_hand = learn.adapt(scale.transform(X[:4]), y[:4]).predict(scale.transform(X[:3]))
    np.testing.assert_array_equal(new.predict(X[:3]), by_hand)
    np.testing.assert_array_equal(
        skmeta.adapt(search.best_estimator_, X[:4], y[:4]).predict(X[:3]), by_hand
    )
    np.testing.assert_array_equal(search.predict(X), before)


@LEARNER
def test_results_do_not_depend_on_n_jobs(name, tasks):
    X = np.column_stack([tasks.groups, tasks.data])
    pipe, grid = pipeline(name, 0)
    cv = EpisodicKFold(2, n_shots=3, task_column=0, random_state=0)
    scores = [
        GridSearchCV(pipe, grid, cv=cv, scoring=RMSE, n_jobs=n_jobs)
        .fit(X, tasks.target)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


THREADS = """
import numpy as np, skmeta, torch
from sklearn.model_selection import cross_val_score

tasks = skmeta.make_linear_tasks(8, 10, 3, random_state=0)
threads = cross_val_score(
    skmeta.MAMLRegressor(task_column=0, max_iter=1),
    np.column_stack([tasks.groups, tasks.data]),
    tasks.target,
    cv=skmeta.EpisodicKFold(2, n_shots=3, task_column=0),
    scoring=lambda model, X, y: torch.get_num_threads(),
    n_jobs=2,
)
print(int(threads.max()))
"""


def test_workers_share_the_cores():
    """Under joblib a worker's torch has its part of the threads."""
    few = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    run = [sys.executable, "-c", THREADS]
    done = subprocess.run(run, env=few, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= max(1, joblib.cpu_count() // 2)


@pytest.mark.parametrize("inner", [[{"inner_lr": 0.01}, {"inner_lr": 0.1}], [{"n_inner_steps": 3}]])
def test_a_search_over_the_inner_problem_is_the_same_in_parallel(inner, tasks):
    X = np.column_stack([tasks.groups, tasks.data])
    grid = [
        {name: [value] for name, value in choice.items()}
        | {"module__hidden_layer_sizes": [(4,), (8,)]}
        for choice in inner
    ]
    cv = EpisodicKFold(2, n_shots=3, task_column=0, random_state=0)
    model = MAMLRegressor(task_column=0, **DEEP)
    scores = [
        GridSearchCV(model, grid, cv=cv, scoring=RMSE, n_jobs=n_jobs)
        .fit(X, tasks.target)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)
    assert len(set(scores[0])) == len(scores[0])


@pytest.mark.parametrize("name", ["empirical bayes", "maml"])
def test_nested_cross_validation(name, table):
    X, column, y = table
    pipe, grid = pipeline(name, column)
    search = GridSearchCV(
        pipe, grid, cv=EpisodicKFold(3, 3, task_column=column, random_state=0), scoring=RMSE
    )
    outer = EpisodicKFold(3, 3, task_column=column, random_state=1)
    scores = cross_val_score(search, X, y, cv=outer, scoring=RMSE)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    by_hand = []
    for train, test in outer.split(X, y):
        rows = [np.asarray(X)[i] if column == 0 else X.iloc[i] for i in (train, test)]
        predicted = clone(search).fit(rows[0], y[train]).predict(rows[1])
        by_hand.append(-np.sqrt(np.mean((predicted - y[test]) ** 2)))
    np.testing.assert_allclose(scores, by_hand, rtol=1e-6)


def test_few_shots_beat_none(tasks):
    """The episodic split lets the learner adapt; holding out whole tasks does not."""
    X = np.column_stack([tasks.groups, tasks.data])
    model = EmpiricalBayesRegressor(task_column=0)
    few = cross_val_score(model, X, tasks.target, cv=EpisodicKFold(4, 4, task_column=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenTaskWarning)
        none = cross_val_score(model, X, tasks.target, cv=TaskKFold(4, task_column=0))
    assert few.mean() > none.mean() + 0.2


@LEARNER
@pytest.mark.filterwarnings("ignore::skmeta.UnseenTaskWarning")
def test_cross_val_predict_of_unseen_tasks(name, table):
    X, column, y = table
    pipe, _ = pipeline(name, column)
    predicted = cross_val_predict(pipe, X, y, cv=TaskKFold(3, task_column=column))
    assert predicted.shape == y.shape
    assert np.isfinite(predicted).all()


def test_any_estimator_is_a_head_behind_a_representation(tasks):
    X = np.column_stack([tasks.groups, tasks.data])
    body = RidgeHeadRegressor(task_column=0, n_shots=3, **DEEP)
    pipe = Pipeline([("body", body), ("head", Ridge())]).fit(X, tasks.target)
    assert pipe[:-1].transform(X).shape == (len(X), 8)
    assert list(pipe[:-1].get_feature_names_out())[:1] == ["ridgeheadregressor0"]


@LEARNER
def test_groups_reach_every_step_under_routing(name, tasks):
    """One `groups`, no set_fit_request: splitter, transformer, learner and score get it."""
    learner, grid = LEARNERS[name]
    pipe = Pipeline([("scale", PerTask(StandardScaler())), ("learn", clone(learner))])
    cv = EpisodicKFold(2, n_shots=3, random_state=0)
    column = Pipeline(
        [
            ("scale", PerTask(StandardScaler(), task_column=0)),
            ("learn", clone(learner).set_params(task_column=0)),
        ]
    )
    X = np.column_stack([tasks.groups, tasks.data])
    by_column = cross_val_score(
        column, X, tasks.target, cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0)
    )
    with sklearn.config_context(enable_metadata_routing=True):
        routed = {"groups": tasks.groups}
        plain = cross_validate(pipe, tasks.data, tasks.target, cv=cv, params=routed)
        scored = cross_validate(
            pipe, tasks.data, tasks.target, cv=cv, params=routed, scoring=task_scorer("r2")
        )
        search = GridSearchCV(pipe, {f"learn__{k}": v for k, v in grid.items()}, cv=cv)
        search.fit(tasks.data, tasks.target, groups=tasks.groups)
        predicted = search.best_estimator_.predict(tasks.data, groups=tasks.groups)
        new = skmeta.adapt(search, tasks.data[:4], tasks.target[:4], groups=tasks.groups[:4])
        assert new.predict(tasks.data[:2], groups=tasks.groups[:2]).shape == (2,)
    assert predicted.shape == tasks.target.shape
    assert np.isfinite(scored["test_score"]).all()
    np.testing.assert_allclose(plain["test_score"], by_column, rtol=1e-6)
