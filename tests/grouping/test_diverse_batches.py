"""Meta-training on diverse meta-batches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _deep import weights
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    DiverseBatches,
    EpisodicKFold,
    HeTRoM,
    MultiHeadRegressor,
    PrototypicalClassifier,
    RidgeHeadRegressor,
    TaskEmbedding,
    TaskGrouping,
)
from skmeta.grouping._diverse_batches import _factor

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 12, "meta_batch_size": 4, "random_state": 0}
EMBEDDING = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=200, random_state=0)
LEARNER = RidgeHeadRegressor(n_shots=3, **SHORT)
METHODS = pytest.mark.parametrize("method", ["dpp", "farthest"])


def lopsided(n_tasks=30, n_rare=3, n_rows=12, seed=0):
    """Return linear tasks, the first few of which have the opposite slope."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    X = random.normal(size=(len(groups), 3))
    slope = np.where(np.arange(n_tasks) < n_rare, -2.0, 2.0) + 0.05 * random.normal(size=n_tasks)
    return X, X[:, 0] * slope[groups] + 0.1 * random.normal(size=len(groups)), groups


def diverse(learner=LEARNER, **params):
    return DiverseBatches(learner, **{"embedding": EMBEDDING, "random_state": 0} | params)


@METHODS
def test_rare_kinds_of_tasks_are_drawn_more_often(method):
    X, y, groups = lopsided()
    model = diverse(method=method).fit(X, y, groups=groups)
    choose = model.estimator_._outer.choose
    drawn = choose(np.random.default_rng(0), np.arange(30), 2000, 4)
    rare = np.asarray(model.tasks_, dtype=int)[drawn] < 3
    assert rare.any(axis=1).mean() > 0.7  # uniformly it is 0.36
    assert all(len(set(batch)) == 4 for batch in drawn.tolist())


@METHODS
@pytest.mark.parametrize("learner", [LEARNER, MultiHeadRegressor(**SHORT)], ids=str)
def test_it_changes_the_learner_and_is_reproducible(method, learner):
    X, y, groups = lopsided()
    one, other = (weights(diverse(learner, method=method).fit(X, y, groups)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.allclose(one, weights(clone(learner).fit(X, y, groups=groups)), rtol=1e-6)


@METHODS
def test_the_order_of_rows_and_the_names_of_tasks_do_not_matter(method):
    X, y, groups = lopsided()
    order = np.random.default_rng(0).permutation(len(X))
    names = np.array([f"task {29 - g}" for g in range(30)])
    one = diverse(method=method).fit(X, y, groups)
    other = diverse(method=method).fit(X[order], y[order], names[groups][order])
    assert torch.equal(weights(one), weights(other))


def test_similarity_is_1_for_tasks_alike_and_0_for_opposite_ones():
    E = np.array([[1.0, 2], [3, 6], [-1, -2], [2, -1]])
    B = _factor(E, None)
    L = B @ B.T
    np.testing.assert_allclose(np.diag(L), 1)
    np.testing.assert_allclose([L[0, 1], L[0, 2], L[0, 3]], [1, 0, 0.5], atol=1e-12)


def test_tensors_of_a_fisher_information_count_alike():
    E = np.random.default_rng(0).random((10, 7))
    scaled = E * np.repeat([1.0, 1e-4], [3, 4])
    np.testing.assert_allclose(_factor(scaled, (3, 4)), _factor(E, (3, 4)))


@METHODS
def test_it_nests(method):
    X, y, groups = lopsided()
    for model in (HeTRoM(diverse(method=method)), diverse(HeTRoM(LEARNER), method=method)):
        fitted = clone(model).fit(X, y, groups=groups)
        assert fitted.task_selection_.shape == (12, 30)
        assert fitted.task_embeddings_.shape == (30, 9)
        adapted = fitted.adapt(X[:5], y[:5])
        again = pickle.loads(pickle.dumps(adapted))
        np.testing.assert_array_equal(again.predict(X), adapted.predict(X))


@pytest.mark.parametrize(
    "estimator",
    [
        diverse(diverse()),
        diverse(TaskGrouping(LEARNER, n_groups=2, embedding=EMBEDDING, random_state=0)),
        TaskGrouping(diverse(), n_groups=2, embedding=EMBEDDING, random_state=0),
    ],
    ids=["diverse in diverse", "groups in diverse", "diverse in groups"],
)
def test_only_one_draws_the_tasks(estimator):
    X, y, groups = lopsided()
    with pytest.raises(ValueError, match="each of these two draws the tasks of meta-batches"):
        estimator.fit(X, y, groups=groups)
    assert not hasattr(estimator, "estimator_")


def test_errors():
    X, y, groups = lopsided()
    with pytest.raises(ValueError, match="method='k-dpp' must be one of"):
        diverse(method="k-dpp").fit(X, y, groups)


@METHODS
@pytest.mark.parametrize("embedding", ["fisher", "gradient", StandardScaler()], ids=str)
def test_embeddings_and_meta_batches_of_all_tasks(method, embedding):
    X, y, groups = lopsided(n_tasks=8)
    learner = clone(LEARNER).set_params(max_iter=2, meta_batch_size=16)
    if isinstance(embedding, str):
        embedding = clone(EMBEDDING).set_params(embedding=embedding, max_iter=5)
    model = DiverseBatches(learner, method=method, embedding=embedding, random_state=0)
    assert model.fit(X, y, groups).task_embeddings_.shape[0] == 8


@METHODS
def test_classifiers_of_drawn_classes(method):
    X, y, _ = lopsided()
    classes = np.digitize(y, [-1, 0, 1])
    model = diverse(PrototypicalClassifier(n_way=2, n_shots=2, **SHORT), method=method)
    assert model.fit(X, classes).n_iter_ == 12


def test_it_goes_where_scikit_learns_estimators_go():
    X, y, groups = lopsided()
    rows = np.column_stack([groups, X])
    search = GridSearchCV(
        diverse(clone(LEARNER).set_params(task_column=0)),
        {"method": ["dpp", "farthest"], "estimator__lr": [0.01]},
        cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0),
        error_score="raise",
    ).fit(rows, y)
    assert skmeta.adapt(search, rows[:5], y[:5]).predict(rows[5:7]).shape == (2,)
