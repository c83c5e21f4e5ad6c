"""The learners that only the search uses keep the contract too."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta.auto._per_task import PerTaskClassifier, PerTaskRegressor
from skmeta.auto._pooled import PooledClassifier, PooledRegressor
from skmeta.auto._scaled import Scaled
from skmeta.utils import meta_learner_checks

TASKS = skmeta.make_linear_tasks(20, (6, 12), 3, noise=0.2, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
LEARNERS = [
    PooledRegressor(Ridge()),
    PooledClassifier(LogisticRegression()),
    PerTaskRegressor([Ridge(), Ridge(0.1)]),
    PerTaskClassifier([LogisticRegression(), LogisticRegression(C=0.1)]),
]
_LEFT_OUT = {PooledClassifier: ["check_own_label_sets", "check_own_label_sets_need_two_classes"]}


@pytest.mark.parametrize(
    ("learner", "check"),
    [
        pytest.param(learner, check, id=f"{type(learner).__name__}-{check.__name__}")
        for learner in LEARNERS
        for check in meta_learner_checks(learner)
        if check.__name__ not in _LEFT_OUT.get(type(learner), [])
    ],
)
def test_keeps_the_contract(learner, check):
    check(learner)


def test_a_pooled_classifier_needs_a_shared_label_set():
    model = PooledClassifier(LogisticRegression(), label_sets="own")
    with pytest.raises(ValueError, match="needs classes that all tasks share"):
        model.fit(X, np.where(Y > 0, 1, 0), groups=GROUPS)


def test_each_task_has_a_model_of_its_own_rows():
    model = PerTaskRegressor([Ridge(0.1)]).fit(X, Y, groups=GROUPS)
    Z = StandardScaler().fit(X).transform(X)
    there = GROUPS == 3
    expected = Ridge(0.1).fit(Z[there], Y[there]).predict(Z[there])
    assert_allclose(model.predict(X[there], groups=GROUPS[there]), expected)
    assert_allclose(model.adapt(X[there], Y[there]).predict(X[there]), expected)


@pytest.mark.parametrize(("noise", "best"), [(0.0, 1e-3), (50.0, 1e3)])
def test_the_penalty_is_the_one_that_serves_training_tasks(noise, best):
    tasks = skmeta.make_linear_tasks(60, 12, 3, noise=noise, random_state=0)
    model = PerTaskRegressor([Ridge(1.0), Ridge(1e-3), Ridge(1e3)])
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.adapt(X[:5], Y[:5])._state["model"][0].alpha == best


def test_scaling_is_that_of_all_training_rows():
    learner = skmeta.MultiHeadRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    scaler = StandardScaler().fit(X)
    model = Scaled(learner).fit(X, Y, groups=GROUPS)
    expected = learner.fit(scaler.transform(X), Y, groups=GROUPS)
    assert_allclose(model.predict(X, groups=GROUPS), expected.predict(scaler.transform(X), GROUPS))
    new = model.adapt(X[:4] + 9, Y[:4])
    assert_allclose(
        new.predict(X, return_std=True),
        expected.adapt(scaler.transform(X[:4] + 9), Y[:4]).predict(
            scaler.transform(X), return_std=True
        ),
    )
    assert_allclose(np.sort(model.tasks_), np.arange(20))
