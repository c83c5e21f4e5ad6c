import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, Kernel, Matern

from skmeta import MultiTaskGaussianProcessRegressor
from skmeta.gaussian_process import _multi_task
from skmeta.gaussian_process._coregionalization import (
    Coregionalization,
    log_marginal_likelihood,
    log_prior,
    maximise_posterior,
)
from skmeta.gaussian_process._new_rows import posterior_mode
from skmeta.gaussian_process._process import ConditionedProcess

KERNEL = RBF(1.3)
NOISE = 0.05


class _Augmented(Kernel):
    """``B[t, t'] k(x, x')`` on rows whose last column is the task, for scikit-learn."""

    def __init__(self, B, kernel):
        self.B = B
        self.kernel = kernel

    def __call__(self, X, Y=None, eval_gradient=False):
        Y = X if Y is None else Y
        tasks = np.ix_(X[:, -1].astype(int), Y[:, -1].astype(int))
        return self.B[tasks] * self.kernel(X[:, :-1], Y[:, :-1])

    def diag(self, X):
        return self.B.diagonal()[X[:, -1].astype(int)] * self.kernel.diag(X[:, :-1])

    def is_stationary(self):
        return False


def _reference(kernel, X, y):
    """Return scikit-learn's regressor with fixed parameters."""
    return GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None).fit(X, y)


def _assert_same(found, reference, X):
    """Compare means and deviations; scikit-learn's are of functions, ours of observations."""
    mean, std = reference.predict(X, return_std=True)
    assert_allclose(found[0], mean, rtol=1e-6, atol=1e-8)
    assert_allclose(found[1], np.sqrt(std**2 + NOISE), rtol=1e-6)


def _rows(n_tasks=5, n_rows=8, seed=0):
    """Return rows of ragged tasks, with targets of no structure."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows + np.arange(n_tasks) % 3)
    return random.normal(size=(len(groups), 2)), random.normal(size=len(groups)), groups


def _parameters(n_tasks=5, rank=2, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=(n_tasks, rank)), random.gamma(2.0, 0.3, size=n_tasks)


def _stated(X, y, groups, loadings, own, kernel=KERNEL):
    """Return a model whose parameters are stated instead of learned."""
    model = MultiTaskGaussianProcessRegressor(kernel, max_iter=1).fit(X, y, groups=groups)
    model._y_mean, model._y_scale = np.zeros(1), np.ones(1)
    order, data = model.tasks_, model._support
    stated = Coregionalization(clone(kernel), loadings[order], own[order], NOISE)
    model._process = ConditionedProcess.given(stated, data.X, data.y, data.owners)
    return model


def _draw(seed, n_tasks=25, n_rows=12, n_new=40):
    """Draw tasks from the model, of which the last ones are new."""
    random = np.random.default_rng(seed)
    n_all = n_tasks + n_new
    groups = np.repeat(np.arange(n_all), n_rows)
    X = random.uniform(-3, 3, size=(len(groups), 1))
    loadings, own = random.normal(0.8, 0.5, size=n_all), random.gamma(4.0, 0.05, size=n_all)
    B = np.outer(loadings, loadings) + np.diag(own)
    C = B[np.ix_(groups, groups)] * RBF(1.0)(X) + NOISE * np.eye(len(X))
    y = 20 + 3 * random.multivariate_normal(np.zeros(len(X)), C)
    return X, y, groups, groups < n_tasks


# Gradients


@pytest.mark.parametrize("kernel", [RBF([0.7, 2.0]), Matern(1.5, nu=2.5) + DotProduct(0.5)])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_gradient_of_the_likelihood(kernel, rank, n_outputs):
    X, _, groups = _rows()
    y = np.random.default_rng(2).normal(size=(len(X), n_outputs))
    model = Coregionalization(kernel, *_parameters(rank=rank), 0.3)
    _, gradient = log_marginal_likelihood(model, X, y, groups)
    numeric = approx_fprime(
        model.vector, lambda v: log_marginal_likelihood(model.with_vector(v), X, y, groups)[0], 1e-6
    )
    assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


def test_the_gradient_of_the_prior():
    model = Coregionalization(KERNEL, *_parameters(), 0.3)
    numeric = approx_fprime(model.vector, lambda v: log_prior(model.with_vector(v))[0], 1e-7)
    assert_allclose(log_prior(model)[1], numeric, rtol=1e-5, atol=1e-5)


def _evidence(rank=2, n_outputs=1):
    """Return what ragged supports say of rows of B, and the process that they are given."""
    X, y, groups = _rows()
    y = np.column_stack([y, y[::-1]])[:, :n_outputs]
    model = Coregionalization(KERNEL, *_parameters(rank=rank), NOISE)
    process = ConditionedProcess.given(model, X, y, groups)
    random = np.random.default_rng(3)
    mask = np.arange(4) < np.array([[4], [1], [3]])
    support = random.normal(size=(3, 4, 2)), random.normal(size=(3, 4, n_outputs)), mask
    return process, support, process._evidence(*support)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_gradient_of_a_row_of_b(n_outputs):
    process, _, evidence = _evidence(n_outputs=n_outputs)
    z = np.random.default_rng(4).normal(size=(3, 3))
    gradient, information = evidence.derivatives(z, process.prior)
    for task in range(3):

        def density(row, task=task):
            return evidence.log_density(np.tile(row, (3, 1)), process.prior)[task]

        assert_allclose(gradient[task], approx_fprime(z[task], density, 1e-6), rtol=1e-4, atol=1e-4)
    assert (np.linalg.eigvalsh(information) > 0).all()


# Against scikit-learn


def _lml(X, y, groups, B):
    augmented = np.column_stack([X, groups])
    return _reference(_Augmented(B, KERNEL), augmented, y).log_marginal_likelihood_value_


def test_likelihood_and_posterior_are_those_of_the_augmented_kernel():
    X, y, groups = _rows()
    loadings, own = _parameters()
    B = loadings @ loadings.T + np.diag(own)
    model = Coregionalization(KERNEL, loadings, own, NOISE)
    value, _ = log_marginal_likelihood(model, X, y[:, None], groups)
    assert_allclose(value, _lml(X, y, groups, B), rtol=1e-8)
    fitted = _stated(X, y, groups, loadings, own)
    new = np.random.default_rng(5).normal(size=X.shape)
    reference = _reference(_Augmented(B, KERNEL), np.column_stack([X, groups]), y)
    found = fitted.predict(new, groups=groups, return_std=True)
    _assert_same(found, reference, np.column_stack([new, groups]))


def test_equal_tasks_are_one_pooled_process():
    X, y, groups = _rows()
    model = _stated(X, y, groups, np.ones((5, 1)), np.full(5, 1e-12))
    new = X + 0.3
    _assert_same(model.predict(new, groups=groups, return_std=True), _reference(KERNEL, X, y), new)


def test_a_diagonal_b_is_a_process_for_each_task():
    X, y, groups = _rows()
    own = np.array([0.5, 1.0, 2.0, 0.1, 3.0])
    model = _stated(X, y, groups, np.zeros((5, 1)), own)
    mean, std = model.predict(X + 0.3, groups=groups, return_std=True)
    for task in range(5):
        there = groups == task
        alone = _reference(own[task] * KERNEL, X[there], y[there])
        _assert_same((mean[there], std[there]), alone, X[there] + 0.3)


def test_adapted_tasks_are_given_all_rows_of_training_and_their_own():
    process, (X_s, y_s, mask), _ = _evidence()
    X, _, groups = _rows()
    y = process.half @ (process.half.T @ process.alpha[:, 0])
    loadings, own = _parameters(3, seed=6)
    cross = loadings @ process.model.loadings.T
    variance = np.square(loadings).sum(axis=1) + own
    tasks = process.adapt(cross, variance, X_s, y_s, mask)
    queries = np.random.default_rng(7).normal(size=(6, 2))
    local = np.array([2, 0, 1, 0, 2, 2])
    mean = process.mean(queries, local, tasks)[:, 0]
    std = np.sqrt(process.variance(queries, local, tasks))
    for task in range(3):
        B = np.block([[process.model.matrix, cross[[task]].T], [cross[[task]], variance[task]]])
        there = mask[task]
        rows = np.vstack([np.column_stack([X, groups]), _as_task_5(X_s[task][there])])
        reference = _reference(_Augmented(B, KERNEL), rows, np.append(y, y_s[task][there, 0]))
        mine = local == task
        _assert_same((mean[mine], std[mine]), reference, _as_task_5(queries[mine]))


def _as_task_5(X):
    return np.column_stack([X, np.full(len(X), 5)])


def test_the_evidence_of_a_support_is_what_it_adds_to_the_likelihood():
    process, (X_s, y_s, mask), evidence = _evidence()
    X, _, groups = _rows()
    y = process.half @ (process.half.T @ process.alpha[:, 0])
    before = _lml(X, y, groups, process.model.matrix)
    flat = np.zeros_like(process.prior.precision)
    prior = type(process.prior)(process.prior.mean, flat, process.prior.variance)
    for z in np.random.default_rng(8).normal(size=(3, 3)):
        cross = process.model.loadings @ z[:-1]
        B = np.block(
            [[process.model.matrix, cross[:, None]], [cross, z[:-1] @ z[:-1] + np.exp(z[-1])]]
        )
        density = evidence.log_density(np.tile(z, (3, 1)), prior)
        for task in range(3):
            there = mask[task]
            rows = np.vstack([np.column_stack([X, groups]), _as_task_5(X_s[task][there])])
            after = _lml(rows[:, :-1], np.append(y, y_s[task][there, 0]), rows[:, -1], B)
            constant = there.sum() * np.log(2 * np.pi) / 2
            assert_allclose(density[task] - constant, after - before, rtol=1e-6)


def test_rows_of_b_are_at_their_posterior_mode():
    process, _, evidence = _evidence()
    mode, _ = posterior_mode(evidence, process.prior)
    gradient, _ = evidence.derivatives(mode, process.prior)
    assert_allclose(gradient, 0, atol=1e-3)
    best = evidence.log_density(mode, process.prior)
    assert (best > evidence.log_density(np.tile(process.prior.mean, (3, 1)), process.prior)).all()
    for step in np.random.default_rng(9).normal(scale=0.1, size=(20, 3, 3)):
        assert (evidence.log_density(mode + step, process.prior) < best).all()


# What fit finds


def test_the_fit_climbs_from_its_start():
    X, y, groups, old = _draw(0)
    X, y, groups = X[old], (y[old, None] - 20) / 3, groups[old]
    start = Coregionalization(RBF(0.3), np.full((25, 1), 0.7), np.full(25, 0.3), 0.2)
    reached = [log_marginal_likelihood(start, X, y, groups)[0] + log_prior(start)[0]]
    for max_iter in (3, 30):
        model, likelihood, _ = maximise_posterior(start, X, y, groups, max_iter)
        assert_allclose(likelihood, log_marginal_likelihood(model, X, y, groups)[0])
        reached.append(likelihood + log_prior(model)[0])
    assert reached[0] + 1 < reached[1] < reached[2]


def test_tasks_that_mirror_one_another_are_found():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 8)
    X = random.uniform(-3, 3, size=(64, 1))
    sign = np.where(groups % 2, -1.0, 1.0)
    y = sign * np.sin(2 * X[:, 0]) + 0.1 * random.normal(size=64)
    model = MultiTaskGaussianProcessRegressor(RBF()).fit(X, y, groups=groups)
    parity = np.where(model.tasks_ % 2, -1, 1)
    B = model.coregionalization_[0]
    assert_array_equal(np.sign(B), np.outer(parity, parity))
    query = np.linspace(-3, 3, 50)[:, None]
    for which in (-1, 1):
        new = model.adapt([[-0.8], [0.6]], which * np.sin([-1.6, 1.2]))
        assert_allclose(new.predict(query), which * np.sin(2 * query[:, 0]), atol=0.35)


def test_attributes_are_in_the_units_of_the_targets():
    X, y, groups, old = _draw(1, n_new=3)
    model = MultiTaskGaussianProcessRegressor(max_iter=15).fit(X[old], y[old], groups=groups[old])
    other = MultiTaskGaussianProcessRegressor(max_iter=15)
    other.fit(1000 * X[old], 1e-3 * y[old] + 7, groups=groups[old])
    B, scaled = (m.coregionalization_[0][np.ix_(*2 * [m.tasks_.argsort()])] for m in (model, other))
    assert_allclose(scaled, 1e-6 * B, rtol=1e-3, atol=1e-9)
    assert_allclose(other.noise_variance_, 1e-6 * model.noise_variance_, rtol=1e-3)
    moved = model.log_marginal_likelihood_ + old.sum() * np.log(1e3)
    assert_allclose(other.log_marginal_likelihood_, moved, rtol=1e-6)
    before = model.adapt(X[~old], y[~old], groups=groups[~old])
    after = other.adapt(1000 * X[~old], 1e-3 * y[~old] + 7, groups=groups[~old])
    mean, std = before.predict(X[~old], groups=groups[~old], return_std=True)
    found = after.predict(1000 * X[~old], groups=groups[~old], return_std=True)
    assert_allclose(found[0], 1e-3 * mean + 7, rtol=1e-5)
    assert_allclose(found[1], 1e-3 * std, rtol=1e-3)
    rows = model._support
    centred = (rows.y[:, 0] - y[old].mean())[:, None]
    stated = Coregionalization(
        model.kernel_,
        np.linalg.cholesky(model.coregionalization_[0]),
        np.full(25, 1e-12),
        model.noise_variance_[0],
    )
    value, _ = log_marginal_likelihood(stated, model._scaled(rows.X), centred, rows.owners)
    assert_allclose(model.log_marginal_likelihood_, value, rtol=1e-6)


def test_names_and_order_of_tasks_do_not_matter():
    X, y, groups, _ = _draw(2, n_tasks=8, n_new=0)
    model = MultiTaskGaussianProcessRegressor(rank=2, max_iter=10).fit(X, y, groups=groups)
    names = np.array(list("hbdacgef"))[groups]
    order = np.random.default_rng(0).permutation(len(X))
    other = clone(model).fit(X[order], y[order], groups=names[order])
    assert_array_equal(other.tasks_, np.array(list("hbdacgef"))[model.tasks_])
    assert_array_equal(other.coregionalization_, model.coregionalization_)
    mine, its = model.predict(X, groups=groups), other.predict(X, groups=names)
    assert_array_equal(mine, its)


def test_outputs_share_one_model_in_their_own_units():
    X, y, groups, _ = _draw(3, n_tasks=8, n_new=0)
    both = np.column_stack([y, 100 - 5 * y])
    model = MultiTaskGaussianProcessRegressor(max_iter=15).fit(X, both, groups=groups)
    assert_allclose(model.noise_variance_[1], 25 * model.noise_variance_[0])
    assert_allclose(model.coregionalization_[1], 25 * model.coregionalization_[0])
    new = model.adapt(X[:3] + 0.1, both[:3])
    mean, std = new.predict(X, return_std=True)
    assert_allclose(mean[:, 1], 100 - 5 * mean[:, 0])
    assert_allclose(std[:, 1], 5 * std[:, 0])


# Adapting


def test_adapting_one_task_or_many_is_the_same(monkeypatch):
    X, y, groups, old = _draw(4, n_tasks=10)
    model = MultiTaskGaussianProcessRegressor(max_iter=15).fit(X[old], y[old], groups=groups[old])
    ragged = ~old & (np.random.default_rng(0).random(len(X)) < 0.5)
    many = model.adapt(X[ragged], y[ragged], groups=groups[ragged])
    mean, std = many.predict(X[~old], groups=groups[~old], return_std=True)
    for task in many.tasks_:
        there = ragged & (groups == task)
        one = model.adapt(X[there], y[there]).predict(X[groups == task], return_std=True)
        mine = groups[~old] == task
        assert_allclose(one, (mean[mine], std[mine]), rtol=1e-7)
    monkeypatch.setattr(_multi_task, "_CELLS", 3)
    monkeypatch.setattr(_multi_task, "_STATE_BYTES", 1)  # no task is held
    few = model.adapt(X[ragged], y[ragged], groups=groups[ragged])
    assert few._state is None
    found = few.predict(X[~old], groups=groups[~old], return_std=True)
    assert_allclose(found, (mean, std), rtol=1e-7)


def test_rows_of_a_training_task_count_once():
    X, y, groups, _ = _draw(5, n_tasks=10, n_new=0)
    model = MultiTaskGaussianProcessRegressor(max_iter=15).fit(X, y, groups=groups)
    there = np.flatnonzero(groups == 4)[::-1]
    expected = model.predict(X[there] + 0.1, groups=groups[there], return_std=True)
    again = model.adapt(X[there], y[there]).predict(X[there] + 0.1, return_std=True)
    assert_allclose(again, expected, rtol=1e-10)
    fewer = model.adapt(X[there[1:]], y[there[1:]]).predict(X[there] + 0.1, return_std=True)
    assert np.abs(fewer[1] - expected[1]).max() > 1e-3


def test_unseen_tasks_are_predicted_by_the_mean_row_of_b():
    X, y, groups = _rows()
    loadings, own = _parameters()
    model = _stated(X, y, groups, loadings, own)
    B = loadings @ loadings.T + np.diag(own)
    cross = loadings @ loadings.mean(axis=0)
    whole = np.block([[B, cross[:, None]], [cross, B.trace() / 5]])
    reference = _reference(_Augmented(whole, KERNEL), np.column_stack([X, groups]), y)
    with pytest.warns(UserWarning, match="never seen"):
        found = model.predict(X + 0.2, groups=np.full(len(X), 9), return_std=True)
    _assert_same(found, reference, _as_task_5(X + 0.2))


@pytest.fixture(scope="module")
def drawn():
    """Errors and coverage on rows of new tasks, by learner, over several draws."""
    errors, inside = [], []
    for seed in range(4):
        X, y, groups, old = _draw(seed)
        support = ~old & (np.arange(len(X)) % 12 < 5)
        query = ~old & ~support
        model = MultiTaskGaussianProcessRegressor(RBF(), max_iter=40)
        model.fit(X[old], y[old], groups=groups[old])
        new = model.adapt(X[support], y[support], groups=groups[support])
        mean, std = new.predict(X[query], groups=groups[query], return_std=True)
        inside.append(np.abs(y[query] - mean) < 1.645 * std)
        process = GaussianProcessRegressor(9 * RBF(1.0), alpha=9 * NOISE, normalize_y=False)
        process.set_params(optimizer=None)
        pooled = process.fit(X[old | support], y[old | support] - 20).predict(X[query]) + 20
        alone = np.empty(len(X))
        for task in np.unique(groups[query]):
            s, q = support & (groups == task), query & (groups == task)
            alone[q] = process.fit(X[s], y[s] - 20).predict(X[q]) + 20
        errors.append([np.square(y[query] - m).mean() for m in (mean, pooled, alone[query])])
    return np.array(errors), np.concatenate(inside)


def test_intervals_of_new_tasks_cover_what_they_say(drawn):
    """A little less than 90 %, for the kernel and the rows of B are taken for known."""
    _, inside = drawn
    assert 0.83 < inside.mean() < 0.93


def test_new_tasks_are_predicted_better_than_by_a_pooled_process_or_one_of_their_own(drawn):
    errors, _ = drawn
    assert (errors[:, 0] < 0.8 * errors[:, 1]).all()
    assert (errors[:, 0] < 0.8 * errors[:, 2]).all()


# Errors


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"kernel": "rbf"}, ValueError, "kernel='rbf' must be None or a kernel"),
        ({"rank": 0}, ValueError, "rank == 0"),
        ({"rank": 1.5}, TypeError, "rank must be an instance of"),
        ({"max_iter": 0}, ValueError, "max_iter == 0"),
    ],
)
def test_errors_name_the_argument(parameters, error, said):
    X, y, groups = _rows()
    model = MultiTaskGaussianProcessRegressor(max_iter=1).fit(X, y, groups=groups)
    before = model.predict(X, groups=groups)
    with pytest.raises(error, match=said):
        model.set_params(**parameters).fit(X, y, groups=groups)
    assert_array_equal(model.predict(X, groups=groups), before)


def test_the_kernel_that_is_given_stays_as_it_is():
    X, y, groups = _rows()
    kernel = RBF(0.7)
    model = MultiTaskGaussianProcessRegressor(kernel, max_iter=5).fit(X, y, groups=groups)
    assert kernel == RBF(0.7)
    assert model.kernel_ != kernel
