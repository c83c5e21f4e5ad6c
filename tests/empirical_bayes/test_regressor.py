import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge, TweedieRegressor
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.svm import NuSVR
from sklearn.tree import DecisionTreeRegressor

from skmeta import EmpiricalBayesRegressor
from skmeta.empirical_bayes._design import Design
from skmeta.empirical_bayes._mixed_model import Prior

EFFECTS = ["full", "diagonal", "intercept"]
W0 = np.array([1.0, 2.0, -1.0])
OMEGA = np.array([[1.0, 0.3, 0.0], [0.3, 0.5, -0.2], [0.0, -0.2, 0.4]])
NOISE = 0.25


def _draw(n_tasks, n_rows, seed=0, omega=OMEGA, noise=NOISE):
    """Draw from the model; features are neither centred nor of unit variance."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    w = random.multivariate_normal(W0, omega, size=n_tasks)[groups]
    X = random.normal(size=(len(groups), 2)) * [1.0, 3.0] + [2.0, 0.0]
    signal = w[:, 0] + (X * w[:, 1:]).sum(axis=1)
    return X, signal + np.sqrt(noise) * random.normal(size=len(groups)), groups, signal


def _stated(mean, covariance, noise, like=None):
    """Return a model whose prior is stated instead of estimated."""
    X, y, groups, _ = _draw(5, 6)
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    model.design_ = Design(np.zeros(2), np.ones(2), np.eye(2), 3)
    model.priors_ = [Prior(np.asarray(mean, float), np.asarray(covariance, float), noise)]
    model.noise_variance_ = np.array([noise])
    return model


# Identities


@pytest.mark.parametrize("n_rows", [1, 2, 3, 10])
@pytest.mark.parametrize("tau", [0.1, 1.0, 5.0])
def test_an_isotropic_prior_around_zero_is_ridge(tau, n_rows):
    X, y, _, _ = _draw(1, n_rows + 5, seed=1)
    model = _stated(np.zeros(3), tau**2 * np.eye(3), NOISE).adapt(X[:n_rows], y[:n_rows])
    design = np.column_stack([np.ones(len(X)), X])
    ridge = Ridge(alpha=NOISE / tau**2, fit_intercept=False).fit(design[:n_rows], y[:n_rows])
    assert_allclose(model.predict(X), ridge.predict(design), rtol=1e-8)


def test_blup_is_ridge_centred_at_the_population_fit():
    X, y, groups, _ = _draw(6, 4, seed=2)
    tau = 0.7
    adapted = _stated(W0, tau**2 * np.eye(3), NOISE).adapt(X, y, groups=groups)
    design = np.column_stack([np.ones(len(X)), X])
    predicted = adapted.predict(X, groups=groups)
    for task in range(6):
        F, target = design[groups == task], y[groups == task] - design[groups == task] @ W0
        ridge = Ridge(alpha=NOISE / tau**2, fit_intercept=False).fit(F, target)
        assert_allclose(predicted[groups == task], F @ W0 + ridge.predict(F), rtol=1e-8)
        gain = tau**2 * F.T @ np.linalg.inv(tau**2 * F @ F.T + NOISE * np.eye(4))
        assert_allclose(ridge.coef_, gain @ target, rtol=1e-8)


def test_posterior_equals_a_loop_over_tasks():
    X, y, groups, _ = _draw(30, 7, seed=3)
    ragged = np.random.default_rng(0).random(len(X)) < 0.6
    X, y, groups = X[ragged], y[ragged], groups[ragged]
    mean, std = (
        _stated(W0, OMEGA, NOISE)
        .adapt(X, y, groups=groups)
        .predict(X, groups=groups, return_std=True)
    )
    for task in np.unique(groups):
        F = np.column_stack([np.ones((groups == task).sum()), X[groups == task]])
        S = np.linalg.inv(np.linalg.inv(OMEGA) + F.T @ F / NOISE)
        w = S @ (np.linalg.solve(OMEGA, W0) + F.T @ y[groups == task] / NOISE)
        assert_allclose(mean[groups == task], F @ w, rtol=1e-10, atol=1e-10)
        variance = np.einsum("nq,qr,nr->n", F, S, F) + NOISE
        assert_allclose(std[groups == task], np.sqrt(variance), rtol=1e-10)


def test_no_variance_gives_the_pooled_and_much_gives_each_tasks_least_squares():
    X, y, groups, _ = _draw(8, 6, seed=4)
    pooled = _stated(W0, np.zeros((3, 3)), NOISE).adapt(X, y, groups=groups)
    design = np.column_stack([np.ones(len(X)), X])
    assert_allclose(pooled.predict(X, groups=groups), design @ W0, rtol=1e-12)
    alone = _stated(W0, 1e10 * np.eye(3), NOISE).adapt(X, y, groups=groups)
    predicted = alone.predict(X, groups=groups)
    for task in range(8):
        there = groups == task
        ols = LinearRegression().fit(X[there], y[there])
        assert_allclose(predicted[there], ols.predict(X[there]), rtol=1e-6, atol=1e-6)


def test_a_task_without_rows_is_predicted_by_the_prior():
    X, y, groups, _ = _draw(60, 6)
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    with pytest.warns(UserWarning, match="never seen"):
        mean, std = model.predict(X[:9], groups=np.full(9, -1), return_std=True)
    design = np.column_stack([np.ones(9), X[:9]])
    assert_allclose(mean, design @ model.prior_mean_[0], rtol=1e-10)
    variance = np.einsum("nq,qr,nr->n", design, model.prior_covariance_[0], design)
    assert_allclose(std, np.sqrt(variance + model.noise_variance_), rtol=1e-8)


def test_a_random_intercept_shrinks_each_tasks_mean():
    random = np.random.default_rng(5)
    sizes = random.integers(1, 12, size=80)
    groups = np.repeat(np.arange(80), sizes)
    y = 3 + random.normal(size=80)[groups] + random.normal(size=len(groups))
    X = np.ones((len(y), 1))
    model = EmpiricalBayesRegressor("intercept").fit(X, y, groups=groups)
    tau, noise = model.prior_covariance_[0, 0, 0], model.noise_variance_[0]
    w0 = model.prior_mean_[0, 0]
    mean = np.bincount(groups, y) / sizes
    shrunk = w0 + tau / (tau + noise / sizes) * (mean - w0)
    assert_allclose(model.predict(X, groups=groups), shrunk[groups], rtol=1e-8)
    # the level is the mean of tasks, each as precise as it is
    precision = 1 / (tau + noise / sizes)
    assert_allclose(w0, precision @ mean / precision.sum(), rtol=1e-3)


@pytest.mark.parametrize("rotate", [False, True])
def test_an_invertible_map_of_the_features_changes_nothing(rotate):
    X, y, groups, _ = _draw(40, 6)
    A = np.array([[1.0, 0.5], [-0.3, 2.0]]) if rotate else np.diag([100.0, 1e-3])
    shift = np.array([5.0, -1.0])
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    mapped = EmpiricalBayesRegressor().fit(X @ A + shift, y, groups=groups)
    new = np.random.default_rng(6).normal(size=(20, 2))
    known = np.repeat(np.arange(4), 5)
    expected = model.predict(new, groups=known, return_std=True)
    actual = mapped.predict(new @ A + shift, groups=known, return_std=True)
    assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_tasks", [2, 40])  # with and without a prior for w0
@pytest.mark.parametrize("effects", EFFECTS)
def test_units_of_the_target_do_not_matter(effects, n_tasks):
    X, y, groups, _ = _draw(n_tasks, 5)
    mean, std = (
        EmpiricalBayesRegressor(effects)
        .fit(X, y, groups=groups)
        .predict(X, groups=groups, return_std=True)
    )
    for unit in (1e-6, 1e6):
        model = EmpiricalBayesRegressor(effects).fit(X, unit * y, groups=groups)
        scaled = model.predict(X, groups=groups, return_std=True)
        assert_allclose(scaled[0] / unit, mean, rtol=1e-6, atol=1e-8)
        assert_allclose(scaled[1] / unit, std, rtol=1e-6)
    model = EmpiricalBayesRegressor(effects).fit(X, y + 1e7, groups=groups)
    assert_allclose(model.predict(X, groups=groups) - 1e7, mean, rtol=1e-5, atol=1e-6)


# Estimation


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("n_rows", [2, 8])
def test_the_likelihood_never_decreases(effects, n_rows):
    X, y, groups, _ = _draw(30, n_rows)
    model = EmpiricalBayesRegressor(effects, tol=0, max_iter=80).fit(X, y, groups=groups)
    history = np.array(model.log_likelihood_[0])
    assert len(history) == model.n_iter_ > 3
    assert (np.diff(history) > -1e-9 * np.abs(history[-1])).all()


def test_parameters_are_recovered_from_many_tasks():
    X, y, groups, _ = _draw(4000, 8, seed=7)
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    assert_allclose(model.prior_mean_[0], W0, atol=0.06)
    assert_allclose(model.prior_covariance_[0], OMEGA, atol=0.06)
    assert_allclose(model.noise_variance_, NOISE, rtol=0.03)
    diagonal = np.diag(np.diag(OMEGA))
    X, y, groups, _ = _draw(4000, 8, seed=8, omega=diagonal)
    model = EmpiricalBayesRegressor("full").fit(X, y, groups=groups)
    assert_allclose(model.prior_covariance_[0], diagonal, atol=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_intervals_cover(seed):
    X, y, groups, _ = _draw(300, 8, seed=10 + seed)
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    X, y, groups, _ = _draw(600, 8, seed=20 + seed)
    support = np.arange(len(X)) % 8 < 3
    adapted = model.adapt(X[support], y[support], groups=groups[support])
    mean, std = adapted.predict(X[~support], groups=groups[~support], return_std=True)
    covered = np.abs(y[~support] - mean) < 1.645 * std
    assert 0.87 < covered.mean() < 0.93


def test_no_differences_between_tasks_give_the_pooled_fit():
    X, y, groups, _ = _draw(100, 8, omega=np.zeros((3, 3)))
    model = EmpiricalBayesRegressor(max_iter=2000, tol=1e-10).fit(X, y, groups=groups)
    pooled = LinearRegression().fit(X, y).predict(X)
    distance = mean_squared_error(pooled, model.predict(X, groups=groups))
    assert distance < 0.05 * NOISE
    assert np.sqrt(np.diag(model.prior_covariance_[0])).max() < 0.15


def test_it_beats_pooled_and_separate_fits():
    X, y, groups, _ = _draw(100, 4, seed=11)
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    X, y, groups, signal = _draw(200, 8, seed=12)
    support = np.arange(len(X)) % 8 < 3
    adapted = model.adapt(X[support], y[support], groups=groups[support])
    error = mean_squared_error(signal[~support], adapted.predict(X[~support], groups[~support]))
    # the best possible: the posterior mean of the true model
    best = _stated(W0, OMEGA, NOISE).adapt(X[support], y[support], groups=groups[support])
    least = mean_squared_error(signal[~support], best.predict(X[~support], groups[~support]))
    assert error < 1.1 * least
    pooled = LinearRegression().fit(X, y).predict(X)
    assert error < 0.3 * mean_squared_error(signal, pooled)


def test_diagonal_effects_are_uncorrelated_and_intercepts_alone():
    X, y, groups, _ = _draw(100, 8)
    diagonal = EmpiricalBayesRegressor("diagonal").fit(X, y, groups=groups)
    slopes = diagonal.prior_covariance_[0, 1:, 1:]
    assert slopes[0, 1] == 0
    assert (np.diag(slopes) > 0).all()
    level = EmpiricalBayesRegressor("intercept").fit(X, y, groups=groups).prior_covariance_[0]
    assert level[0, 0] > 0
    assert_allclose(level.ravel()[1:], 0, atol=1e-12)


# Awkward data


@pytest.mark.parametrize("effects", EFFECTS)
def test_constant_columns_are_ignored(effects):
    X, y, groups, _ = _draw(40, 6)
    model = EmpiricalBayesRegressor(effects).fit(X, y, groups=groups)
    more = np.column_stack([np.full(240, 7.0), X, np.full(240, 1e9), np.zeros(240)])
    wider = EmpiricalBayesRegressor(effects).fit(more, y, groups=groups)
    assert_allclose(wider.predict(more, groups), model.predict(X, groups), rtol=1e-8)
    assert_array_equal(wider.prior_mean_[0, [1, 4, 5]], 0)


def test_collinear_columns_change_nothing():
    X, y, groups, _ = _draw(40, 6)
    more = np.column_stack([X, X[:, 0], X @ [1.0, -2.0] + 3])
    expected = EmpiricalBayesRegressor().fit(X, y, groups=groups).predict(X, groups)
    model = EmpiricalBayesRegressor().fit(more, y, groups=groups)
    assert_allclose(model.predict(more, groups), expected, rtol=1e-6, atol=1e-6)
    assert np.isfinite(model.prior_covariance_).all()
    for effects in ("diagonal", "intercept"):
        model = EmpiricalBayesRegressor(effects).fit(more, y, groups=groups)
        assert model.score(more, y, groups=groups) > 0.6


@pytest.mark.parametrize("effects", EFFECTS)
def test_more_features_than_rows(effects):
    random = np.random.default_rng(13)
    groups = np.repeat(np.arange(15), 4)
    X = random.normal(size=(60, 100))
    level = 3 * random.normal(size=15)
    y = 2 * X[:, 0] + level[groups] + 0.1 * random.normal(size=60)
    model = EmpiricalBayesRegressor(effects).fit(X, y, groups=groups)
    new = random.normal(size=(200, 100))
    task = random.integers(15, size=200)
    mean, std = model.predict(new, groups=task, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    truth = 2 * new[:, 0] + level[task]
    # 21 directions with any covariance are too much for 15 tasks, yet do no harm
    share = 0.9 if effects == "full" else 0.7
    assert mean_squared_error(truth, mean) < share * np.var(truth)


def test_few_directions_vary_where_features_are_many():
    random = np.random.default_rng(14)
    groups = np.repeat(np.arange(50), 10)
    X = random.normal(size=(500, 12)) @ random.normal(size=(12, 12))
    y = X.sum(axis=1) + random.normal(size=50)[groups] * X[:, 0]
    model = EmpiricalBayesRegressor(n_components=4).fit(X, y, groups=groups)
    assert model.design_.n_varying == 5
    assert np.linalg.matrix_rank(model.prior_covariance_[0]) <= 5
    assert model.score(X, y, groups=groups) > LinearRegression().fit(X, y).score(X, y)
    with pytest.raises(ValueError, match="n_components == 0, must be >= 1"):
        clone(model).set_params(n_components=0).fit(X, y, groups=groups)


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("n_rows", [1, 2])
def test_tiny_tasks(effects, n_rows):
    X, y, groups, _ = _draw(40, n_rows, seed=15)
    model = EmpiricalBayesRegressor(effects).fit(X, y, groups=groups)
    _, std = model.predict(X, groups=groups, return_std=True)
    assert model.score(X, y, groups=groups) > 0.5
    assert (std > 0).all()


def test_noiseless_targets():
    X, _, groups, signal = _draw(40, 6)
    model = EmpiricalBayesRegressor().fit(X, signal, groups=groups)
    assert_allclose(model.predict(X, groups=groups), signal, atol=1e-3)
    constant = EmpiricalBayesRegressor().fit(X, np.full(240, 5.0), groups=groups)
    assert_allclose(constant.predict(X, groups=groups), 5, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_features_of_any_size(scale):
    X, y, groups, _ = _draw(40, 6)
    expected = EmpiricalBayesRegressor().fit(X, y, groups=groups).predict(X, groups)
    X = X * scale
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    assert_allclose(model.predict(X, groups), expected, rtol=1e-5, atol=1e-6)


# Weights


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("n_tasks", [3, 5, 40])  # near and far from few rows
def test_a_weight_counts_rows(effects, n_tasks):
    X, y, groups, _ = _draw(n_tasks, 3, seed=16)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    model = EmpiricalBayesRegressor(effects).fit(X, y, groups=groups, sample_weight=weight)
    rows = np.repeat(np.arange(len(X)), weight)
    repeated = EmpiricalBayesRegressor(effects).fit(X[rows], y[rows], groups=groups[rows])
    known = groups[rows]
    actual = model.predict(X[rows], groups=known, return_std=True)
    assert_allclose(actual, repeated.predict(X[rows], known, return_std=True), rtol=1e-6)
    adapted = model.adapt(X[:6], y[:6], groups=groups[:6], sample_weight=[1, 2, 3, 2, 1, 1])
    copies = np.repeat(np.arange(6), [1, 2, 3, 2, 1, 1])
    same = model.adapt(X[copies], y[copies], groups=groups[copies])
    assert_allclose(
        adapted.predict(X[:6], groups=groups[:6]), same.predict(X[:6], groups[:6]), rtol=1e-8
    )


def test_a_weight_counts_rows_of_the_offset_too():
    X, y, groups, _ = _draw(12, 4, seed=17)
    weight = np.random.default_rng(1).integers(1, 4, size=len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    for given, again in ((groups, groups[rows]), (None, None)):
        learner = EmpiricalBayesRegressor(offset=DecisionTreeRegressor(max_depth=2))
        model = clone(learner).fit(X, y, groups=given, sample_weight=weight)
        repeated = clone(learner).fit(X[rows], y[rows], groups=again)
        assert_allclose(
            model.predict(X, **({} if given is None else {"groups": given})),
            repeated.predict(X, **({} if given is None else {"groups": given})),
            rtol=1e-6,
        )


def test_weights_need_an_offset_that_takes_them():
    X, y, groups, _ = _draw(12, 4)

    class Weightless(LinearRegression):
        def fit(self, X, y):
            return super().fit(X, y)

    with pytest.raises(ValueError, match=r"offset=Weightless\(\) does not take sample_weight"):
        EmpiricalBayesRegressor(offset=Weightless()).fit(
            X, y, groups=groups, sample_weight=np.ones(48)
        )


# The offset


def _curved(n_tasks=60, n_rows=8, seed=18):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    X = random.uniform(-2, 2, size=(len(groups), 2))
    shape = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    level = random.normal(size=(n_tasks, 2))
    return X, shape + level[groups, 0] + level[groups, 1] * X[:, 1], groups, shape


class Known(LinearRegression):
    """The pooled truth."""

    def predict(self, X):
        return np.sin(3 * X[:, 0]) + X[:, 1] ** 2


def test_a_perfect_offset_leaves_no_effects():
    X, _, groups, shape = _curved()
    model = EmpiricalBayesRegressor(offset=Known()).fit(X, shape, groups=groups)
    assert np.abs(model.prior_covariance_).max() < 1e-20
    assert np.abs(model.prior_mean_).max() < 1e-10
    assert_allclose(model.predict(X, groups=groups), shape, rtol=1e-10)


def test_an_offset_is_what_is_added_to_the_linear_part():
    X, y, groups, shape = _curved()
    model = EmpiricalBayesRegressor(offset=Known()).fit(X, y, groups=groups)
    linear = EmpiricalBayesRegressor().fit(X, y - shape, groups=groups)
    assert_allclose(
        model.predict(X, groups=groups), shape + linear.predict(X, groups=groups), rtol=1e-8
    )


def test_an_offset_helps_where_tasks_share_a_curve():
    trees = HistGradientBoostingRegressor(max_iter=60, random_state=0)
    X, y, groups, _ = _curved(150)
    plain = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    boosted = EmpiricalBayesRegressor(offset=trees).fit(X, y, groups=groups)
    X, y, groups, _ = _curved(60, 12, seed=19)
    support = np.arange(len(X)) % 12 < 4
    errors = [
        mean_squared_error(
            y[~support],
            model.adapt(X[support], y[support], groups=groups[support]).predict(
                X[~support], groups=groups[~support]
            ),
        )
        for model in (plain, boosted)
    ]
    pooled = mean_squared_error(y[~support], boosted.offset_.predict(X[~support]))
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.5 * pooled


def test_the_offset_is_fitted_out_of_fold():
    X, y, groups, _ = _draw(40, 5, seed=20)
    overfit = EmpiricalBayesRegressor(offset=DecisionTreeRegressor(random_state=0))
    model = overfit.fit(X, y, groups=groups)
    assert model.offset_.score(X, y) == 1  # in fold, nothing would be left to the tasks
    assert model.noise_variance_[0] > NOISE
    assert not hasattr(model.offset, "tree_")


def test_nested_parameters_can_be_searched():
    X, y, groups, _ = _curved(120)
    array = np.column_stack([X, groups])
    learner = EmpiricalBayesRegressor(
        offset=DecisionTreeRegressor(max_depth=1, min_samples_leaf=10), task_column=2
    )
    assert clone(learner).get_params()["offset__max_depth"] == 1
    rows = np.arange(len(X))
    folds = [(rows[rows % 4 != fold], rows[rows % 4 == fold]) for fold in range(2)]
    grid = {"offset__max_depth": [1, 6], "effects": ["full", "intercept"]}
    search = GridSearchCV(learner, grid, cv=folds, error_score="raise").fit(array, y)
    assert search.best_params_ == {"offset__max_depth": 6, "effects": "full"}
    assert search.best_estimator_.offset_.get_depth() == 6


def test_several_outputs_need_an_offset_with_several():
    X, y, groups, _ = _draw(20, 5)
    both = np.column_stack([y, -y])
    model = EmpiricalBayesRegressor(offset=Ridge()).fit(X, both, groups=groups)
    predicted = model.predict(X, groups=groups)
    assert_allclose(predicted[:, 0], -predicted[:, 1], rtol=1e-6)
    for single in (TweedieRegressor(), NuSVR()):
        with pytest.raises(ValueError, match="y should be a 1d array"):
            EmpiricalBayesRegressor(offset=single).fit(X, both, groups=groups)


def test_an_offset_needs_rows_to_hold_out():
    with pytest.raises(ValueError, match="at least 2 different rows, got n_samples=1"):
        EmpiricalBayesRegressor(offset=Ridge()).fit([[1.0], [1.0]], [2.0, 2.0])
    model = EmpiricalBayesRegressor(offset=Ridge()).fit([[1.0], [2.0]], [2.0, 3.0])
    assert model.predict([[1.0]]).shape == (1,)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("effects", "slopes", "effects='slopes' must be 'full', 'diagonal' or 'intercept'"),
        ("max_iter", 0, "max_iter == 0, must be >= 1"),
        ("tol", -1.0, "tol == -1.0, must be >= 0"),
        ("n_components", 0, "n_components == 0, must be >= 1"),
    ],
)
def test_wrong_parameters(parameter, value, message):
    X, y, groups, _ = _draw(4, 5)
    with pytest.raises(ValueError, match=message):
        EmpiricalBayesRegressor(**{parameter: value}).fit(X, y, groups=groups)
