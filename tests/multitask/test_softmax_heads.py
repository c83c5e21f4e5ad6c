"""Logistic heads of all tasks at once, against scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skmeta.multitask import _softmax_heads
from skmeta.multitask._softmax_heads import fit_softmax_heads, softmax_scores
from skmeta.tasks import TaskTable


def ragged_tasks(seed, n_tasks, sizes, n_features, n_classes):
    """Return rows of length 1 whose classes depend on them, and their tasks."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_tasks), random.integers(*sizes, n_tasks))
    X = random.normal(size=(len(labels), n_features))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    weights = random.normal(size=(n_tasks, n_features, n_classes))[labels]
    y = np.einsum("nd,ndk->nk", X, weights).argmax(axis=1)
    table = TaskTable.from_labels(labels)
    return X[table.order], y[table.order], table


def rows_of(table, task):
    return slice(table.offsets[task], table.offsets[task + 1])


@pytest.mark.parametrize("strength", [0.1, 3.0, 30.0])
@pytest.mark.parametrize(
    ("sizes", "n_features", "n_classes"),
    [((1, 9), 3, 2), ((1, 9), 20, 2), ((2, 30), 6, 4), ((2, 12), 40, 5), ((40, 90), 5, 3)],
    ids=["two classes", "two classes, wide", "many classes", "many classes, wide", "many rows"],
)
def test_each_head_is_scikit_learns(sizes, n_features, n_classes, strength):
    X, y, table = ragged_tasks(0, 20, sizes, n_features, n_classes)
    heads, shown = fit_softmax_heads(X, y, table, n_classes, strength)
    scores = softmax_scores(X, table.owners, heads, shown)
    compared = 0
    for task in range(table.n_tasks):
        rows = rows_of(table, task)
        np.testing.assert_array_equal(np.flatnonzero(shown[task]), np.unique(y[rows]))
        if shown[task].sum() < 2:
            assert not heads[task].any()
            continue
        own = LogisticRegression(C=strength, tol=1e-9, max_iter=10_000).fit(X[rows], y[rows])
        compared += 1
        expected = np.full((len(X[rows]), n_classes), 1e-12)
        expected[:, own.classes_] = own.predict_proba(X[rows])
        np.testing.assert_allclose(np.exp(scores[rows]), expected, atol=2e-4)
    assert compared > 10


def test_the_gradient_of_the_objective_is_zero():
    X, y, table = ragged_tasks(1, 6, (4, 12), 30, 4)
    heads, shown = fit_softmax_heads(X, y, table, 4, 2.0)
    for task in range(table.n_tasks):
        rows, several = rows_of(table, task), shown[task].sum()
        P = np.exp(
            softmax_scores(X[rows], np.zeros(len(X[rows]), int), heads[[task]], shown[[task]])
        )
        error = 2 * (P - np.eye(4)[y[rows]]) * shown[task]
        weights = heads[task, :-1]
        np.testing.assert_allclose(
            X[rows].T @ error + (2 if several == 2 else 1) * weights, 0, atol=1e-4
        )
        np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-4)


def test_heads_do_not_depend_on_the_tasks_beside():
    X, y, table = ragged_tasks(2, 30, (2, 25), 8, 3)
    together, _ = fit_softmax_heads(X, y, table, 3, 3.0)
    for task in (0, 7, 29):
        rows = rows_of(table, task)
        alone, _ = fit_softmax_heads(X[rows], y[rows], TaskTable.single(len(X[rows])), 3, 3.0)
        np.testing.assert_allclose(alone[0], together[task], rtol=1e-6, atol=1e-9)


def test_chunks_do_not_matter(monkeypatch):
    X, y, table = ragged_tasks(3, 30, (2, 25), 8, 3)
    whole = fit_softmax_heads(X, y, table, 3, 3.0)
    scores = softmax_scores(X, table.owners, *whole)
    monkeypatch.setattr(_softmax_heads, "_ENTRIES", 200)
    parts = fit_softmax_heads(X, y, table, 3, 3.0)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(softmax_scores(X, table.owners, *parts), scores, atol=1e-9)


def test_it_tells_when_steps_run_out(monkeypatch):
    X, y, table = ragged_tasks(4, 5, (10, 20), 4, 3)
    monkeypatch.setattr(_softmax_heads, "_MOST_STEPS", 3)
    with pytest.warns(ConvergenceWarning, match="of 5 tasks did not converge in 3 steps"):
        fit_softmax_heads(X, y, table, 3, 3.0)


def test_a_task_without_rows_has_no_class():
    X, y, table = ragged_tasks(5, 1, (10, 11), 4, 2)
    both = TaskTable(np.arange(2), table.order, np.array([0, 0, 10]))
    heads, shown = fit_softmax_heads(X, y, both, 2, 3.0)
    assert not shown[0].any()
    assert not heads[0].any()
    assert shown[1].all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = softmax_scores(X[:1], np.zeros(1, int), heads, shown)
    np.testing.assert_allclose(scores, np.log(1e-12))
