"""Gaussian classes with a prior learned on training tasks, as heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestCentroid
from torch import nn

import skmeta
from skmeta import (
    GoodEmbeddingClassifier,
    GoodEmbeddingRegressor,
    MultiHeadClassifier,
    MultiHeadRegressor,
)
from skmeta.multitask._bayes_classes import BayesClasses
from skmeta.tasks import TaskTable

WITHIN = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])
BETWEEN = np.array([[3.0, -1.0, 0.5], [-1.0, 1.0, 0.0], [0.5, 0.0, 0.4]])
CENTERS = np.array([[0.0, 1.0, -2.0], [1.5, 0.0, 1.0]])
GIVEN = {"module": nn.Identity, "normalize_features": False, "max_iter": 1, "random_state": 0}


def drawn(n_tasks, n_classes, sizes, seed, *, shared, apart=1.0):
    """Return rows of the model, their classes and tasks; `sizes` are of classes."""
    random = np.random.default_rng(seed)
    n_rows = np.broadcast_to(sizes, (n_tasks, n_classes))
    owner, y = (np.repeat(a.ravel(), n_rows.ravel()) for a in np.indices((n_tasks, n_classes)))
    centers = apart * (CENTERS if shared else np.repeat(CENTERS[:1], n_classes, axis=0))
    means = centers + random.multivariate_normal(np.zeros(3), BETWEEN, (n_tasks, n_classes))
    return means[owner, y] + random.multivariate_normal(np.zeros(3), WITHIN, len(y)), y, owner


def learned(F, y, owner, n_classes=2, *, shared=True):
    return BayesClasses.learn(F, y, TaskTable.from_labels(owner), n_classes, shared=shared)


def scores(classes, support, F, n_classes=2):
    X, y = support
    table = TaskTable.single(len(X))
    state = classes.posterior(X, y, table, n_classes)
    return classes.scores(F, np.zeros(len(F), dtype=np.int64), *state)


def in_features(classes):
    """Return W and B in the coordinates of the features."""
    back = np.linalg.inv(classes.axes)
    return back.T @ back, back.T @ np.diag(classes.between) @ back


@pytest.mark.parametrize("shared", [True, False])
def test_the_prior_is_found_in_data_drawn_from_it(shared):
    random = np.random.default_rng(0)
    sizes = random.integers(1, 7, (4000, 2))
    classes = learned(*drawn(4000, 2, sizes, 1, shared=shared), shared=shared)
    within, between = in_features(classes)
    np.testing.assert_allclose(within, WITHIN, atol=0.1)
    np.testing.assert_allclose(between, BETWEEN, atol=0.2)
    assert classes.temperature < 1.1
    centers = classes.centers @ np.linalg.inv(classes.axes)
    expected = CENTERS if shared else np.repeat(CENTERS[:1], 2, axis=0)
    np.testing.assert_allclose(centers, expected, atol=0.1)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (4, 0), (0, 0)])
def test_a_score_is_the_density_of_a_row_given_those_of_its_class(sizes):
    """By conditioning one Gaussian of all rows of a class, without any posterior of its mean."""
    classes = replace(learned(*drawn(40, 2, 5, 0, shared=True)), temperature=1.0)
    within, between = in_features(classes)
    centers = classes.centers @ np.linalg.inv(classes.axes)
    random = np.random.default_rng(1)
    y = np.repeat([0, 1], sizes)
    X, new = random.normal(size=(max(len(y), 1), 3)), random.normal(size=(5, 3))
    table = TaskTable(np.array([0]), np.arange(len(y)), np.array([0, len(y)]))
    found = classes.scores(new, np.zeros(5, int), *classes.posterior(X, y, table, 2))
    for k, n in enumerate(sizes):
        joint = np.kron(np.eye(n + 1), within) + np.kron(np.ones((n + 1, n + 1)), between)
        mean = np.tile(centers[k], n + 1)
        rows = X[: len(y)][y == k].ravel()
        alone = multivariate_normal(mean[:-3], joint[:-3, :-3]).logpdf(rows) if n else 0.0
        together = [multivariate_normal(mean, joint).logpdf(np.append(rows, f)) for f in new]
        expected = np.array(together) - alone + np.log(n + 1)
        constant = 1.5 * np.log(2 * np.pi) - np.linalg.slogdet(classes.axes)[1]
        np.testing.assert_allclose(found[:, k] - constant, expected, rtol=1e-6, atol=1e-6)


def test_rotating_the_features_changes_nothing():
    F, y, owner = drawn(300, 2, 10, 0, shared=True)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    support = (F[:6], np.array([0, 0, 1, 1, 1, 0]))
    given = scores(learned(F, y, owner), support, F[6:40])
    turned = scores(learned(F @ turn, y, owner), (support[0] @ turn, support[1]), F[6:40] @ turn)
    np.testing.assert_allclose(turned, given, rtol=1e-8)


def test_classes_that_scatter_far_and_round_are_told_by_their_centroids():
    random = np.random.default_rng(0)
    means = random.normal(size=(400, 2, 4)) * 1e3
    F = (means[:, :, None] + random.normal(size=(400, 2, 30, 4))).reshape(-1, 4)
    owner, y = (a.ravel() for a in np.indices((400, 2, 30))[:2])
    classes = learned(F, y, owner, shared=False)
    X, own = random.normal(size=(8, 4)), np.repeat([0, 1], 4)
    new = random.normal(size=(200, 4))
    centroids = NearestCentroid().fit(X, own)
    found = scores(classes, (X, own), new).argmax(axis=1)
    assert np.mean(found == centroids.predict(new)) > 0.97


def test_one_task_is_linear_discriminant_analysis():
    F, y, _ = drawn(1, 2, 400, 0, shared=True)
    model = MultiHeadClassifier(head="bayes", **GIVEN).fit(F, y)
    expected = LinearDiscriminantAnalysis().fit(F, y)
    found = model.predict_proba(F)
    np.testing.assert_allclose(found, expected.predict_proba(F), atol=0.02)


def test_a_task_of_one_class_knows_the_other_from_the_prior():
    F, y, owner = drawn(200, 2, 8, 0, shared=True, apart=0.3)
    model = MultiHeadClassifier(head="bayes", label_sets="shared", **GIVEN).fit(F, y, groups=owner)
    new, kinds, tasks = drawn(100, 2, 8, 1, shared=True, apart=0.3)
    known = (kinds == 0) & (np.arange(len(kinds)) % 8 < 4)
    adapted = model.adapt(new[known], kinds[known], groups=tasks[known])
    told = adapted.score(new[~known], kinds[~known], groups=tasks[~known])
    with pytest.warns(skmeta.UnseenTaskWarning):
        prior = model.score(new[~known], kinds[~known], groups=tasks[~known] + 1000)
    assert 0.6 < prior < told - 0.02


def test_frequent_classes_are_expected_again():
    F, y, owner = drawn(100, 2, (2, 18), 0, shared=True)
    classes = learned(F, y, owner)
    np.testing.assert_allclose(classes.pseudocounts, [0.2, 1.8])
    F, y, owner = drawn(100, 2, (2, 18), 0, shared=False)
    np.testing.assert_allclose(learned(F, y, owner, 1, shared=False).pseudocounts, [1.0])


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_said_of_features_that_are_not_gaussian_is_cooled_down(shared):
    """Classes that scatter by factors of their own have no covariance in common."""

    def uneven(seed):
        random = np.random.default_rng(seed)
        owner, y = (a.ravel() for a in np.indices((100, 2, 10))[:2])
        means = random.normal(size=(100, 2, 20))
        scale = np.exp(random.normal(size=(100, 2, 1)))
        rows = means[owner, y] + scale[owner, y] * random.normal(size=(len(y), 20))
        return rows, y, owner

    model = MultiHeadClassifier(head="bayes", label_sets="shared" if shared else "own", **GIVEN)
    F, y, owner = uneven(0)
    model.fit(F, y, groups=owner)
    assert model.bayes_head_.temperature > 1.2
    F, y, owner = uneven(1)
    few = np.arange(len(y)) % 10 < 3
    loss = {}
    for temperature in (model.bayes_head_.temperature, 1.0):
        model.bayes_head_ = replace(model.bayes_head_, temperature=temperature)
        told = model.adapt(F[few], y[few], groups=owner[few])
        loss[temperature] = log_loss(y[~few], told.predict_proba(F[~few], groups=owner[~few]))
    first, without = loss.values()
    assert first < 0.95 * without


@pytest.mark.parametrize("learner", [MultiHeadClassifier, GoodEmbeddingClassifier])
@pytest.mark.parametrize("n_shots", [1, 5])
def test_the_prior_helps_where_rows_are_few(learner, n_shots):
    gains = []
    for seed in range(5):
        F, y, owner = drawn(40, 5, 10, seed, shared=False)
        model = learner(head="bayes", label_sets="own", **GIVEN).fit(F, y, groups=owner)
        new, kinds, tasks = drawn(40, 5, n_shots + 5, 100 + seed, shared=False)
        first = np.arange(len(kinds)) % (n_shots + 5) < n_shots
        rest = new[~first], kinds[~first]
        told = model.adapt(new[first], kinds[first], groups=tasks[first])
        plain = model.set_params(head=LogisticRegression())
        plain = plain.adapt(new[first], kinds[first], groups=tasks[first])
        found = [m.score(*rest, groups=tasks[~first]) for m in (told, plain)]
        gains.append(found[0] - found[1])
    assert np.mean(gains) > 0.01
    assert min(gains) > 0


@pytest.mark.parametrize(
    ("learner", "allowed"),
    [
        (MultiHeadClassifier, "'bayes' or a"),
        (MultiHeadRegressor, "'bayes' or a"),
        (GoodEmbeddingClassifier, "'bayes' or a"),
        (GoodEmbeddingRegressor, "a"),
    ],
)
def test_a_wrong_head_is_named(learner, allowed):
    F, y, owner = drawn(5, 2, 5, 0, shared=True)
    with pytest.raises(ValueError, match=f"head='ridge' must be {allowed} scikit-learn estimator"):
        learner(head="ridge", max_iter=1).fit(F, y, groups=owner)
