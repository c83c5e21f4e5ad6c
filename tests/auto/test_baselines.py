"""The learners that only the search uses keep the contract too."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    MultiHeadClassifier,
    MultiHeadRegressor,
    PredictionBandDisplay,
    RidgeHeadClassifier,
    RidgeHeadRegressor,
    TaskMapDisplay,
    TaskVariationDisplay,
    TrainingHistoryDisplay,
    adaptation_curve,
    explain_tasks,
)
from skmeta.auto._per_task import PerTaskClassifier, PerTaskRegressor
from skmeta.auto._pooled import PooledClassifier, PooledRegressor
from skmeta.auto._scaled import (
    ScaledMultiHeadClassifier,
    ScaledMultiHeadRegressor,
    ScaledRidgeHeadClassifier,
    ScaledRidgeHeadRegressor,
)
from skmeta.utils import meta_learner_checks

TASKS = skmeta.make_linear_tasks(20, (6, 12), 3, noise=0.2, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups
NET = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}
NETWORKS = [
    (ScaledMultiHeadRegressor, MultiHeadRegressor),
    (ScaledMultiHeadClassifier, MultiHeadClassifier),
    (ScaledRidgeHeadRegressor, RidgeHeadRegressor),
    (ScaledRidgeHeadClassifier, RidgeHeadClassifier),
]
LEARNERS = [
    PooledRegressor(Ridge()),
    PooledClassifier(LogisticRegression()),
    PerTaskRegressor([Ridge(), Ridge(0.1)]),
    PerTaskClassifier([LogisticRegression(), LogisticRegression(C=0.1)]),
    ScaledMultiHeadRegressor(**NET),
    ScaledRidgeHeadClassifier(**NET),
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


@pytest.mark.parametrize(("scaled", "plain"), NETWORKS, ids=lambda cls: cls.__name__)
def test_scaling_is_that_of_all_training_rows(scaled, plain):
    y = np.where(Y > 0, "high", "low") if is_classifier(scaled()) else Y
    rows = X * [1e-3, 1.0, 1e4] + 5
    Z = StandardScaler().fit_transform(rows)
    body = {**NET, "max_iter": 0}  # episodes would differ: they are drawn by the content of rows
    model = scaled(**body).fit(rows, y, groups=GROUPS)
    expected = plain(**body).fit(Z, y, groups=GROUPS)
    assert_allclose(model.transform(rows), expected.transform(Z), atol=1e-5)
    assert_allclose(model.score(rows, y, GROUPS), expected.score(Z, y, GROUPS), rtol=1e-4)
    few = model.adapt(rows[:9], y[:9]), expected.adapt(Z[:9], y[:9])
    method = "predict_proba" if is_classifier(model) else "predict"
    found, wanted = getattr(few[0], method)(rows), getattr(few[1], method)(Z)
    assert_allclose(found, wanted, atol=1e-4)


def test_displays_know_a_scaled_network():
    model = ScaledMultiHeadRegressor(**NET).fit(X, Y, groups=GROUPS)
    assert explain_tasks(model).variance is not None
    assert PredictionBandDisplay.from_estimator(model, X[:4], Y[:4], 0).band_ is not None
    assert TrainingHistoryDisplay.from_estimator(model).n_updates[-1] == NET["max_iter"]
    assert "tasks" in TaskVariationDisplay.from_estimator(model).axes_
    assert len(TaskMapDisplay.from_estimator(model, X, Y, groups=GROUPS).positions) == 20
    plt.close("all")
    with pytest.raises(ValueError, match=r"task_column=0, but the Scaled.* set it there too"):
        adaptation_curve(model, np.column_stack([GROUPS, X]), Y, task_column=0, shots=(1, 3))
