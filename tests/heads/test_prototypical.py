"""Prototypical and matching networks in the cases that have another name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import nn

import skmeta
from skmeta import MatchingClassifier, PrototypicalClassifier

CLASSES = np.array(["a", "b", "c", "d"])


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = np.tile(CLASSES, 15)
    X = rng.normal(size=(60, 3)) + 2 * np.searchsorted(CLASSES, y)[:, None] * [1, -1, 0.5]
    return X, y


def on_given_features(cls, X, y, **params):
    return cls(module=nn.Identity, max_iter=0, **params).fit(X, y)


def test_on_given_features_is_the_nearest_centroid(rows):
    X, y = rows
    model = on_given_features(PrototypicalClassifier, X, y).adapt(X[:20], y[:20])
    expected = NearestCentroid().fit(X[:20], y[:20])
    assert (model.predict(X) == expected.predict(X)).all()


def test_is_discriminant_analysis_with_the_identity_as_covariance(rows):
    """Squared distances of temperature 2 are Gaussian log-likelihoods."""
    X, y = rows
    model = on_given_features(PrototypicalClassifier, X, y)
    with torch.no_grad():
        model.net_.module_.log_temperature.fill_(np.log(2.0))
    analysis = LinearDiscriminantAnalysis(
        solver="lsqr", priors=np.full(4, 0.25), covariance_estimator=_Identity()
    ).fit(X[:20], y[:20])
    np.testing.assert_allclose(
        model.adapt(X[:20], y[:20]).predict_proba(X), analysis.predict_proba(X), rtol=1e-6
    )


class _Identity:
    def fit(self, X):
        self.covariance_ = np.eye(X.shape[1])
        return self


@pytest.mark.parametrize("cls", [PrototypicalClassifier, MatchingClassifier])
def test_with_one_row_of_each_class_it_is_the_nearest_neighbour(rows, cls):
    X, y = rows
    neighbours = KNeighborsClassifier(
        1, metric="cosine" if cls is MatchingClassifier else "euclidean"
    ).fit(X[:4], y[:4])
    found = on_given_features(cls, X, y).adapt(X[:4], y[:4]).predict(X)
    assert (found == neighbours.predict(X)).all()


def test_prototypes_move_with_the_features(rows):
    X, y = rows
    model = on_given_features(PrototypicalClassifier, X, y)
    shift = np.array([10.0, -3.0, 5.0])
    np.testing.assert_allclose(
        model.adapt(X[:9], y[:9]).predict_proba(X),
        model.adapt(X[:9] + shift, y[:9]).predict_proba(X + shift),
        atol=1e-9,
    )


def test_attention_is_a_softmax_of_cosines(rows):
    X, y = rows
    model = on_given_features(MatchingClassifier, X, y).adapt(X[:20], y[:20])
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    weight = np.exp(unit @ unit[:20].T / 0.1)
    expected = weight @ (y[:20, None] == CLASSES) / weight.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-6)


@pytest.mark.parametrize("cls", [PrototypicalClassifier, MatchingClassifier])
def test_training_with_more_classes_than_are_met_in_use(cls):
    tasks = skmeta.make_classification_tasks(
        40, 24, 12, shared_labels=False, n_classes=12, n_ways=4, random_state=0
    )
    model = cls(n_way=8, n_shots=2, max_iter=100, random_state=0).fit(tasks.data, tasks.target)
    for n_ways in (2, 5, 12):
        chosen = np.isin(tasks.target, np.unique(tasks.target)[:n_ways])
        new = model.adapt(tasks.data[chosen], tasks.target[chosen])
        assert new.predict_proba(tasks.data[chosen]).shape[1] == n_ways
        error = 1 - new.score(tasks.data[chosen], tasks.target[chosen])
        assert error < 0.7 * (1 - 1 / n_ways)  # of what guessing gives


@pytest.mark.parametrize("cls", [PrototypicalClassifier, MatchingClassifier])
def test_a_class_without_rows_keeps_a_learned_share(cls):
    """Else a task whose few rows miss a class could never be told it."""
    tasks = skmeta.make_classification_tasks(60, 12, 3, random_state=0)
    model = cls(n_shots=(1, 4), max_iter=200, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    missed = model.net_.module_.absent.features
    assert missed.abs().max() > 0
    proba = model.adapt(tasks.data[:1], tasks.target[:1]).predict_proba(tasks.data)
    assert proba.shape[1] == 2
    assert (proba > 1e-6).all()


def test_support_sizes_far_apart_share_a_state():
    """Attention keeps the support rows, padded to the largest task."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = CLASSES[rng.integers(0, 4, 400)]
    groups = np.repeat([0, 1, 2], [4, 30, 366])
    model = on_given_features(MatchingClassifier, X, y, label_sets="shared")
    together = model.adapt(X, y, groups=groups)
    for task in range(3):
        mine = groups == task
        np.testing.assert_allclose(
            together.predict_proba(X, groups=np.full(400, task)),
            model.adapt(X[mine], y[mine]).predict_proba(X),
            rtol=1e-6,
        )
