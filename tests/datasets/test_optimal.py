import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge

from skmeta.datasets import bayes_linear_mse, bayes_linear_predict, make_linear_tasks


def _episodes(tasks, n_shots):
    """Split tasks of one size into support and query, one entry per task."""
    n_tasks = len(tasks.coef)
    X = tasks.data.reshape(n_tasks, -1, tasks.data.shape[1])
    y = tasks.target.reshape(n_tasks, -1)
    return X[:, :n_shots], y[:, :n_shots], X[:, n_shots:], y[:, n_shots:]


def _prior(tasks):
    return {name: tasks[name] for name in ("prior_mean", "prior_covariance", "noise")}


@pytest.mark.parametrize("n_shots", [0, 1, 5, 10])
def test_the_exact_posterior_attains_the_stated_error(n_shots):
    tasks = make_linear_tasks(4000, n_shots + 10, random_state=0)
    X_s, y_s, X_q, y_q = _episodes(tasks, n_shots)
    mse = np.mean((bayes_linear_predict(X_s, y_s, X_q, **_prior(tasks)) - y_q) ** 2)
    stated = bayes_linear_mse(
        n_shots, prior_covariance=tasks.prior_covariance, noise=tasks.noise, random_state=1
    )
    assert_allclose(mse, stated, rtol=0.04)


@pytest.mark.parametrize("wrong", [{"noise": 3.0}, {"prior_mean": np.zeros(6)}])
def test_a_wrong_prior_is_worse(wrong):
    tasks = make_linear_tasks(2000, 15, random_state=0)
    X_s, y_s, X_q, y_q = _episodes(tasks, 5)
    right, other = (
        np.mean((bayes_linear_predict(X_s, y_s, X_q, **prior) - y_q) ** 2)
        for prior in (_prior(tasks), _prior(tasks) | wrong)
    )
    assert right < other


def test_an_isotropic_prior_around_zero_is_ridge():
    rng = np.random.default_rng(0)
    X, y, X_new = rng.normal(size=(7, 3)), rng.normal(size=7), rng.normal(size=(4, 3))
    prior = {"prior_mean": np.zeros(4), "prior_covariance": 0.5 * np.eye(4), "noise": 0.8}
    ridge = Ridge(alpha=0.8**2 / 0.5, fit_intercept=False).fit(np.c_[np.ones(7), X], y)
    expected = ridge.predict(np.c_[np.ones(4), X_new])
    assert_allclose(bayes_linear_predict(X, y, X_new, **prior), expected)


def test_without_noise_enough_rows_tell_everything():
    tasks = make_linear_tasks(5, 12, noise=0, random_state=0)
    X_s, y_s, X_q, y_q = _episodes(tasks, 8)
    assert_allclose(bayes_linear_predict(X_s, y_s, X_q, **_prior(tasks)), y_q, atol=1e-6)


def test_more_support_never_hurts():
    errors = [
        bayes_linear_mse(k, prior_covariance=np.eye(4), noise=1, random_state=0)
        for k in (0, 1, 2, 5, 20, 200)
    ]
    assert np.all(np.diff(errors) < 0)
    assert errors[0] == 5
    assert 1 < errors[-1] < 1.05


@pytest.mark.parametrize("argument", [{"n_shots": -1}, {"n_shots": 1, "n_designs": 0}])
def test_bad_counts_are_named(argument):
    with pytest.raises(ValueError, match=r"n_(shots|designs) == "):
        bayes_linear_mse(**argument, prior_covariance=np.eye(2), noise=1)
