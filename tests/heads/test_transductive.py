"""Rows that are predicted together: soft k-means, a graph of neighbours, and their energy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax, xlogy
from sklearn.neighbors import NearestNeighbors
from torch import nn

import skmeta
from skmeta import PrototypicalClassifier
from skmeta.heads._transductive import NeighbourGraph, cluster_jointly
from skmeta.utils import meta_learner_checks

SIZES = (12, 2, 30, 4, 3)  # query rows of each task
N_CLASSES = 3


@pytest.fixture(scope="module")
def ragged():
    """Return padded rows whose padding is far off, their mask, and supports."""
    rng = np.random.default_rng(0)
    width = max(SIZES)
    features = rng.normal(size=(len(SIZES), width, 4))
    mask = (np.arange(width) < np.array(SIZES)[:, None]).astype(float)
    features[mask == 0] = 50.0
    prototypes = rng.normal(size=(len(SIZES), N_CLASSES, 4))
    counts = rng.integers(1, 4, size=(len(SIZES), N_CLASSES)).astype(float)
    return [torch.as_tensor(array) for array in (features, mask, prototypes, counts)]


def cluster(ragged, smoothness, scale=0.5, **params):
    features, mask, m, n = ragged

    def logits(c):
        return -scale * torch.cdist(features, c).square()

    support = {"prototypes": m, "counts": n}
    found = cluster_jointly(
        features, mask, support, logits, scale=scale, smoothness=smoothness, **params
    )
    return [part.numpy() for part in found]


def graph_of(F):
    """Return W of one task as a dense matrix."""
    n_neighbours = min(3, len(F) - 1)
    W = NearestNeighbors(n_neighbors=n_neighbours).fit(F).kneighbors_graph().toarray()
    return (W + W.T) / 2


def means_of(F, Y, m, n):
    return (n[:, None] * m + Y.T @ F) / (n + Y.sum(axis=0))[:, None]


def plain_logits(F, c, scale):
    return -scale * np.square(F[:, None] - c).sum(axis=2)


def energy_of(F, Y, m, n, smoothness, scale):
    c = means_of(F, Y, m, n)
    pull = smoothness * graph_of(F) @ Y
    rows = xlogy(Y, Y) - Y * (plain_logits(F, c, scale) + pull / 2)
    return rows.sum() + scale * (n * np.square(c - m).sum(axis=1)).sum()


def tasks_of(ragged):
    for F, mask, m, n in zip(*(part.numpy() for part in ragged), strict=True):
        yield F[mask > 0], m, n


def test_neighbours_are_those_of_scikit_learn(ragged):
    features, mask, *_ = ragged
    eye = torch.eye(features.shape[1], dtype=torch.float64).expand(len(SIZES), -1, -1)
    found = NeighbourGraph.of(features, mask).spread(eye).numpy()
    for W, (F, _, _) in zip(found, tasks_of(ragged), strict=True):
        np.testing.assert_array_equal(W[: len(F), : len(F)], graph_of(F))
        assert not W[len(F) :].any()
        assert not W[:, len(F) :].any()


@pytest.mark.parametrize("smoothness", [0.0, 0.7])
def test_is_a_plain_loop(ragged, smoothness):
    """Without smoothness, of soft k-means in which labelled rows stay where they are."""
    for n_sweeps in (0, 1, 5):
        found, _ = cluster(ragged, smoothness, n_sweeps=n_sweeps)
        for logits, (F, m, n) in zip(found, tasks_of(ragged), strict=True):
            expected = plain_logits(F, m, 0.5)
            for _ in range(n_sweeps):
                Y = softmax(expected, axis=1)
                expected = plain_logits(F, means_of(F, Y, m, n), 0.5)
                expected = expected + smoothness * graph_of(F) @ Y
            np.testing.assert_allclose(
                softmax(logits[: len(F)], axis=1), softmax(expected, axis=1), atol=1e-9
            )


def test_where_clusters_are_sharp_it_is_k_means(ragged):
    logits, _ = cluster(ragged, 0.0, scale=200.0, n_sweeps=100)
    for found, (F, m, n) in zip(logits, tasks_of(ragged), strict=True):
        c, label = m, None
        for _ in range(100):
            label = np.square(F[:, None] - c).sum(axis=2).argmin(axis=1)
            c = means_of(F, np.eye(N_CLASSES)[label], m, n)
        np.testing.assert_array_equal(found[: len(F)].argmax(axis=1), label)


@pytest.mark.parametrize("smoothness", [0.0, 0.7, 5.0, 50.0])
def test_no_sweep_raises_the_energy(ragged, smoothness):
    energies = []
    for n_sweeps in range(12):
        logits, energy = cluster(ragged, smoothness, n_sweeps=n_sweeps)
        for found, reached, (F, m, n) in zip(logits, energy, tasks_of(ragged), strict=True):
            Y = softmax(found[: len(F)], axis=1)
            assert reached == pytest.approx(energy_of(F, Y, m, n, smoothness, 0.5))
        energies.append(energy)
    assert (np.diff(energies, axis=0) <= 1e-12).all()
    assert (energies[-1] < energies[0]).all()


def test_a_sweep_of_all_rows_at_once_may_raise_the_energy():
    """Two pairs of neighbours that want to swap classes would do so for ever."""
    F = np.array([[-0.1], [0.1]])
    m, n = np.array([[-1.0], [1.0]]), np.full(2, 1e9)
    before = softmax(plain_logits(F, m, 0.5), axis=1)
    after = softmax(plain_logits(F, m, 0.5) + 50 * graph_of(F) @ before, axis=1)
    assert energy_of(F, after, m, n, 50, 0.5) > energy_of(F, before, m, n, 50, 0.5)
    rows = [torch.as_tensor(part)[None] for part in (F, np.ones(2), m, n)]
    logits, _ = cluster(rows, 50.0)
    np.testing.assert_allclose(softmax(logits[0], axis=1), before)


def test_it_ends_where_nothing_moves(ragged):
    found, _ = cluster(ragged, 0.7, n_sweeps=1000)
    for logits, (F, m, n) in zip(found, tasks_of(ragged), strict=True):
        Y = softmax(logits[: len(F)], axis=1)
        following = plain_logits(F, means_of(F, Y, m, n), 0.5) + 0.7 * graph_of(F) @ Y
        np.testing.assert_allclose(softmax(following, axis=1), Y, atol=1e-6)


def test_support_rows_keep_their_labels(ragged):
    """Many of them hold prototypes where they are, whatever is asked."""
    features, mask, m, n = ragged
    found, _ = cluster([features, mask, m, 1e12 * n], 0.0)
    for logits, (F, prototypes, _) in zip(found, tasks_of(ragged), strict=True):
        np.testing.assert_allclose(logits[: len(F)], plain_logits(F, prototypes, 0.5), atol=1e-8)


def test_neighbours_are_found_in_blocks(ragged, monkeypatch):
    features, mask, *_ = ragged
    whole = NeighbourGraph.of(features, mask)
    monkeypatch.setattr("skmeta.heads._transductive._ENTRIES", 7 * features[..., 0].numel())
    blocks = NeighbourGraph.of(features, mask)
    np.testing.assert_array_equal(whole.weight, blocks.weight)
    np.testing.assert_array_equal(
        whole.index * whole.weight.bool(), blocks.index * blocks.weight.bool()
    )


# The estimator


@pytest.fixture(scope="module")
def tasks():
    """Return support and query of new tasks with 2 to 5 classes and 1 to 20 query rows."""
    made = skmeta.make_classification_tasks(
        6, 40, 4, shared_labels=False, n_classes=12, n_ways=5, random_state=0
    )
    place = np.tile(np.arange(40), 6)
    n_ways, n_queries = np.array([5, 2, 3, 5, 4, 2]), np.array([20, 1, 2, 12, 20, 20])
    kept = place % 5 < n_ways[made.groups]
    shown = kept & (place < 5)
    asked = kept & (place >= 5) & (place < 5 + n_queries[made.groups])
    return made, shown, asked


def on_given_features(made, **params):
    model = PrototypicalClassifier(module=nn.Identity, max_iter=0, **params)
    return model.fit(made.data, made.target, groups=made.groups)


def test_tasks_asked_together_are_each_alone(tasks):
    made, shown, asked = tasks
    model = on_given_features(made, transductive=True, label_sets="own")
    many = model.adapt(made.data[shown], made.target[shown], groups=made.groups[shown])
    together = many.predict_proba(made.data[asked], groups=made.groups[asked])
    for task in range(6):
        mine = made.groups == task
        one = model.adapt(made.data[shown & mine], made.target[shown & mine])
        found = together[made.groups[asked] == task][:, np.isin(many.classes_, one.classes_)]
        np.testing.assert_allclose(found, one.predict_proba(made.data[asked & mine]), atol=1e-9)
        np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_a_row_alone_is_predicted_as_by_default(tasks):
    made, shown, asked = tasks
    model = on_given_features(made, label_sets="own")
    model = model.adapt(made.data[shown], made.target[shown], groups=made.groups[shown])
    first = [np.flatnonzero(asked & (made.groups == task))[0] for task in range(6)]
    expected = model.predict_proba(made.data[first], groups=made.groups[first])
    whole = model.predict_proba(made.data[asked], groups=made.groups[asked])
    model.set_params(transductive=True)
    found = model.predict_proba(made.data[first], groups=made.groups[first])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    moved = model.predict_proba(made.data[asked], groups=made.groups[asked]) - whole
    several = made.groups[asked] != 1
    assert np.abs(moved[several]).max(axis=1).min() > 0
    model.set_params(transductive=False, smoothness=9.0)
    again = model.predict_proba(made.data[asked], groups=made.groups[asked])
    np.testing.assert_array_equal(again, whole)


def test_the_order_of_rows_does_not_matter(tasks):
    made, shown, asked = tasks
    model = on_given_features(made, transductive=True, label_sets="own")
    model = model.adapt(made.data[shown], made.target[shown], groups=made.groups[shown])
    rows = np.flatnonzero(asked)
    order = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_allclose(
        model.predict_proba(made.data[rows[order]], groups=made.groups[rows[order]]),
        model.predict_proba(made.data[rows], groups=made.groups[rows])[order],
        atol=1e-9,
    )


@pytest.mark.parametrize("shared_labels", [True, False])
def test_tasks_never_seen_and_classes_without_rows(shared_labels):
    made = skmeta.make_classification_tasks(20, 12, 3, shared_labels=shared_labels, random_state=0)
    model = PrototypicalClassifier(transductive=True, max_iter=5, random_state=0)
    model.fit(made.data, made.target, groups=made.groups)
    with pytest.warns(skmeta.UnseenTaskWarning):
        proba = model.predict_proba(made.data, groups=np.full(len(made.data), -1))
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    if shared_labels:
        one_class = made.target == made.target[0]
        adapted = model.adapt(made.data[one_class][:2], made.target[one_class][:2])
        proba = adapted.predict_proba(made.data)
        assert (proba > 0).all()


def test_the_float_type_is_kept(tasks):
    made, shown, asked = tasks
    model = PrototypicalClassifier(module=nn.Identity, max_iter=0, transductive=True)
    X = made.data.astype(np.float32)
    model.fit(X, made.target, groups=made.groups)
    model = model.adapt(X[shown], made.target[shown], groups=made.groups[shown])
    assert model.predict_proba(X[asked], groups=made.groups[asked]).dtype == np.float32


def test_with_one_shot_it_is_more_accurate():
    """On tasks with as many rows of each class."""
    gains = []
    for seed in range(5):
        made = skmeta.make_classification_tasks(
            80, 80, 8, shared_labels=False, n_classes=80, n_ways=5, random_state=seed
        )
        new = made.groups >= 40
        model = PrototypicalClassifier(n_shots=2, max_iter=100, random_state=seed)
        model.fit(made.data[~new], made.target[~new], groups=made.groups[~new])
        X, y, groups = made.data[new], made.target[new], made.groups[new]
        shown = np.arange(len(X)) % 80 < 5
        model = model.adapt(X[shown], y[shown], groups=groups[shown])
        scores = [
            model.set_params(transductive=together).score(
                X[~shown], y[~shown], groups=groups[~shown]
            )
            for together in (False, True)
        ]
        gains.append(scores[1] - scores[0])
    assert min(gains) > 0.02
    assert np.mean(gains) > 0.04


TOGETHER = PrototypicalClassifier(
    transductive=True,
    n_shots=(1, 5),
    hidden_layer_sizes=(8,),
    max_iter=40,
    meta_batch_size=4,
    lr=2e-2,
    random_state=0,
)


@pytest.mark.parametrize(
    "check", list(meta_learner_checks(TOGETHER)), ids=lambda check: check.__name__
)
def test_it_keeps_the_contract_but_for_one_clause(check):
    if check.__name__ == "check_predictions_do_not_depend_on_other_rows":
        with pytest.raises(AssertionError, match="Not equal"):
            check(TOGETHER)
    else:
        check(TOGETHER)


def test_wrong_smoothness_is_named(tasks):
    with pytest.raises(ValueError, match="smoothness"):
        on_given_features(tasks[0], smoothness=-0.1)
