"""The dual programs against a generic solver and scikit-learn's machines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.svm import SVR, LinearSVC
from torch import nn

import skmeta
from skmeta import SVMHeadClassifier, SVMHeadRegressor
from skmeta.heads._svm_head import _MulticlassSVM, _SupportVectorRegression

RNG = np.random.default_rng(0)


def dual_of(rule, X, y):
    """Return kernel and dual variables of one task."""
    F = torch.cat([torch.tensor(X), torch.ones(len(X), 1, dtype=torch.float64)], dim=1)
    K = (F @ F.mT + rule.ridge * torch.eye(len(X)))[None]
    mask = torch.ones(1, 1, len(X), dtype=torch.float64)
    dual = rule._dual(K, torch.tensor(y.T.copy())[None], mask, 1e-12)
    return K[0].numpy(), dual[0].numpy()


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("C", [0.1, 2.0])
def test_the_multiclass_dual_is_solved(n_classes, C):
    labels = RNG.permutation(np.arange(12) % n_classes)
    X, y = RNG.normal(size=(12, 4)) + labels[:, None], np.eye(n_classes)[labels]
    rule = _MulticlassSVM(nn.Identity(), 4, n_classes, C=C, ridge=1.0)
    K, alpha = dual_of(rule, X, y)
    np.testing.assert_allclose(alpha.sum(axis=0), 0, atol=1e-9)
    assert (alpha <= C * y.T + 1e-9).all()

    def objective(a):
        a = a.reshape(n_classes, 12)
        return 0.5 * np.sum(a * (a @ K)) - np.sum(a * y.T), ((a @ K) - y.T).ravel()

    found = minimize(
        objective, np.zeros(alpha.size), jac=True, method="SLSQP",
        bounds=[(None, bound) for bound in (C * y.T).ravel()],
        constraints={"type": "eq", "fun": lambda a: a.reshape(n_classes, 12).sum(axis=0),
                     "jac": lambda a: np.tile(np.eye(12), n_classes)},
        options={"maxiter": 2000, "ftol": 1e-14},
    )  # fmt: skip
    assert found.success
    np.testing.assert_allclose(alpha.ravel(), found.x, atol=1e-5)
    assert objective(alpha.ravel())[0] <= found.fun + 1e-10


def test_without_its_ridge_it_is_scikit_learns_machine():
    labels = np.arange(30) % 2
    X = RNG.normal(size=(30, 3)) + labels[:, None]
    rule = _MulticlassSVM(nn.Identity(), 3, 2, C=0.4, ridge=1e-9).double()
    with torch.no_grad():
        state = rule.adapt(
            torch.tensor(X)[None], torch.tensor(np.eye(2)[labels])[None],
            torch.ones(1, 30, dtype=torch.float64),
        )  # fmt: skip
    machine = LinearSVC(
        C=0.4, multi_class="crammer_singer", fit_intercept=False, tol=1e-8, max_iter=100_000
    )
    machine.fit(np.column_stack([X, np.ones(30)]), labels)
    difference = np.diff(state["head"][0].numpy(), axis=1)[:, 0]
    np.testing.assert_allclose(difference, machine.coef_[0], atol=1e-3)


@pytest.mark.parametrize("C", [0.05, 3.0])
@pytest.mark.parametrize("n_rows", [5, 20])
def test_the_regression_is_scikit_learns(C, n_rows):
    X = RNG.normal(size=(n_rows, 3))
    y = X.sum(axis=1) + RNG.normal(size=n_rows)
    rule = _SupportVectorRegression(nn.Identity(), 3, C=C, ridge=1e-9, epsilon=0.2)
    K, beta = dual_of(rule, X, y[:, None])
    machine = SVR(kernel="precomputed", C=C, epsilon=0.2, tol=1e-9)
    assert (np.abs(beta) <= C + 1e-9).all()
    # scikit-learn's has a free bias, ours a penalised one: compare the optimality conditions.
    residual = y - K @ beta[0]
    inside = np.abs(beta[0]) < 1e-6
    free = ~inside & (np.abs(beta[0]) < C - 1e-6)
    assert (np.abs(residual[inside]) <= 0.2 + 1e-5).all()
    np.testing.assert_allclose(residual[free], 0.2 * np.sign(beta[0, free]), atol=1e-5)
    full = ~inside & ~free
    assert (residual[full] * np.sign(beta[0, full]) >= 0.2 - 1e-5).all()
    # Centred rows and targets need no bias, and then the two agree.
    X, y = X - X.mean(axis=0), y - y.mean()
    pairs = np.concatenate([X, -X]), np.concatenate([y, -y])
    K, beta = dual_of(rule, *[part if part.ndim > 1 else part[:, None] for part in pairs])
    machine.fit(pairs[0] @ pairs[0].T, pairs[1])
    np.testing.assert_allclose(
        pairs[0] @ (pairs[0].T @ beta[0]), machine.predict(pairs[0] @ pairs[0].T), atol=1e-4
    )


@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_dual_variables_of_a_regression_scale_with_its_targets(scale):
    X = RNG.normal(size=(15, 3))
    y = X.sum(axis=1, keepdims=True) + RNG.normal(size=(15, 1))
    one = _SupportVectorRegression(nn.Identity(), 3, C=0.5, ridge=1.0, epsilon=0.2)
    other = _SupportVectorRegression(
        nn.Identity(), 3, C=scale * 0.5, ridge=1.0, epsilon=scale * 0.2
    )
    beta = dual_of(one, X, y)[1]
    assert (np.abs(beta) > 1e-3).any()
    assert (np.abs(beta) < 1e-6).any()
    np.testing.assert_allclose(dual_of(other, X, scale * y)[1], scale * beta, atol=scale * 1e-7)


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_dual_variables_scale_against_the_kernel(scale):
    """With K → s²K they are those of C → s²C, over s²: scores do not change."""
    labels = np.arange(12) % 3
    X = RNG.normal(size=(12, 4)) + labels[:, None]
    F = torch.tensor(np.column_stack([X, np.ones(12)]))
    K = F @ F.mT + torch.eye(12)
    mask = torch.ones(1, 1, 12, dtype=torch.float64)
    for make, y in (
        (lambda C: _MulticlassSVM(nn.Identity(), 4, 3, C=C, ridge=1.0), np.eye(3)[labels]),
        (
            lambda C: _SupportVectorRegression(nn.Identity(), 4, C=C, ridge=1.0, epsilon=0.1),
            X.sum(axis=1, keepdims=True),
        ),
    ):
        target = torch.tensor(y.T.copy())[None]
        one = make(0.5)._dual(K[None], target, mask, 1e-12)
        other = make(0.5 / scale**2)._dual(scale**2 * K[None], target, mask, 1e-12)
        torch.testing.assert_close(scale**2 * other, one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("units", [1e-3, 50.0])
def test_units_of_targets_do_not_matter(units):
    tasks = skmeta.make_linear_tasks(12, 10, 3, random_state=0)
    model = SVMHeadRegressor(hidden_layer_sizes=(6,), max_iter=0, random_state=0)
    one, other = (
        model.fit(tasks.data, scale * tasks.target, groups=tasks.groups)
        .adapt(tasks.data[:6], scale * tasks.target[:6])
        .predict(tasks.data)
        for scale in (1.0, units)
    )
    np.testing.assert_allclose(other / units, one, rtol=1e-5, atol=1e-7)


def test_support_vector_regression_resists_outliers():
    errors = {}
    for seed in range(3):
        tasks = skmeta.make_linear_tasks(30, 20, 3, noise=0.1, random_state=seed)
        y = tasks.target.copy()
        rng = np.random.default_rng(seed)
        wild = rng.random(len(y)) < 0.1
        y[wild] += 20 * rng.choice([-1, 1], wild.sum())
        for name, model in {
            "svm": SVMHeadRegressor(module=nn.Identity, max_iter=0, C=1.0, epsilon=0.01),
            "ridge": skmeta.RidgeHeadRegressor(module=nn.Identity, max_iter=0, alpha=0.01),
        }.items():
            model.fit(tasks.data, y, groups=tasks.groups)
            error = model.predict(tasks.data, groups=tasks.groups) - tasks.target
            errors.setdefault(name, []).append(np.mean(error**2))
    assert np.mean(errors["svm"]) < 0.5 * np.mean(errors["ridge"])


def test_any_number_of_classes_at_use():
    tasks = skmeta.make_classification_tasks(
        40, 24, 12, shared_labels=False, n_classes=12, n_ways=4, random_state=0
    )
    model = SVMHeadClassifier(n_way=3, n_shots=2, max_iter=60, random_state=0)
    model.fit(tasks.data, tasks.target)
    for n_ways in (2, 5, 12):
        classes = np.unique(tasks.target)[:n_ways]
        rows = np.concatenate([np.flatnonzero(tasks.target == label)[:8] for label in classes])
        new = model.adapt(tasks.data[rows], tasks.target[rows])
        assert new.predict_proba(tasks.data[rows]).shape[1] == n_ways
        error = 1 - new.score(tasks.data[rows], tasks.target[rows])
        assert error < 0.7 * (1 - 1 / n_ways)  # of what guessing gives


@pytest.mark.parametrize("wrong", [{"C": 0.0}, {"epsilon": -0.1}])
def test_wrong_parameters_are_named(wrong):
    tasks = skmeta.make_linear_tasks(5, 8, 2, random_state=0)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SVMHeadRegressor(**wrong).fit(tasks.data, tasks.target, groups=tasks.groups)
