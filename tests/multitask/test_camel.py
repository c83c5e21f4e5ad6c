"""Models that are affine in the parameters of the task (CAMEL)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _episodes import assert_close, loop_gradient, meta_gradient, ragged
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from torch import nn

import skmeta
from skmeta import CAMELRegressor
from skmeta.inner import JointHeads
from skmeta.multitask._camel import _AffineInTask

SHORT = {"n_parameters": 3, "max_iter": 40, "hidden_layer_sizes": (8,), "random_state": 0}
N_TASKS = 30


def physics(P, seed, n_rows=30, n_targets=1):
    """Return rows of systems with quantities P, which enter linearly beside a common term."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(len(P)), n_rows)
    X = rng.uniform(-1, 1, size=(len(task), 2))
    a, b = X.T
    V = np.stack([np.sin(3 * a), a * b], axis=1)
    if n_targets == 2:
        V = np.stack([V, np.stack([b**2, np.cos(2 * a)], axis=1)], axis=1)
        c = np.stack([a**2 - b, a], axis=1)
        return X, c + np.einsum("nor,nr->no", V, P[task]), task
    return X, X[:, 0] ** 2 - X[:, 1] + (V * P[task]).sum(axis=1), task


def quantities(seed, n_tasks=N_TASKS):
    return np.random.default_rng(seed).normal(size=(n_tasks, 2)) * [1.0, 2.0] + [3.0, -1.0]


def trained(n_parameters, n_targets=1, seed=0, **more):
    P = quantities(seed)
    X, y, task = physics(P, seed + 1, n_targets=n_targets)
    model = CAMELRegressor(
        n_parameters=n_parameters, max_iter=1500, hidden_layer_sizes=(32, 32), alpha=1e-3,
        n_queries=None, meta_batch_size=N_TASKS, random_state=seed, **more,
    )  # fmt: skip
    return model.fit(X, y, groups=task), P


@pytest.fixture(scope="module")
def model():
    return trained(2)


@pytest.fixture(scope="module")
def linear():
    tasks = skmeta.make_linear_tasks(20, (3, 12), 3, noise=0.5, random_state=0)
    fitted = CAMELRegressor(**SHORT).fit(tasks.data, tasks.target, groups=tasks.groups)
    return fitted, tasks


def new_tasks(fitted, n_shots, n_targets=1):
    P = quantities(7, 20)
    X, y, task = physics(P, 8, n_targets=n_targets)
    support = np.arange(len(X)) % 30 < n_shots
    adapted = fitted.adapt(X[support], y[support], groups=task[support])
    predicted = adapted.predict(X[~support], groups=task[~support])
    return adapted, P, r2_score(y[~support], predicted)


def test_bilinear_data_identify_the_parameters_up_to_an_affine_map(model):
    fitted, P = model
    P = P[fitted.tasks_]
    W = fitted.task_parameters_
    angles = subspace_angles(W - W.mean(axis=0), P - P.mean(axis=0))
    assert np.degrees(angles.max()) < 5
    assert LinearRegression().fit(W, P).score(W, P) > 0.99
    adapted, true, score = new_tasks(fitted, 5)
    assert score > 0.998
    new = fitted.calibrate(P).adapt(*_rows_of(true, 5))
    assert r2_score(true[new.tasks_], new.physical_parameters_) > 0.97
    assert len(adapted.task_parameters_) == 20


def _rows_of(P, n_shots):
    X, y, task = physics(P, 8)
    support = np.arange(len(X)) % 30 < n_shots
    return X[support], y[support], task[support]


def test_more_parameters_than_quantities_do_no_harm_and_fewer_fail(model):
    """Of three parameters any map may make the two quantities, of one there is none."""
    exact = 1 - new_tasks(model[0], 8)[2]
    more, P = trained(3)
    assert 1 - new_tasks(more, 8)[2] < 0.01
    assert r2_score(P[more.tasks_], more.calibrate(P[more.tasks_]).physical_parameters_) > 0.99
    fewer, P = trained(1)
    assert 1 - new_tasks(fewer, 8)[2] > max(0.03, 20 * exact)
    assert r2_score(P[fewer.tasks_], fewer.calibrate(P[fewer.tasks_]).physical_parameters_) < 0.8


def test_several_targets_share_the_parameters():
    fitted, _ = trained(2, n_targets=2)
    assert fitted.task_parameters_.shape == (N_TASKS, 2)
    assert fitted.transform(np.zeros((3, 2))).shape == (3, 4)
    adapted, true, score = new_tasks(fitted, 3, n_targets=2)  # 6 numbers for 2 parameters
    assert score > 0.99
    W = adapted.task_parameters_
    truth = true[adapted.tasks_]
    assert LinearRegression().fit(W, truth).score(W, truth) > 0.99


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("offset", [True, False])
def test_adaptation_is_a_ridge_regression_on_what_the_network_says(offset, n_targets):
    """On ragged tasks, against scikit-learn; the rows of all targets are stacked."""
    rng = np.random.default_rng(0)
    tasks = skmeta.make_linear_tasks(15, (1, 9), 3, noise=0.5, random_state=0)
    y = np.squeeze(tasks.target[:, None] * rng.normal(size=n_targets))
    model = CAMELRegressor(offset=offset, alpha=0.3, normalize_y=False, **SHORT)
    model.fit(tasks.data, y, groups=tasks.groups)
    c, V = model.net_.module_.terms(torch.tensor(tasks.data))
    c, V = c.detach().numpy(), V.detach().numpy()
    np.testing.assert_allclose(V.reshape(len(V), -1), model.transform(tasks.data))
    predicted = model.predict(tasks.data, groups=tasks.groups).reshape(len(V), -1)
    for task, w in zip(model.tasks_, model.task_parameters_, strict=True):
        rows = tasks.groups == task
        ridge = Ridge(0.3, fit_intercept=False).fit(
            V[rows].reshape(-1, 3), (y.reshape(len(V), -1) - c)[rows].ravel()
        )
        np.testing.assert_allclose(w, ridge.coef_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(predicted[rows], c[rows] + V[rows] @ w, rtol=1e-6, atol=1e-8)


def affine(**params):
    torch.manual_seed(0)
    given = {"n_parameters": 4, "offset": False, "penalty": 0.0, "alpha": 0.1, **params}
    n_outputs = 2 * (given["n_parameters"] + given["offset"])
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, n_outputs))
    return _AffineInTask(network, 3, 2, 4, **given).double()


@pytest.mark.parametrize("offset", [True, False])
def test_the_joint_loss_and_its_gradient_are_those_of_a_loop(offset):
    rule, numbers = affine(offset=offset, penalty=0.2), iter(range(4))

    def one_task(_, query):
        X, y = query
        outputs = rule.network(X).view(len(X), 2, -1)
        w = rule.W[next(numbers)]
        predicted = outputs[..., 1:] @ w + outputs[..., 0] if offset else outputs @ w
        norm = rule.W.square().sum().sqrt()
        return (predicted - y).square().mean() + 0.2 * norm / 4

    episode = ragged()
    assert_close(meta_gradient(rule, episode), loop_gradient(rule, episode, one_task))


def test_without_a_common_term_it_is_training_with_a_head_for_each_task():
    """One target: the heads of multi-task training are the parameters, without intercepts."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))
    rule = _AffineInTask(
        body, 3, 1, 4, n_parameters=4, offset=False, penalty=0.0, alpha=0.1
    ).double()
    joint = JointHeads(body, 3, 4, 1).double()
    with torch.no_grad():
        joint.heads[:, 1:, 0] = rule.W
    episode = ragged(n_outputs=1)
    loss, slope = meta_gradient(rule, episode)
    other, other_slope = meta_gradient(joint, episode)
    torch.testing.assert_close(loss, other)
    heads = other_slope[: joint.heads.numel()].view_as(joint.heads)[:, 1:, 0]
    torch.testing.assert_close(slope[: rule.W.numel()].view_as(rule.W), heads)
    torch.testing.assert_close(slope[rule.W.numel() :], other_slope[joint.heads.numel() :])


def test_taking_the_mean_into_the_common_term_changes_no_prediction():
    rule, episode = affine(offset=True), ragged()
    before = rule(episode)
    rule.center()
    torch.testing.assert_close(rule(episode), before)
    torch.testing.assert_close(rule.W.mean(dim=0), torch.zeros(4, dtype=torch.float64))


def test_a_task_without_rows_is_the_average_task(linear):
    fitted, tasks = linear
    module = fitted.net_.module_
    X = torch.tensor(tasks.data[:5])
    outputs = module.network(X).detach()
    mean = (outputs[:, 0] + outputs[:, 1:] @ module.mean).numpy()
    with pytest.warns(skmeta.UnseenTaskWarning):
        prior = fitted.predict(tasks.data[:5], groups=np.full(5, -1))
    np.testing.assert_allclose(prior, fitted._decode(mean[:, None])[:, 0])


def test_a_penalty_makes_the_parameters_small(linear):
    fitted, tasks = linear
    small = clone(fitted).set_params(penalty=10.0, max_iter=300, lr=2e-2)
    free = clone(fitted).set_params(max_iter=300, lr=2e-2)
    norms = [
        m.fit(tasks.data, tasks.target, groups=tasks.groups).net_.module_.W.norm().item()
        for m in (small, free)
    ]
    assert norms[0] < 0.1 * norms[1]


@pytest.mark.parametrize("by_row", [True, False])
def test_taking_rows_in_one_after_another_is_taking_them_at_once(linear, by_row):
    fitted, tasks = linear
    order = np.random.default_rng(0).permutation(len(tasks.data))
    X, y, groups = tasks.data[order], tasks.target[order], tasks.groups[order]
    online = fitted.adapt(X[:2], y[:2], groups=groups[:2])
    steps = [slice(i, i + 1) for i in range(2, 40)] if by_row else [slice(2, 9), slice(9, 40)]
    for rows in steps:
        online = online.partial_adapt(X[rows], y[rows], groups=groups[rows])
    at_once = fitted.adapt(X[:40], y[:40], groups=groups[:40])
    assert sorted(online.tasks_) == sorted(at_once.tasks_)
    np.testing.assert_allclose(
        online.predict(X[:40], groups=groups[:40]),
        at_once.predict(X[:40], groups=groups[:40]),
        rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    where = [online.tasks_.tolist().index(task) for task in at_once.tasks_]
    np.testing.assert_allclose(
        online.task_parameters_[where], at_once.task_parameters_, rtol=1e-6, atol=1e-9
    )


def test_it_is_recursive_least_squares(linear):
    """Each row: ``K = P v / (1 + v'P v)``, ``w += K (y - c - v'w)``, ``P -= K v'P``."""
    fitted, tasks = linear
    c, V = fitted.net_.module_.terms(torch.tensor(tasks.data))
    c, V = c.detach().numpy(), V.detach().numpy()[:, 0]
    y = (tasks.target - fitted._y_center) / fitted._y_scale - c[:, 0]
    P, w = np.eye(3) / fitted.alpha, np.zeros(3)
    online = fitted.adapt(tasks.data[:1], tasks.target[:1])
    for row in range(12):
        v = V[row]
        K = P @ v / (1 + v @ P @ v)
        w, P = w + K * (y[row] - v @ w), P - np.outer(K, v @ P)
        if row:
            online = online.partial_adapt(tasks.data[[row]], tasks.target[[row]])
        np.testing.assert_allclose(online.task_parameters_[0], w, rtol=1e-6, atol=1e-9)


def test_further_rows_change_their_tasks_alone_and_leave_the_estimator_as_it_was(linear):
    fitted, tasks = linear
    X, y, groups = tasks.data, tasks.target, tasks.groups
    before = fitted.predict(X, groups=groups)
    more = fitted.partial_adapt(X[:1], y[:1] + 9, groups=groups[:1])
    np.testing.assert_array_equal(fitted.predict(X, groups=groups), before)
    after = more.predict(X, groups=groups)
    mine = groups == groups[0]
    np.testing.assert_allclose(after[~mine], before[~mine], rtol=1e-6)
    assert not np.allclose(after[mine], before[mine])
    np.testing.assert_array_equal(more.tasks_, fitted.tasks_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(more)).predict(X, groups), after)
    with pytest.warns(skmeta.UnseenTaskWarning):
        unseen = more.predict(X[:3], groups=[-1] * 3)
    with pytest.warns(skmeta.UnseenTaskWarning):
        np.testing.assert_allclose(unseen, fitted.predict(X[:3], groups=[-1] * 3))
    with pytest.raises(ValueError, match="pass groups"):
        fitted.partial_adapt(X[:1], y[:1])


def test_further_rows_with_a_task_column_and_of_a_task_without_a_name(linear):
    fitted, tasks = linear
    rows = np.column_stack([tasks.groups, tasks.data])
    column = clone(fitted).set_params(task_column=0).fit(rows, tasks.target)
    found = column.adapt(rows[:4], tasks.target[:4]).partial_adapt(rows[4:30], tasks.target[4:30])
    expected = column.adapt(rows[:30], tasks.target[:30])
    np.testing.assert_allclose(found.predict(rows[:30]), expected.predict(rows[:30]), rtol=1e-8)
    one = fitted.adapt(tasks.data[:4], tasks.target[:4])
    one = one.partial_adapt(tasks.data[4:9], tasks.target[4:9])
    expected = fitted.adapt(tasks.data[:9], tasks.target[:9]).predict(tasks.data)
    np.testing.assert_allclose(one.predict(tasks.data), expected, rtol=1e-8)


def test_calibration_is_affine_least_squares(linear):
    fitted, tasks = linear
    P = np.random.default_rng(0).normal(size=(20, 2))
    calibrated = fitted.calibrate(P)
    W = fitted.task_parameters_
    expected = LinearRegression().fit(W, P)
    np.testing.assert_allclose(calibrated.calibration_[0], expected.intercept_)
    np.testing.assert_allclose(calibrated.calibration_[1:], expected.coef_.T)
    np.testing.assert_allclose(calibrated.physical_parameters_, expected.predict(W))
    new = pickle.loads(pickle.dumps(calibrated.adapt(tasks.data[:4], tasks.target[:4])))
    np.testing.assert_allclose(new.physical_parameters_, expected.predict(new.task_parameters_))
    assert new.physical_parameters_.shape == (1, 2)


def test_calibration_is_of_the_fit_that_it_follows(linear):
    fitted, tasks = linear
    for other in (fitted, clone(fitted.calibrate(np.arange(20.0)))):
        assert not hasattr(other, "calibration_")
    calibrated = fitted.calibrate(np.arange(20.0))
    calibrated.fit(tasks.data, tasks.target, groups=tasks.groups)
    with pytest.raises(AttributeError, match="calibrate"):
        _ = calibrated.physical_parameters_
    for wrong in (np.arange(19.0), np.zeros((1, 20)), np.full(20, np.nan)):
        with pytest.raises(ValueError, match="parameters"):
            fitted.calibrate(wrong)


def test_the_order_of_tasks_does_not_matter(linear):
    fitted, tasks = linear
    names = np.random.default_rng(1).permutation(20)
    order = np.argsort(names[tasks.groups], kind="stable")
    other = clone(fitted).fit(
        tasks.data[order], tasks.target[order], groups=names[tasks.groups][order]
    )
    np.testing.assert_array_equal(other.tasks_, names[fitted.tasks_])
    np.testing.assert_array_equal(other.task_parameters_, fitted.task_parameters_)


@pytest.mark.parametrize("wrong", [{"n_parameters": 0}, {"penalty": -1.0}, {"alpha": 0.0}])
def test_wrong_parameters_are_named(linear, wrong):
    _, tasks = linear
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CAMELRegressor(**wrong).fit(tasks.data, tasks.target, groups=tasks.groups)


def test_a_module_of_another_width_is_named(linear):
    _, tasks = linear
    model = CAMELRegressor(module=nn.Linear(3, 4), n_parameters=2)
    with pytest.raises(ValueError, match=r"4 outputs.* are 3"):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
