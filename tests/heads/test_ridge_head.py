"""The ridge head as an estimator; the solve is tested in tests/inner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from torch import nn

import skmeta
from skmeta import RidgeHeadClassifier, RidgeHeadRegressor


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(60, 15, 3, noise=0.3, random_state=0)


@pytest.mark.parametrize("n_shots", [2, 9])
def test_a_fixed_head_on_given_features_is_scikit_learns_ridge(tasks, n_shots):
    """The penalty counts for each row, and the column of ones is penalised too."""
    model = RidgeHeadRegressor(
        module=nn.Identity, alpha=0.4, learn_alpha=False, normalize_y=False, max_iter=0
    ).fit(tasks.data, tasks.target, groups=tasks.groups)
    X, y = tasks.data[:n_shots], tasks.target[:n_shots]
    ridge = Ridge(alpha=0.4 * n_shots, fit_intercept=False)
    ridge.fit(np.column_stack([X, np.ones(n_shots)]), y)
    expected = ridge.predict(np.column_stack([tasks.data, np.ones(len(tasks.data))]))
    np.testing.assert_allclose(model.adapt(X, y).predict(tasks.data), expected, rtol=1e-6)
    assert model.alpha_ == pytest.approx(0.4)


@pytest.mark.parametrize("n_shots", [2, 15])
def test_its_dual_is_scikit_learns_kernel_ridge(tasks, n_shots):
    """A head is made of the dual variables of the linear kernel on learned features."""
    model = RidgeHeadRegressor(
        hidden_layer_sizes=(6,), normalize_y=False, max_iter=5, random_state=0
    ).fit(tasks.data, tasks.target, groups=tasks.groups)
    X, y = tasks.data[:n_shots], tasks.target[:n_shots]
    F = np.column_stack([model.transform(X), np.ones(n_shots)])
    kernel = KernelRidge(alpha=model.alpha_ * n_shots, kernel="linear").fit(F, y)
    rows = (torch.as_tensor(part)[None] for part in (X, y[:, None], np.ones(n_shots)))
    with torch.no_grad():
        head = model.net_.module_.adapt(*rows)["head"][0, :, 0]
    np.testing.assert_allclose(head, F.T @ kernel.dual_coef_, rtol=1e-7, atol=1e-9)
    rest = np.column_stack([model.transform(tasks.data), np.ones(len(tasks.data))])
    found = model.adapt(X, y).predict(tasks.data)
    np.testing.assert_allclose(found, kernel.predict(rest), rtol=1e-7, atol=1e-9)


def test_the_penalty_is_learned(tasks):
    noisy = skmeta.make_linear_tasks(60, 15, 3, noise=10.0, random_state=0)
    learned = []
    for data in (tasks, noisy):
        model = RidgeHeadRegressor(module=nn.Identity, max_iter=300, lr=0.03, random_state=0).fit(
            data.data, data.target, groups=data.groups
        )
        learned.append(model.alpha_)
    assert learned[0] < 0.1 < learned[1]


def test_a_task_without_rows_is_the_mean_of_training(tasks):
    model = RidgeHeadRegressor(max_iter=5, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    with pytest.warns(skmeta.UnseenTaskWarning):
        prior = model.predict(tasks.data[:4], groups=[-1, -1, -2, -2])
    np.testing.assert_allclose(prior, tasks.target.mean())


def test_any_number_of_classes_at_use():
    tasks = skmeta.make_classification_tasks(
        40, 24, 12, shared_labels=False, n_classes=12, n_ways=4, random_state=0
    )
    model = RidgeHeadClassifier(n_way=3, n_shots=2, max_iter=100, random_state=0)
    model.fit(tasks.data, tasks.target)
    for n_ways in (2, 5, 12):
        rows = np.isin(tasks.target, np.unique(tasks.target)[:n_ways])
        new = model.adapt(tasks.data[rows], tasks.target[rows])
        assert new.predict_proba(tasks.data[rows]).shape[1] == n_ways
        error = 1 - new.score(tasks.data[rows], tasks.target[rows])
        assert error < 0.7 * (1 - 1 / n_ways)  # of what guessing gives


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"n_shots": (3, 1)}, {"n_shots": "all"}])
def test_wrong_parameters_are_named(tasks, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RidgeHeadRegressor(**wrong).fit(tasks.data, tasks.target, groups=tasks.groups)
