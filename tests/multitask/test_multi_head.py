"""Multi-task training with head fitting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import nn

import skmeta
from skmeta import MultiHeadClassifier, MultiHeadRegressor

SHORT = {"max_iter": 50, "hidden_layer_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(30, 12, 3, noise=0.5, random_state=0)


@pytest.fixture(scope="module")
def classes():
    return skmeta.make_classification_tasks(30, 14, 3, random_state=0)


def test_a_frozen_identity_with_least_squares_heads_is_least_squares_per_task(tasks):
    model = MultiHeadRegressor(head=LinearRegression(), module=nn.Identity, max_iter=1)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    predicted = model.predict(tasks.data, groups=tasks.groups)
    for task in np.unique(tasks.groups):
        rows = tasks.groups == task
        own = LinearRegression().fit(tasks.data[rows], tasks.target[rows])
        np.testing.assert_allclose(predicted[rows], own.predict(tasks.data[rows]), rtol=1e-6)


@pytest.mark.parametrize("head", [Ridge(alpha=0.5), LinearRegression()])
def test_an_estimator_as_head_is_fitted_to_the_representation(tasks, head):
    model = MultiHeadRegressor(head=head, normalize_y=False, **SHORT)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    new = model.adapt(tasks.data[:9], tasks.target[:9])
    F = model.transform(tasks.data)
    expected = clone(head).fit(F[:9], tasks.target[:9]).predict(F[9:20])
    np.testing.assert_allclose(new.predict(tasks.data[9:20]), expected, rtol=1e-6)


@pytest.mark.parametrize("head", [None, LogisticRegression(C=0.5), LinearSVC()])
def test_a_classifier_as_head_sees_features_of_length_one(classes, head):
    model = MultiHeadClassifier(head=head, label_sets="shared", **SHORT)
    model.fit(classes.data, classes.target, groups=classes.groups)
    F = model.transform(classes.data)
    np.testing.assert_allclose(np.linalg.norm(F, axis=1), 1, rtol=1e-6)
    own = LogisticRegression(C=3, tol=1e-9, max_iter=1000) if head is None else clone(head)
    own.fit(F[:14], classes.target[:14])
    new = model.adapt(classes.data[:14], classes.target[:14])
    np.testing.assert_array_equal(new.predict(classes.data), own.predict(F))
    if hasattr(own, "predict_proba"):
        np.testing.assert_allclose(new.predict_proba(classes.data), own.predict_proba(F), rtol=1e-4)


def test_a_single_task_is_ordinary_training_of_the_network():
    tasks = skmeta.make_linear_tasks(1, 40, 3, noise=0.5, random_state=0)
    model = MultiHeadRegressor(n_queries=None, **{**SHORT, "max_iter": 30, "lr": 1e-2})
    start = clone(model).set_params(max_iter=0)
    start.fit(tasks.data, tasks.target, groups=tasks.groups)
    trained = model.fit(tasks.data, tasks.target, groups=tasks.groups).net_.module_
    network = nn.Sequential(start.net_.module_.body, nn.Linear(8, 1).double())
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    X = torch.as_tensor(tasks.data)
    y = torch.as_tensor((tasks.target - tasks.target.mean()) / tasks.target.std())[:, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(X), y).backward()
        optimizer.step()
    torch.testing.assert_close(trained.body.state_dict(), network[0].state_dict())
    bias, weight = trained.heads[0, :1, 0], trained.heads[0, 1:, 0]
    torch.testing.assert_close(bias, network[1].bias)
    torch.testing.assert_close(weight, network[1].weight[0])


def test_joint_training_descends_the_joint_loss(tasks):
    model = MultiHeadRegressor(**{**SHORT, "max_iter": 300, "lr": 1e-2})
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    losses = [row["train_loss"] for row in model.net_.history]
    assert losses[-1] < 0.3 * losses[0]


def test_a_linear_body_of_rank_r_finds_the_reduced_rank_regression():
    """Isotropic X, full heads: the optimum is the top-r SVD of the least-squares coefficients."""
    rng = np.random.default_rng(0)
    n_tasks, n_rows, d, rank = 12, 200, 6, 2
    W = rng.normal(size=(n_tasks, rank)) @ rng.normal(size=(rank, d))
    W += 0.3 * rng.normal(size=W.shape)
    X = rng.normal(size=(n_tasks, n_rows, d))
    X -= X.mean(axis=1, keepdims=True)
    X = np.stack([np.linalg.qr(x)[0] * np.sqrt(n_rows) for x in X])  # isotropic within each task
    y = np.einsum("tnd,td->tn", X, W)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    u, s, vt = np.linalg.svd(W, full_matrices=False)
    best = np.mean((np.einsum("tnd,td->tn", X, (u[:, :rank] * s[:rank]) @ vt[:rank]) - y) ** 2)
    model = MultiHeadRegressor(
        module=nn.Linear,
        net_params={"module__in_features": d, "module__out_features": rank, "module__bias": False},
        max_iter=1500,
        lr=2e-2,
        n_queries=None,
        normalize_y=False,
        random_state=0,
    )
    model.fit(X.reshape(-1, d), y.ravel(), groups=groups)
    loss = model.net_.history[-1]["train_loss"]
    assert best * 0.999 < loss < best * 1.02


def test_error_bars_cover_new_rows_of_new_tasks():
    """90 % intervals on data that the model describes, over several seeds."""
    covered = []
    for seed in range(3):
        tasks = skmeta.make_linear_tasks(300, 15, 2, noise=0.5, random_state=seed)
        X, y, groups = tasks.data, tasks.target, tasks.groups
        train = groups < 150
        known, asked = (
            ~train & (np.arange(len(X)) % 15 < 5),
            ~train & (np.arange(len(X)) % 15 > 4),
        )
        model = MultiHeadRegressor(**{**SHORT, "random_state": seed})
        adapted = model.fit(X[train], y[train], groups=groups[train]).adapt(
            X[known], y[known], groups=groups[known]
        )
        mean, std = adapted.predict(X[asked], groups=groups[asked], return_std=True)
        covered.append(np.mean(np.abs(mean - y[asked]) < 1.645 * std))
    assert 0.85 < np.mean(covered) < 0.95


def test_error_bars_shrink_with_rows_and_need_the_bayesian_head(tasks):
    model = MultiHeadRegressor(**SHORT).fit(tasks.data, tasks.target, groups=tasks.groups)
    stds = [
        model.adapt(tasks.data[:k], tasks.target[:k]).predict(tasks.data[:5], return_std=True)[1]
        for k in (1, 4, 12)
    ]
    assert (stds[0] > stds[1]).all()
    assert (stds[1] > stds[2]).all()
    plain = clone(model).set_params(head=Ridge()).fit(tasks.data, tasks.target)
    with pytest.raises(ValueError, match="return_std"):
        plain.predict(tasks.data, return_std=True)
    with pytest.raises(ValueError, match="head='ridge'"):
        clone(model).set_params(head="ridge").fit(tasks.data, tasks.target)


def test_a_task_of_one_class_is_predicted_by_the_pooled_head(classes):
    model = MultiHeadClassifier(label_sets="shared", **SHORT)
    model.fit(classes.data, classes.target, groups=classes.groups)
    one = np.flatnonzero(classes.target == classes.target[0])[:3]
    new = model.adapt(classes.data[one], classes.target[one])
    F = model.transform(classes.data)
    pooled = LogisticRegression(C=3, max_iter=1000).fit(F, classes.target)
    np.testing.assert_allclose(
        new.predict_proba(classes.data), pooled.predict_proba(F), rtol=1e-3, atol=1e-4
    )


def test_class_episodes_learn_one_row_for_each_class():
    tasks = skmeta.make_classification_tasks(
        60, 20, 10, shared_labels=False, n_classes=10, n_ways=4, random_state=0
    )
    model = MultiHeadClassifier(
        n_way=4, head=KNeighborsClassifier(1), **{**SHORT, "max_iter": 200, "lr": 1e-2}
    )
    model.fit(tasks.data, tasks.target)
    assert model.net_.module_.heads.shape == (10, 8)
    F = torch.tensor(model.transform(tasks.data))
    scores = (F @ model.net_.module_.heads.detach().T).numpy()
    assert np.mean(np.sort(np.unique(tasks.target))[scores.argmax(1)] == tasks.target) > 0.5
    few = np.isin(tasks.target, np.unique(tasks.target)[:3])
    new = model.adapt(tasks.data[few], tasks.target[few])
    expected = KNeighborsClassifier(1).fit(F[few], tasks.target[few]).predict(F[few])
    np.testing.assert_array_equal(new.predict(tasks.data[few]), expected)
    assert (expected == tasks.target[few]).mean() > 0.95
    np.testing.assert_array_equal(new.classes_, np.unique(tasks.target)[:3])


def test_the_scale_of_a_body_without_bias_does_not_matter_to_a_classifier(classes):
    model = MultiHeadClassifier(
        module=nn.Linear,
        net_params={"module__in_features": 3, "module__out_features": 4, "module__bias": False},
        max_iter=5,
        random_state=0,
    ).fit(classes.data, classes.target, groups=classes.groups)
    np.testing.assert_allclose(model.transform(5 * classes.data), model.transform(classes.data))
    np.testing.assert_allclose(
        normalize(model.transform(classes.data)), model.transform(classes.data)
    )


def test_the_length_of_features_is_kept_if_asked(classes):
    """In training and in use: what heads see is what the body returns."""
    given = {"module": nn.Identity, "max_iter": 1, "head": LogisticRegression()}
    X, y, groups = classes.data, classes.target, classes.groups
    for normalized, rows in ((True, normalize(X)), (False, X)):
        model = MultiHeadClassifier(normalize_features=normalized, **given).fit(X, y, groups=groups)
        assert model.net_.module_.unit_norm is normalized
        np.testing.assert_allclose(model.transform(X), rows)
        own = LogisticRegression().fit(rows[:14], y[:14])
        found = model.adapt(X[:14], y[:14]).predict_proba(X)
        np.testing.assert_allclose(found, own.predict_proba(rows), rtol=1e-6)


def test_targets_share_features_and_have_posteriors_of_their_own(tasks):
    """On given features, several targets are as many learners of one."""
    y = np.column_stack([tasks.target, tasks.target**2, -tasks.data[:, 0]])
    new = slice(0, 6)
    given = {"module": nn.Identity, "max_iter": 0, "random_state": 0}
    together = MultiHeadRegressor(**given).fit(tasks.data, y, groups=tasks.groups)
    mean, std = together.adapt(tasks.data[new], y[new]).predict(tasks.data, return_std=True)
    for target in range(3):
        alone = MultiHeadRegressor(**given).fit(tasks.data, y[:, target], groups=tasks.groups)
        alone = alone.adapt(tasks.data[new], y[new, target])
        own_mean, own_std = alone.predict(tasks.data, return_std=True)
        np.testing.assert_allclose(mean[:, target], own_mean, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(std[:, target], own_std, rtol=1e-6)
