import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

from skmeta import EmpiricalBayesClassifier
from skmeta.empirical_bayes._design import Design
from skmeta.empirical_bayes._laplace import fit_logistic_prior, laplace_posterior
from skmeta.empirical_bayes._mixed_model import Prior
from skmeta.tasks import TaskTable

EFFECTS = ["full", "diagonal", "intercept"]
W0 = np.array([0.5, 1.0, -1.0])
OMEGA = np.array([[1.0, 0.3, 0.0], [0.3, 0.6, -0.2], [0.0, -0.2, 0.5]])


def _draw(n_tasks, n_rows, seed=0, omega=OMEGA):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    w = random.multivariate_normal(W0, omega, size=n_tasks)[groups]
    X = random.normal(size=(len(groups), 2)) + np.array([0.5, 0.0])
    proba = expit(w[:, 0] + (X * w[:, 1:]).sum(axis=1))
    return X, (random.random(len(groups)) < proba).astype(int), groups, proba


def _stated(mean, covariance):
    """Return a model whose prior is stated instead of estimated."""
    X, y, groups, _ = _draw(6, 8)
    model = EmpiricalBayesClassifier(label_sets="shared").fit(X, y, groups=groups)
    model.design_ = Design(np.zeros(2), np.ones(2), np.eye(2), 3)
    model.priors_ = [Prior(np.asarray(mean, float), np.asarray(covariance, float), 1.0)]
    return model


def _mode(F, y, mean, covariance, weight=1.0):
    """Return the mode of a task's coefficients and the inverse Hessian there."""
    precision = np.linalg.inv(covariance)

    def loss(w):
        logit = F @ w
        value = (weight * (np.logaddexp(0, logit) - y * logit)).sum()
        gradient = F.T @ (weight * (expit(logit) - y)) + precision @ (w - mean)
        return value + 0.5 * (w - mean) @ precision @ (w - mean), gradient

    found = minimize(loss, mean, jac=True, method="BFGS", options={"gtol": 1e-10}).x
    curvature = weight * expit(F @ found) * (1 - expit(F @ found))
    return found, np.linalg.inv(F.T @ (F * np.broadcast_to(curvature, len(F))[:, None]) + precision)


def _mackay(F, mean, covariance):
    variance = np.einsum("nq,qr,nr->n", F, covariance, F)
    return expit(F @ mean / np.sqrt(1 + np.pi / 8 * variance))


# Identities


@pytest.mark.parametrize("n_rows", [1, 3, 20])
def test_posteriors_equal_an_optimiser_task_by_task(n_rows):
    X, y, groups, _ = _draw(8, n_rows, seed=1)
    proba = _stated(W0, OMEGA).adapt(X, y, groups=groups).predict_proba(X, groups=groups)
    for task in range(8):
        there = groups == task
        F = np.column_stack([np.ones(n_rows), X[there]])
        mean, spread = _mode(F, y[there], W0, OMEGA)
        assert_allclose(proba[there, 1], _mackay(F, mean, spread), rtol=1e-6)


@pytest.mark.parametrize("tau", [0.3, 1.0, 3.0])
def test_an_isotropic_prior_around_zero_is_penalised_logistic_regression(tau):
    X, y, _, _ = _draw(1, 12, seed=2)
    F = np.column_stack([np.ones(12), X])
    skl = LogisticRegression(C=tau**2, fit_intercept=False, tol=1e-10, max_iter=1000).fit(F, y)
    effects = laplace_posterior(
        F[None], y[None], np.zeros((1, 12)), np.ones((1, 12)), _prior(tau**2 * np.eye(3))
    )
    assert_allclose(effects.mean[0], skl.coef_[0], rtol=1e-5, atol=1e-6)


def _prior(covariance):
    return Prior(np.zeros(len(covariance)), covariance, 1.0)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_laplace_posteriors_of_padded_ragged_tasks(rank):
    random = np.random.default_rng(3)
    root = random.normal(size=(3, 3)) * (np.arange(3) < rank)
    omega = root @ root.T
    sizes = np.array([0, 1, 2, 5, 9])
    mask = np.arange(9) < sizes[:, None]
    Z, offset = random.normal(size=(5, 9, 3)), random.normal(size=(5, 9))
    y = random.integers(2, size=(5, 9)).astype(float)
    weight = random.uniform(0.5, 2, size=(5, 9)) * mask
    effects = laplace_posterior(Z, y, offset, weight, _prior(omega))
    for task in range(5):
        rows = mask[task]
        z, target, known, a = Z[task, rows], y[task, rows], offset[task, rows], weight[task, rows]
        # stationary: u = Ω Z'A(y - p)
        p = expit(known + z @ effects.mean[task])
        assert_allclose(effects.mean[task], omega @ z.T @ (a * (target - p)), atol=1e-7)
        curvature = np.diag(a * p * (1 - p))
        expected = np.linalg.solve(np.eye(3) + omega @ z.T @ curvature @ z, omega)
        assert_allclose(effects.covariance[task], expected, atol=1e-9)


def test_separable_rows_and_wide_priors_converge():
    F = np.column_stack([np.ones(6), np.arange(6) - 2.5])[None]
    y = (F[..., 1] > 0).astype(float)
    for size in (1.0, 1e4, 1e8):
        effects = laplace_posterior(F, y, 0 * y, np.ones((1, 6)), _prior(size * np.eye(2)))
        p = expit(F[0] @ effects.mean[0])
        assert_allclose(effects.mean[0], size * F[0].T @ (y[0] - p), rtol=1e-3, atol=1e-4)
        assert p[0] < 0.5 < p[-1]


def test_no_variance_gives_the_prior_and_much_the_tasks_own_fit():
    X, y, groups, _ = _draw(4, 60, seed=4)
    F = np.column_stack([np.ones(240), X])
    pooled = _stated(W0, np.zeros((3, 3))).adapt(X, y, groups=groups)
    assert_allclose(pooled.predict_proba(X, groups=groups)[:, 1], expit(F @ W0), rtol=1e-10)
    alone = _stated(W0, 1e6 * np.eye(3)).adapt(X, y, groups=groups)
    decided = alone.predict(X, groups=groups)
    for task in range(4):
        there = groups == task
        own = LogisticRegression(C=np.inf, max_iter=1000).fit(X[there], y[there])
        assert (decided[there] == own.predict(X[there])).mean() > 0.98


def test_an_invertible_map_of_the_features_changes_nothing():
    X, y, groups, _ = _draw(40, 10)
    A = np.array([[1.0, 0.5], [-0.3, 2.0]])
    model = EmpiricalBayesClassifier().fit(X, y, groups=groups)
    with pytest.warns(UserWarning, match="never seen"):
        prior = model.predict_proba(X[:5], groups=np.full(5, -1))
    # the penalty on w0 knows of directions, so the map may not be far from a rotation
    mapped = EmpiricalBayesClassifier().fit(X @ A + 3, y, groups=groups)
    assert_allclose(
        mapped.predict_proba(X @ A + 3, groups=groups),
        model.predict_proba(X, groups=groups),
        atol=0.01,
    )
    units = EmpiricalBayesClassifier().fit(X * [1e3, 1e-3] - 5, y, groups=groups)
    assert_allclose(
        units.predict_proba(X * [1e3, 1e-3] - 5, groups=groups),
        model.predict_proba(X, groups=groups),
        atol=1e-6,
    )
    assert_allclose(prior.sum(axis=1), 1)


# Estimation


def test_the_prior_is_recovered_from_many_tasks():
    X, y, groups, _ = _draw(2000, 30, seed=5)
    model = EmpiricalBayesClassifier().fit(X, y, groups=groups)
    # roughly: Laplace's approximation is known to shrink both
    assert_allclose(model.prior_mean_[0], W0, rtol=0.2)
    assert_allclose(model.prior_covariance_[0], OMEGA, atol=0.35)
    assert np.diag(model.prior_covariance_[0]).min() > 0.25
    assert model.n_iter_ < 100


@pytest.mark.parametrize("effects", EFFECTS)
def test_no_differences_between_tasks_give_nearly_the_pooled_fit(effects):
    X, y, groups, proba = _draw(60, 20, seed=6, omega=np.zeros((3, 3)))
    model = EmpiricalBayesClassifier(effects).fit(X, y, groups=groups)
    pooled = LogisticRegression(C=np.inf).fit(X, y).predict_proba(X)[:, 1]
    own = model.predict_proba(X, groups=groups)[:, 1]
    assert np.abs(own - pooled).mean() < 0.03
    assert np.abs(own - proba).mean() < 0.05


def test_it_beats_pooled_and_separate_fits():
    X, y, groups, _ = _draw(200, 12, seed=7)
    model = EmpiricalBayesClassifier().fit(X, y, groups=groups)
    pooled = LogisticRegression().fit(X, y)
    X, y, groups, proba = _draw(200, 20, seed=8)
    support = np.arange(len(X)) % 20 < 10
    adapted = model.adapt(X[support], y[support], groups=groups[support])
    predicted = adapted.predict_proba(X[~support], groups=groups[~support])
    loss = log_loss(y[~support], predicted)
    best = log_loss(y[~support], proba[~support])
    ideal = _stated(W0, OMEGA).adapt(X[support], y[support], groups=groups[support])
    least = log_loss(y[~support], ideal.predict_proba(X[~support], groups=groups[~support]))
    assert best < least < loss < 1.02 * least
    assert loss < 0.95 * log_loss(y[~support], pooled.predict_proba(X[~support]))
    # calibrated: the mean probability is the frequency, also among confident rows
    sure = predicted[:, 1] > 0.8
    assert_allclose(predicted[sure, 1].mean(), y[~support][sure].mean(), atol=0.04)


def test_one_class_moves_a_task_without_deciding_it():
    X, y, groups, _ = _draw(200, 10, seed=9)
    model = EmpiricalBayesClassifier().fit(X, y, groups=groups)
    with pytest.warns(UserWarning, match="never seen"):
        before = model.predict_proba(X[:10], groups=np.full(10, -1))[:, 1]
    for label in (0, 1):
        after = [
            model.adapt(X[:n], np.full(n, label)).predict_proba(X[:10])[:, 1] for n in (1, 5, 10)
        ]
        means = [before.mean(), *(proba.mean() for proba in after)]
        assert (np.diff(means) * (2 * label - 1) > 0).all()
        assert 0.02 < means[-1] < 0.98


@pytest.mark.parametrize("effects", EFFECTS)
def test_separable_classes_stay_finite(effects):
    random = np.random.default_rng(10)
    X = random.normal(size=(120, 2))
    groups = np.repeat(np.arange(12), 10)
    y = (X[:, 0] > 0).astype(int)
    model = EmpiricalBayesClassifier(effects).fit(X, y, groups=groups)
    assert np.isfinite(model.prior_mean_).all()
    assert model.score(X, y, groups=groups) > 0.95
    single = EmpiricalBayesClassifier(effects).fit(X, y)
    assert single.score(X, y) > 0.95


class Certain(ClassifierMixin, BaseEstimator):
    """A pooled model that is sure, and often wrong."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([X[:, 0] <= 0, X[:, 0] > 0]).astype(float)


@pytest.mark.parametrize("effects", EFFECTS)
def test_a_confident_wrong_offset_does_not_make_em_diverge(effects):
    X, y, groups, _ = _draw(100, 15, seed=11)
    model = EmpiricalBayesClassifier(effects, offset=Certain()).fit(X, y, groups=groups)
    # logits of 9 on the wrong side are to be taken back, and that is all
    assert model.prior_covariance_[0, 0, 0] < 100
    assert np.abs(model.prior_mean_).max() < 100
    plain = EmpiricalBayesClassifier(effects).fit(X, y, groups=groups)
    assert model.score(X, y, groups=groups) > plain.score(X, y, groups=groups) - 0.1


def test_it_stops_by_tolerance_and_by_iterations():
    X, y, groups, _ = _draw(50, 10)
    assert EmpiricalBayesClassifier(tol=10.0).fit(X, y, groups=groups).n_iter_ == 1
    assert EmpiricalBayesClassifier(tol=0.0, max_iter=7).fit(X, y, groups=groups).n_iter_ == 7


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_fit_is_a_fixed_point(diagonal):
    X, y, groups, _ = _draw(50, 15, seed=12)
    F = np.column_stack([np.ones(len(X)), X])
    table = TaskTable.from_labels(groups)
    given = (F, y.astype(float), np.zeros(len(y)), np.ones(len(y)), table, 3)
    prior, n_iter = fit_logistic_prior(*given, diagonal=diagonal, max_iter=5000, tol=1e-9)
    assert n_iter < 5000
    # β is stationary where each task's effects are at their mode
    padded, mask = table.padded(np.arange(50))
    effects = laplace_posterior(
        F[padded], y[padded], F[padded] @ prior.mean, mask.astype(float), prior
    )
    logit = F @ prior.mean + (F * effects.mean[groups]).sum(axis=1)
    gradient = F.T @ (y - expit(logit))
    assert_allclose(gradient[1:], prior.shrinkage * prior.mean[1:], atol=1e-4)
    assert_allclose(gradient[0], 0, atol=1e-4)
    # Ω is what the tasks' posteriors say it is
    second = effects.covariance.sum(axis=0) + effects.mean.T @ effects.mean
    if diagonal:
        second = np.diag(np.diag(second))
    assert_allclose(prior.covariance, second / 50, rtol=1e-4, atol=1e-6)


# Awkward data


@pytest.mark.parametrize("effects", EFFECTS)
def test_constant_and_collinear_columns(effects):
    X, y, groups, _ = _draw(40, 10)
    expected = EmpiricalBayesClassifier(effects).fit(X, y, groups).predict_proba(X, groups)
    more = np.column_stack([np.full(400, 1e8), X, np.zeros(400)])
    model = EmpiricalBayesClassifier(effects).fit(more, y, groups)
    assert_allclose(model.predict_proba(more, groups), expected, rtol=1e-8)
    twice = np.column_stack([X, X[:, 0], X[:, 1] - X[:, 0]])
    model = EmpiricalBayesClassifier(effects).fit(twice, y, groups)
    assert_allclose(model.predict_proba(twice, groups), expected, atol=0.06)


@pytest.mark.parametrize("effects", EFFECTS)
def test_more_features_than_rows(effects):
    random = np.random.default_rng(13)
    X = random.normal(size=(60, 100))
    groups = np.repeat(np.arange(15), 4)
    y = (X[:, 0] + 2 * random.normal(size=15)[groups] > 0).astype(int)
    model = EmpiricalBayesClassifier(effects).fit(X, y, groups=groups)
    proba = model.predict_proba(random.normal(size=(50, 100)), groups=random.integers(15, size=50))
    assert np.isfinite(proba).all()
    assert model.score(X, y, groups=groups) > 0.7


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_weight_counts_rows(n_classes):
    X, y, groups, _ = _draw(30, 8, seed=14)
    y = y + (n_classes == 3) * (X[:, 0] > 1)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    learner = EmpiricalBayesClassifier(label_sets="shared")
    model = clone(learner).fit(X, y, groups=groups, sample_weight=weight)
    repeated = clone(learner).fit(X[rows], y[rows], groups=groups[rows])
    assert_allclose(
        model.predict_proba(X[rows], groups=groups[rows]),
        repeated.predict_proba(X[rows], groups=groups[rows]),
        rtol=1e-6,
    )
    adapted = model.adapt(X[:6], y[:6], sample_weight=[1, 2, 3, 2, 1, 1])
    copies = np.repeat(np.arange(6), [1, 2, 3, 2, 1, 1])
    same = model.adapt(X[copies], y[copies])
    assert_allclose(adapted.predict_proba(X), same.predict_proba(X), rtol=1e-6)


# Several classes


def _blobs(n_tasks, n_rows, classes, own, seed=15):
    """Classes are blobs whose centres each task shifts; own classes have own centres."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    y = np.tile(np.arange(n_rows) % classes, n_tasks)
    if own:
        centre = 4 * random.normal(size=(n_tasks, classes, 2))
    else:
        centre = 4 * random.normal(size=(classes, 2)) + random.normal(size=(n_tasks, 1, 2))
    X = centre[groups, y] + random.normal(size=(len(y), 2))
    return X, y + own * classes * groups, groups


def test_a_shared_set_of_several_classes():
    X, y, groups = _blobs(40, 12, 4, own=False)
    names = np.array(["ash", "birch", "cedar", "elm"])
    model = EmpiricalBayesClassifier().fit(X, names[y], groups=groups)
    assert model.classes_.tolist() == names.tolist()
    assert model.prior_mean_.shape == (4, 3)
    assert model.score(X, names[y], groups=groups) > 0.85
    pooled = LogisticRegression().fit(X, y).score(X, y)
    assert model.score(X, names[y], groups=groups) > pooled
    # one against the rest: each problem is the binary one
    proba = model.predict_proba(X, groups=groups)
    odds = []
    for label in range(4):
        binary = EmpiricalBayesClassifier().fit(X, y == label, groups=groups)
        odds.append(binary.predict_proba(X, groups=groups)[:, 1])
    odds = np.column_stack(odds)
    assert_allclose(proba, odds / odds.sum(axis=1, keepdims=True), rtol=1e-6)


def test_own_label_sets_are_learned_from_few_rows():
    random = np.random.default_rng(16)
    ways = 3
    model = EmpiricalBayesClassifier(label_sets="own").fit(*_ordered(60, 15, ways, random))
    assert model.prior_mean_.shape == (1, 3)
    X, y, groups = _ordered(40, 30, ways, random)
    support = np.arange(len(X)) % 30 < 15
    adapted = model.adapt(X[support], y[support], groups=groups[support])
    assert adapted.score(X[~support], y[~support], groups=groups[~support]) > 0.7
    # the names of classes do not matter
    names = np.array([f"class {label}" for label in y])
    named = model.adapt(X[support], names[support], groups=groups[support])
    predicted = named.predict(X[~support], groups=groups[~support])
    expected = adapted.predict(X[~support], groups=groups[~support])
    assert_array_equal(predicted, [f"class {label}" for label in expected])


def _ordered(n_tasks, n_rows, ways, random):
    """Return tasks whose classes lie in directions of their own."""
    groups = np.repeat(np.arange(n_tasks), n_rows)
    y = np.tile(np.arange(n_rows) % ways, n_tasks)
    angle = random.uniform(0, 2 * np.pi, size=n_tasks)[groups] + 2 * np.pi * y / ways
    X = 2 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.7 * random.normal(size=(len(y), 2))
    return X, y + ways * groups, groups


def test_tasks_drawn_out_of_the_classes_of_y():
    random = np.random.default_rng(17)
    centre = 3 * random.normal(size=(30, 2))
    y = np.repeat(np.arange(30), 12)
    X = centre[y] + 0.5 * random.normal(size=(360, 2))
    model = EmpiricalBayesClassifier(n_way=3, n_shots=5, random_state=0).fit(X, y)
    assert_array_equal(model.classes_, np.arange(30))
    new = 3 * random.normal(size=(20, 3, 2))
    scores = []
    for centres in new:
        label = np.tile(np.arange(3), 20)
        rows = centres[label] + 0.5 * random.normal(size=(60, 2))
        few = model.adapt(rows[:15], np.array(["x", "y", "z"])[label[:15]])
        assert few.classes_.tolist() == ["x", "y", "z"]
        scores.append(few.score(rows[15:], np.array(["x", "y", "z"])[label[15:]]))
    assert np.mean(scores) > 0.85


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_way": 7}, "n_way=7 is above the number of classes, 3"),
        ({"n_way": 1}, "n_way == 1, must be >= 2"),
        ({"n_way": 2, "n_shots": 0}, "n_shots == 0, must be >= 1"),
        (
            {"n_way": 2, "n_shots": 90},
            "is large enough to train on: n_way=2 and n_shots=90",
        ),
        ({"n_way": 2, "offset": LogisticRegression()}, "offset needs classes that all tasks share"),
        ({"label_sets": "own", "offset": LogisticRegression()}, "offset needs classes that all"),
        ({"effects": "no"}, "effects='no' must be"),
        ({"max_iter": 0}, "max_iter == 0"),
        ({"tol": -1}, "tol == -1"),
    ],
)
def test_wrong_parameters(parameters, message):
    X, y, groups = _blobs(6, 12, 3, own=False)
    with pytest.raises(ValueError, match=message):
        EmpiricalBayesClassifier(**parameters).fit(X, y, groups=groups)


# The offset


def _rings(n_tasks, n_rows, seed):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    X = random.uniform(-2, 2, size=(len(groups), 2))
    level = 2 * random.normal(size=n_tasks)[groups]
    logit = 8 * (np.hypot(*X.T) - 1.2) + level
    return X, (random.random(len(X)) < expit(logit)).astype(int), groups


def test_an_offset_helps_where_tasks_share_a_shape():
    trees = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    X, y, groups = _rings(100, 10, seed=18)
    models = [
        EmpiricalBayesClassifier("intercept", offset=offset).fit(X, y, groups=groups)
        for offset in (None, trees)
    ]
    X, y, groups = _rings(60, 20, seed=19)
    support = np.arange(len(X)) % 20 < 8
    losses = []
    for model in models:
        adapted = model.adapt(X[support], y[support], groups=groups[support])
        proba = adapted.predict_proba(X[~support], groups=groups[~support])
        losses.append(log_loss(y[~support], proba))
    pooled = log_loss(y[~support], models[1].offset_.predict_proba(X[~support]))
    assert losses[1] < 0.8 * losses[0]
    assert losses[1] < 0.95 * pooled


def test_an_offset_of_several_classes_and_names():
    X, y, groups = _blobs(30, 12, 3, own=False)
    names = np.array(["a", "b", "c"])[y]
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    model = EmpiricalBayesClassifier(offset=tree).fit(X, names, groups=groups)
    assert model.score(X, names, groups=groups) >= model.offset_.score(X, y)
    assert model.predict_proba(X, groups=groups).shape == (360, 3)


def test_an_offset_fold_may_lack_a_class():
    X, y, groups = _blobs(5, 12, 3, own=False)
    y[(groups > 0) & (y == 2)] = 0  # the third class is in one task only
    model = EmpiricalBayesClassifier(offset=LogisticRegression(), label_sets="shared")
    model.fit(X, y, groups=groups)
    assert np.isfinite(model.predict_proba(X, groups=groups)).all()


def test_nested_parameters_can_be_searched():
    X, y, groups = _rings(40, 10, seed=20)
    array = np.column_stack([X, groups])
    learner = EmpiricalBayesClassifier(
        offset=DecisionTreeClassifier(max_depth=1, min_samples_leaf=10), task_column=2
    )
    rows = np.arange(len(X))
    folds = [(rows[rows % 4 != fold], rows[rows % 4 == fold]) for fold in range(2)]
    search = GridSearchCV(
        learner, {"offset__max_depth": [1, 6]}, cv=folds, scoring="neg_log_loss"
    ).fit(array, y)
    assert search.best_params_ == {"offset__max_depth": 6}
