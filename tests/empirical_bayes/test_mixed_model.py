"""The Gaussian mixed model against dense formulas, one task at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from skmeta.empirical_bayes._mixed_model import Prior, em_step, fit_prior, starting_prior
from skmeta.empirical_bayes._posterior import posterior
from skmeta.empirical_bayes._statistics import Moments, Rows, summarise
from skmeta.tasks import TaskTable

SIZES = np.array([1, 2, 2, 3, 5, 8, 13])


class Problem:
    """Rows of ragged tasks with a design of four columns, the first three of which vary."""

    def __init__(self, seed=0, sizes=SIZES, d=4, q=3):
        random = np.random.default_rng(seed)
        n = sizes.sum()
        self.q, self.table = q, TaskTable.from_labels(np.repeat(np.arange(len(sizes)), sizes))
        self.F = np.column_stack([np.ones(n), random.normal(size=(n, d - 1))])
        root = random.normal(size=(q, q))
        self.prior = Prior(random.normal(size=d), root @ root.T, 0.3)
        effects = random.normal(size=(len(sizes), q)) @ root.T
        self.y = self.F @ self.prior.mean
        self.y += (self.F[:, :q] * np.repeat(effects, sizes, axis=0)).sum(axis=1)
        self.y += np.sqrt(0.3) * random.normal(size=n)
        self.weight = random.uniform(0.5, 2, size=n)

    def summary(self, kind=Moments):
        return kind.of(self.F, self.y, self.weight, self.table, self.q)

    def tasks(self):
        """Yield the design, the targets and the noise covariance of each task."""
        for task in range(self.table.n_tasks):
            rows = slice(self.table.offsets[task], self.table.offsets[task + 1])
            yield self.F[rows], self.y[rows], np.diag(1 / self.weight[rows])

    def marginal(self, prior):
        """Return the dense log-likelihood."""
        total = 0.0
        for F, y, A in self.tasks():
            Z = F[:, : self.q]
            spread = Z @ prior.covariance @ Z.T + prior.noise * A
            total += multivariate_normal(F @ prior.mean, spread).logpdf(y)
        return total


both = pytest.mark.parametrize("space", [Moments, Rows])


def _covariances(q):
    random = np.random.default_rng(1)
    root = random.normal(size=(q, q))
    return {
        "full": root @ root.T,
        "diagonal": np.diag(random.uniform(0.1, 2, q)),
        "singular": np.outer(root[0], root[0]),
        "zero": np.zeros((q, q)),
    }


@pytest.mark.parametrize("kind", ["full", "diagonal", "singular", "zero"])
def test_posterior_equals_the_dense_formulas(kind):
    problem = Problem()
    omega, noise = _covariances(3)[kind], 0.3
    moments = problem.summary()
    residual = moments.zy - moments.zf @ problem.prior.mean
    effects = posterior(moments.zz, residual, omega, noise)
    for task, (F, y, A) in enumerate(problem.tasks()):
        Z = F[:, :3]
        gain = omega @ Z.T @ np.linalg.inv(Z @ omega @ Z.T + noise * A)  # BLUP
        mean = gain @ (y - F @ problem.prior.mean)
        assert_allclose(effects.mean[task], mean, rtol=1e-10, atol=1e-12)
        assert_allclose(effects.covariance[task], omega - gain @ Z @ omega, atol=1e-10)
        precise = np.linalg.slogdet(np.eye(3) + omega @ Z.T @ np.linalg.inv(A) @ Z / noise)
        assert_allclose(effects.log_det[task], precise[1], atol=1e-10)


def test_moments_equal_sums_over_rows():
    problem = Problem()
    moments = problem.summary()
    for task, (F, y, A) in enumerate(problem.tasks()):
        weighted = F[:, :3].T @ np.linalg.inv(A)
        assert_allclose(moments.zf[task], weighted @ F, rtol=1e-12)
        assert_allclose(moments.zy[task], weighted @ y, rtol=1e-12)
    assert_allclose(moments.yy, problem.weight @ problem.y**2)
    assert_allclose(moments.n, problem.weight.sum())


@both
@pytest.mark.parametrize("kind", ["full", "diagonal", "singular", "zero"])
def test_log_likelihood_equals_the_dense_one(kind, space):
    problem = Problem()
    problem.weight[:] = 1.0
    before = Prior(np.zeros(4), _covariances(3)[kind], 0.7)
    after, value, _ = em_step(problem.summary(space), before, diagonal=False)
    assert_allclose(value, problem.marginal(Prior(after.mean, before.covariance, 0.7)), rtol=1e-10)
    # β is maximised exactly: no other one has a larger likelihood
    for step in 1e-3 * np.random.default_rng(2).normal(size=(10, 4)):
        assert problem.marginal(Prior(after.mean + step, before.covariance, 0.7)) < value


@both
def test_em_step_equals_the_textbook(space):
    problem = Problem(q=3)
    problem.weight[:] = 1.0
    before = problem.prior
    after, _, means = em_step(problem.summary(space), before, diagonal=False)
    spread, squares = np.zeros((3, 3)), 0.0
    for task, (F, y, _) in enumerate(problem.tasks()):
        Z = F[:, :3]
        S = np.linalg.inv(np.linalg.inv(before.covariance) + Z.T @ Z / before.noise)
        m = S @ Z.T @ (y - F @ after.mean) / before.noise
        assert_allclose(means[task], m, rtol=1e-9)
        spread += S + np.outer(m, m)
        squares += ((y - F @ after.mean - Z @ m) ** 2).sum() + np.trace(Z @ S @ Z.T)
    assert_allclose(after.covariance, spread / len(SIZES), rtol=1e-9)
    assert_allclose(after.noise, squares / SIZES.sum(), rtol=1e-9)
    diagonal = em_step(problem.summary(space), before, diagonal=True)[0]
    assert_allclose(diagonal.covariance, np.diag(np.diag(spread)) / len(SIZES), rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_rows", "q"), [(1, 3), (2, 3), (4, 3), (2, 0)])
def test_both_spaces_agree_over_many_steps(n_rows, q, weighted):
    """Also with weights, and with tasks of fewer and of more rows than effects."""
    problem = Problem(sizes=np.tile([n_rows, max(n_rows - 1, 1)], 10), q=q)
    problem.weight[:] = np.where(weighted, problem.weight, 1.0)
    one, other = problem.summary(Moments), problem.summary(Rows)
    prior = starting_prior(one, q=q, shrink=True, varying=q > 0)
    assert_allclose(starting_prior(other, q=q, shrink=True, varying=q > 0).noise, prior.noise)
    for _ in range(20):
        after, value, effects = em_step(one, prior, diagonal=False)
        again, same, others = em_step(other, prior, diagonal=False)
        assert_allclose(same, value, rtol=1e-9)
        assert_allclose(others, effects, rtol=1e-7, atol=1e-9)
        for name in ("mean", "covariance", "noise", "shrinkage"):
            assert_allclose(getattr(again, name), getattr(after, name), rtol=1e-7, atol=1e-9)
        prior = after


def test_the_smaller_space_is_taken():
    few, many = Problem(sizes=np.array([1, 2, 2])), Problem(sizes=np.array([1, 2, 3]))
    for problem, kind in ((few, Rows), (many, Moments)):
        made = summarise(problem.F, problem.y, problem.weight, problem.table, problem.q)
        assert isinstance(made, kind)


@both
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize(("q", "diagonal"), [(4, False), (4, True), (1, False)])
def test_the_likelihood_never_decreases(seed, shrink, q, diagonal, space):
    problem = Problem(seed=seed, sizes=np.tile(SIZES, 4), q=q)
    summary = problem.summary(space)
    start = starting_prior(summary, q=q, shrink=shrink, varying=True)
    prior, history = fit_prior(summary, start, diagonal=diagonal, max_iter=60, tol=0.0)
    if not shrink:  # otherwise the variance of β's prior changes what is maximised
        assert (np.diff(history) > -1e-8 * np.abs(history[-1])).all()
    assert history[-1] > history[0]
    assert len(history) <= 60
    assert np.linalg.eigvalsh(prior.covariance).min() >= 0
    assert prior.noise > 0


def test_em_stops_when_nothing_is_gained():
    moments = Problem().summary()
    start = starting_prior(moments, q=3, shrink=False, varying=True)
    _, history = fit_prior(moments, start, diagonal=False, max_iter=5000, tol=1e-4)
    gains = np.diff(history)
    assert (gains[:-1] >= 1e-4 * moments.n).all()
    assert gains[-1] < 1e-4 * moments.n


def test_weights_count_rows():
    problem = Problem()
    problem.weight = np.random.default_rng(3).integers(1, 4, size=len(problem.y)).astype(float)
    weighted = problem.summary()
    repeat = problem.weight.astype(int)
    labels = np.repeat(np.repeat(np.arange(len(SIZES)), SIZES), repeat)
    F, y = np.repeat(problem.F, repeat, axis=0), np.repeat(problem.y, repeat)
    repeated = Moments.of(F, y, np.ones(len(y)), TaskTable.from_labels(labels), 3)
    for name in ("zf", "zy", "ff", "fy", "yy", "n"):
        assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-12)


@both
def test_one_task_has_no_effects(space):
    problem = Problem(sizes=np.array([20]))
    summary = problem.summary(space)
    start = starting_prior(summary, q=3, shrink=False, varying=False)
    prior, _ = fit_prior(summary, start, diagonal=False, max_iter=50, tol=1e-9)
    assert_array_equal(prior.covariance, 0)
    root = np.sqrt(problem.weight)
    beta = np.linalg.lstsq(problem.F * root[:, None], problem.y * root, rcond=None)[0]
    assert_allclose(prior.mean, beta, rtol=1e-8)


@both
def test_nothing_to_explain(space):
    problem = Problem()
    problem.y[:] = 0.0
    summary = problem.summary(space)
    start = starting_prior(summary, q=3, shrink=True, varying=True)
    prior, _ = fit_prior(summary, start, diagonal=False, max_iter=50, tol=1e-6)
    assert_array_equal(prior.mean, 0)
    assert prior.noise < 1e-50
    assert np.abs(prior.covariance).max() < 1e-50
