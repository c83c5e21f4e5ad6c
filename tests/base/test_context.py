"""Which rows to label: typical ones by a mixture, or those that a posterior is least sure of."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from _instances import INSTANCES
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skmeta
from skmeta import (
    BayesianHeadRegressor,
    DeepKernelRegressor,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    MultiHeadRegressor,
    PerTask,
    PrototypicalClassifier,
    Shared,
    select_context,
)

TASKS = skmeta.make_linear_tasks(30, 12, 3, noise=0.3, random_state=0)
POOL = skmeta.make_linear_tasks(4, (8, 20), 3, noise=0.3, random_state=1)
QUICK = {"max_iter": 20, "hidden_layer_sizes": (8,), "random_state": 0}

LEARNERS = {
    "empirical bayes": EmpiricalBayesRegressor(),
    "bayesian head": BayesianHeadRegressor(**QUICK),
    "deep kernel": DeepKernelRegressor(**QUICK),
    "multi-head": MultiHeadRegressor(**QUICK),
    "multi-head ridge": MultiHeadRegressor(head=Ridge(), **QUICK),
    "prototypes": PrototypicalClassifier(**QUICK),
    "no representation": EmpiricalBayesClassifier(),
}


@pytest.fixture(scope="module", params=LEARNERS)
def model(request):
    learner = LEARNERS[request.param]
    y = TASKS.target > 0 if is_classifier(learner) else TASKS.target
    return clone(learner).fit(TASKS.data, y, groups=TASKS.groups)


def contents(X, selected):
    return sorted(map(tuple, X[selected]))


def test_rows_of_each_task(model):
    selected = select_context(model, POOL.data, 5, groups=POOL.groups, random_state=0)
    assert_array_equal(POOL.groups[selected], np.repeat(np.arange(4), 5))
    assert len(set(selected)) == 20


def test_tasks_together_are_each_alone(model):
    together = select_context(model, POOL.data, 3, groups=POOL.groups, random_state=0)
    for task, found in enumerate(together.reshape(4, 3)):
        mine = np.flatnonzero(POOL.groups == task)
        alone = select_context(model, POOL.data[mine], 3, random_state=0)
        assert_array_equal(found, mine[alone])


def test_all_rows_if_that_is_what_was_asked(model):
    for n_rows in (1, 6):
        selected = select_context(model, POOL.data[:n_rows], n_rows, random_state=0)
        assert sorted(selected) == list(range(n_rows))
    equal = np.repeat(POOL.data[:2], [3, 1], axis=0)
    assert sorted(select_context(model, equal, 4, random_state=0)) == [0, 1, 2, 3]


def test_copies_and_the_order_of_rows_do_not_matter(model):
    X = POOL.data[POOL.groups == 3]
    expected = contents(X, select_context(model, X, 4, random_state=0))
    order = np.random.default_rng(0).permutation(len(X))
    assert contents(X[order], select_context(model, X[order], 4, random_state=0)) == expected
    copied = np.concatenate([X, X[::2], X[::2], X[1:2]])
    assert contents(copied, select_context(model, copied, 4, random_state=0)) == expected


def test_what_is_known_of_tasks_does_not_matter(model):
    """No label reaches it, not even those of the same rows."""
    y = model.predict(TASKS.data, groups=TASKS.groups)
    expected = select_context(model, TASKS.data, 2, groups=TASKS.groups + 100, random_state=0)
    for known in (model, model.adapt(TASKS.data, y, groups=TASKS.groups)):
        found = select_context(known, TASKS.data, 2, groups=TASKS.groups, random_state=0)
        assert_array_equal(found, expected)


def test_tasks_of_the_pool_need_not_be_known():
    model = EmpiricalBayesRegressor(unseen="raise")
    model.fit(TASKS.data, TASKS.target, groups=TASKS.groups)
    assert len(select_context(model, POOL.data, 2, groups=POOL.groups + 100)) == 8
    assert_array_equal(np.sort(model.tasks_), np.arange(30))


def test_the_same_random_state_selects_the_same(model):
    once, again = (
        select_context(model, POOL.data, 4, groups=POOL.groups, random_state=7) for _ in range(2)
    )
    assert_array_equal(once, again)


def test_the_method_of_a_learner_that_allows_both():
    model = EmpiricalBayesRegressor().fit(TASKS.data, TASKS.target, groups=TASKS.groups)
    by = {
        method: select_context(
            model, POOL.data, 4, groups=POOL.groups, method=method, random_state=0
        )
        for method in ("auto", "variance", "mixture")
    }
    assert_array_equal(by["auto"], by["variance"])
    left = {}
    for method, rows in by.items():
        known = model.adapt(POOL.data[rows], np.zeros(16), groups=POOL.groups[rows])
        _, std = known.predict(POOL.data, groups=POOL.groups, return_std=True)
        left[method] = np.mean(std**2)
    assert left["variance"] < left["mixture"]


# What it selects from


def test_a_pipeline_selects_behind_its_transformers():
    scaler = StandardScaler().fit(TASKS.data * [1, 10, 100])
    X, pool = (scaler.transform(rows * [1, 10, 100]) for rows in (TASKS.data, POOL.data))
    expected = select_context(
        EmpiricalBayesRegressor().fit(X, TASKS.target, groups=TASKS.groups),
        pool,
        4,
        groups=POOL.groups,
    )
    rows, pool = (
        np.column_stack([tasks.groups, tasks.data * [1, 10, 100]]) for tasks in (TASKS, POOL)
    )
    pipe = make_pipeline(
        "passthrough",
        Shared(StandardScaler(), task_column=0),
        EmpiricalBayesRegressor(task_column=0),
    ).fit(rows, TASKS.target)
    assert_array_equal(select_context(pipe, pool, 4), expected)
    search = GridSearchCV(pipe, {"empiricalbayesregressor__effects": ["full"]}, cv=2)
    with pytest.warns(skmeta.UnseenTaskWarning):
        search.fit(rows, TASKS.target)
    assert_array_equal(select_context(search, pool, 4), expected)


def test_a_transformer_of_each_task_is_fitted_to_the_pool():
    rows, pool = (np.column_stack([tasks.groups, tasks.data]) for tasks in (TASKS, POOL))
    pipe = make_pipeline(
        PerTask(StandardScaler(), task_column=0), EmpiricalBayesRegressor(task_column=0)
    ).fit(rows, TASKS.target)
    shift = np.random.default_rng(0).normal(size=(4, 3))
    moved = np.column_stack([POOL.groups, 5 * POOL.data + shift[POOL.groups]])
    assert_array_equal(select_context(pipe, moved, 3), select_context(pipe, pool, 3))


# The posterior


def test_is_the_greedy_choice_of_a_bayesian_linear_model():
    """``argmax φ'Λ⁻¹φ``, Λ updated by each row that is selected."""
    model = EmpiricalBayesRegressor().fit(TASKS.data, TASKS.target, groups=TASKS.groups)
    selected = select_context(model, POOL.data, 6, groups=POOL.groups).reshape(4, 6)
    phi = np.column_stack([np.ones(len(POOL.data)), POOL.data])
    for task, found in enumerate(selected):
        precision = np.linalg.inv(model.prior_covariance_[0])
        rows = np.flatnonzero(POOL.groups == task)
        for row in found:
            variance = np.einsum("nd,de,ne->n", phi[rows], np.linalg.inv(precision), phi[rows])
            assert row == rows[variance.argmax()]
            rows = rows[rows != row]
            precision += np.outer(phi[row], phi[row]) / model.noise_variance_[0]


def test_several_outputs_count_by_their_entropy():
    """So their units do not matter."""
    y = np.column_stack([TASKS.target, TASKS.data[:, 0] * (1 + TASKS.groups % 3)])
    models = [
        EmpiricalBayesRegressor().fit(TASKS.data, y * units, groups=TASKS.groups)
        for units in ([1e3, 1e-3], [1e-3, 1e3])
    ]
    one, other = (select_context(model, POOL.data, 5, groups=POOL.groups) for model in models)
    assert_array_equal(one, other)


def test_targets_without_variance():
    X = TASKS.data.astype(np.float32)
    model = EmpiricalBayesRegressor().fit(X, np.zeros(len(X)), groups=TASKS.groups)
    assert len(set(select_context(model, X, 3, groups=TASKS.groups))) == 90


@pytest.mark.parametrize(
    "learner",
    [e for e in INSTANCES if "return_std" in inspect.signature(e.predict).parameters],
    ids=lambda learner: repr(learner)[:40],
)
def test_learners_say_whether_labels_change_their_variance(learner):
    model = clone(learner).fit(TASKS.data, TASKS.target, groups=TASKS.groups)
    std = [
        model.adapt(TASKS.data[:5], y).predict(POOL.data, return_std=True)[1]
        for y in (np.zeros(5), np.array([3.0, -9.0, 0.0, 5.0, 1.0]))
    ]
    same = np.allclose(*std, rtol=1e-9)
    assert same == model._variance_is_label_free


@pytest.mark.parametrize("seed", range(3))
def test_it_leaves_less_to_learn_than_rows_at_random(seed):
    tasks = skmeta.make_linear_tasks(140, 40, 5, noise=1.0, random_state=seed)
    new = tasks.groups >= 60
    model = EmpiricalBayesRegressor()
    model.fit(tasks.data[~new], tasks.target[~new], groups=tasks.groups[~new])
    X, y, groups = tasks.data[new], tasks.target[new], tasks.groups[new]
    pool = np.flatnonzero(np.arange(len(X)) % 40 < 30)
    asked = np.setdiff1d(np.arange(len(X)), pool)
    random = np.random.default_rng(seed)
    at_random = np.concatenate(
        [random.choice(pool[groups[pool] == task], 4, replace=False) for task in np.unique(groups)]
    )
    variance, error = [], []
    for shown in (pool[select_context(model, X[pool], 4, groups=groups[pool])], at_random):
        adapted = model.adapt(X[shown], y[shown], groups=groups[shown])
        mean, std = adapted.predict(X[asked], groups=groups[asked], return_std=True)
        variance.append(np.mean(std**2) - model.noise_variance_[0])
        error.append(np.mean((mean - y[asked]) ** 2) - 1.0)  # above what noise costs
    assert variance[0] < 0.8 * variance[1]
    assert error[0] < 0.85 * error[1]


# The mixture


def test_one_row_is_the_nearest_to_the_mean():
    """In the metric of the pool's covariance and a tenth of its mean variance."""
    made = skmeta.make_classification_tasks(10, 30, 4, random_state=0)
    model = PrototypicalClassifier(module=nn.Identity, max_iter=0)
    model.fit(made.data, made.target, groups=made.groups)
    selected = select_context(model, made.data, 1, groups=made.groups, random_state=0)
    for task, found in enumerate(selected):
        X = made.data[made.groups == task] * [1, 2, 3, 4]
        scaled = select_context(model, X, 1, random_state=0)[0]
        for rows, row in ((made.data[made.groups == task], found - 30 * task), (X, scaled)):
            covariance = np.cov(rows.T, ddof=0)
            covariance += 0.1 * np.trace(covariance) / 4 * np.eye(4)
            away = rows - rows.mean(axis=0)
            distance = np.einsum("nd,de,ne->n", away, np.linalg.inv(covariance), away)
            assert row == distance.argmin()


def test_clusters_that_are_far_apart_give_a_row_each():
    random = np.random.default_rng(0)
    centers = 20 * random.normal(size=(5, 3))
    cluster = random.integers(5, size=60)
    X = centers[cluster] + random.normal(size=(60, 3))
    model = EmpiricalBayesClassifier().fit(X, cluster)
    for n_shots in (2, 5):
        found = cluster[select_context(model, X, n_shots, random_state=0)]
        assert len(set(found)) == n_shots


def test_more_features_than_rows():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(12, 40)), np.arange(12) % 3
    model = PrototypicalClassifier(**QUICK).fit(X, y)
    assert len(set(select_context(model, X, 5, random_state=0))) == 5


def test_features_that_do_not_vary():
    model = PrototypicalClassifier(**QUICK).fit(TASKS.data, TASKS.target > 0)
    for parameter in model.net_.module_.body.parameters():
        parameter.data.zero_()
    assert len(set(select_context(model, POOL.data, 4, random_state=0))) == 4


def test_typical_rows_make_better_prototypes_than_rows_at_random():
    gains = []
    for seed in range(4):
        made = skmeta.make_classification_tasks(
            80, 60, 8, shared_labels=False, n_classes=60, n_ways=3, random_state=seed
        )
        new = made.groups >= 40
        model = PrototypicalClassifier(n_shots=2, max_iter=100, random_state=seed)
        model.fit(made.data[~new], made.target[~new], groups=made.groups[~new])
        X, y, groups = made.data[new], made.target[new], made.groups[new]
        pool = np.flatnonzero(np.arange(len(X)) % 60 < 40)
        asked = np.setdiff1d(np.arange(len(X)), pool)
        random = np.random.default_rng(seed)
        at_random = np.concatenate(
            [
                random.choice(pool[groups[pool] == task], 6, replace=False)
                for task in np.unique(groups)
            ]
        )
        selected = pool[select_context(model, X[pool], 6, groups=groups[pool], random_state=0)]
        scores = []
        for shown in (selected, at_random):
            n_seen = [len(set(y[shown][groups[shown] == task])) for task in np.unique(groups)]
            known = np.isin(groups, np.unique(groups)[np.array(n_seen) > 1])
            shown, rows = shown[known[shown]], asked[known[asked]]
            adapted = model.adapt(X[shown], y[shown], groups=groups[shown])
            right = (adapted.predict(X[rows], groups=groups[rows]) == y[rows]).sum()
            scores.append(right / len(asked))
        gains.append(scores[0] - scores[1])
    assert min(gains) > 0.02
    assert np.mean(gains) > 0.04


# Errors


def test_wrong_arguments_are_named():
    model = EmpiricalBayesRegressor().fit(TASKS.data, TASKS.target, groups=TASKS.groups)
    with pytest.raises(ValueError, match="n_shots == 0, must be >= 1"):
        select_context(model, POOL.data, 0)
    with pytest.raises(TypeError, match="n_shots must be an instance of int"):
        select_context(model, POOL.data, 2.5)
    with pytest.raises(ValueError, match=r"n_shots=7 .* The pool has 6 row"):
        select_context(model, POOL.data[:6], 7)
    with pytest.raises(ValueError, match=r"n_shots=4 .* Task 'b' has 2 row"):
        select_context(model, POOL.data[:6], 4, groups=list("aabaab"))
    with pytest.raises(ValueError, match="method='best' must be 'auto', 'variance' or 'mix"):
        select_context(model, POOL.data, 2, method="best")
    ridge = MultiHeadRegressor(head=Ridge(), **QUICK).fit(TASKS.data, TASKS.target)
    with pytest.raises(ValueError, match="which this MultiHeadRegressor has not; use 'mixture'"):
        select_context(ridge, POOL.data, 2, method="variance")
    with pytest.raises(ValueError, match="features"):
        select_context(model, POOL.data[:, :2], 2)
    with pytest.raises(NotFittedError):
        select_context(EmpiricalBayesRegressor(), POOL.data, 2)


@pytest.mark.parametrize("wrong", [Ridge(), make_pipeline(StandardScaler(), Ridge())], ids=repr)
def test_what_is_no_meta_learner(wrong):
    wrong.fit(TASKS.data, TASKS.target)
    with pytest.raises(TypeError, match="cannot select a context; expected a fitted meta-learner"):
        select_context(wrong, TASKS.data, 2)
