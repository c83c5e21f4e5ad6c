"""The baseline that shares nothing, against a loop over tasks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge

import skmeta
from skmeta.model_selection._separate import SeparateModels

TASKS = skmeta.make_linear_tasks(20, (6, 12), 3, noise=0.2, random_state=0)
X, Y, GROUPS = TASKS.data, TASKS.target, TASKS.groups


def ridges(*penalties, **given):
    return SeparateModels(
        [Ridge(penalty) for penalty in penalties], **{"support": "random", **given}
    )


@pytest.mark.parametrize("by_column", [False, True])
def test_each_task_has_the_model_of_its_own_rows(by_column):
    table = np.column_stack([GROUPS, X]) if by_column else X
    given = {} if by_column else {"groups": GROUPS}
    model = ridges(0.1, task_column=0 if by_column else None).fit(table, Y, **given)
    expected = [
        Ridge(0.1).fit(X[task == GROUPS], Y[task == GROUPS]).predict(row[None])[0]
        for task, row in zip(GROUPS, X, strict=True)
    ]
    assert_allclose(model.predict(table, **given), expected)
    other = model.adapt(table[:3], Y[:3], **({"groups": np.full(3, 77)} if given else {}))
    assert_allclose(
        other.predict(table[:1], **({"groups": [77]} if given else {})),
        Ridge(0.1).fit(X[:3], Y[:3]).predict(X[:1]),
    )
    assert_allclose(model.predict(table, **given), expected)  # adapt left it as it was


@pytest.mark.parametrize("support", ["first", "random"])
@pytest.mark.parametrize(("noise", "best"), [(0.0, 1e-3), (50.0, 1e3)])
def test_the_penalty_is_the_one_that_serves_training_tasks(noise, best, support):
    tasks = skmeta.make_linear_tasks(60, 12, 3, noise=noise, random_state=0)
    model = ridges(1.0, 1e-3, 1e3, support=support)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    adapted = model.adapt(X[:5], Y[:5])
    assert adapted.models_[0].alpha == best


def test_without_a_task_that_is_large_enough_the_first_candidate_is_taken():
    model = ridges(1.0, 1e-3).fit(X, Y, groups=GROUPS)
    assert model.adapt(X[:30], Y[:30]).models_[0].alpha == 1.0


def test_kind_and_parameters_are_those_of_an_estimator():
    assert is_regressor(ridges(1.0))
    logistic = SeparateModels([LogisticRegression()], support="random")
    assert is_classifier(logistic)
    assert clone(logistic).get_params()["support"] == "random"


def test_a_task_of_one_class_gets_laplace_s_rule():
    y = np.where(Y > 0, "up", "down")
    model = SeparateModels([LogisticRegression()], support="random").fit(X, y, groups=GROUPS)
    rows = np.flatnonzero(y == "up")[:3]
    adapted = model.adapt(X[rows], y[rows])
    assert_allclose(adapted.predict_proba(X[:2]), [[1 / 5, 4 / 5]] * 2)
    assert_array_equal(adapted.predict(X[:2]), ["up", "up"])


def test_classes_that_a_task_lacks_have_probability_0():
    y = np.array(["a", "b", "c", "d"])[np.arange(len(Y)) % 4]
    model = SeparateModels([LogisticRegression()], support="random").fit(X, y, groups=GROUPS)
    adapted = model.adapt(X[:4], np.array(["b", "d", "b", "new"]))
    proba = adapted.predict_proba(X[:5])
    assert adapted.classes_.tolist() == ["a", "b", "c", "d", "new"]
    assert (proba[:, [0, 2]] == 0).all()
    assert_allclose(proba.sum(axis=1), 1.0)
