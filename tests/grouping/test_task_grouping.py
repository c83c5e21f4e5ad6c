"""Meta-training within groups of tasks."""

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
    EpisodicKFold,
    HeTRoM,
    MAMLRegressor,
    MultiHeadRegressor,
    PrototypicalClassifier,
    RidgeHeadRegressor,
    SVMHeadRegressor,
    TaskEmbedding,
    TaskGrouping,
)
from skmeta.grouping._task_grouping import _draw_within

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 12, "meta_batch_size": 4, "random_state": 0}
EMBEDDING = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=200, random_state=0)
LEARNERS = [
    MAMLRegressor(n_shots=3, **SHORT),
    RidgeHeadRegressor(n_shots=3, **SHORT),
    SVMHeadRegressor(n_shots=3, **SHORT),
    MultiHeadRegressor(**SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


def families(seed=0, n_tasks=30, n_rows=12):
    """Return tasks of two families, which ask for opposite slopes."""
    random = np.random.default_rng(seed)
    family = np.arange(n_tasks) % 2
    groups = np.repeat(np.arange(n_tasks), n_rows)
    X = random.normal(size=(len(groups), 3))
    slope = np.where(family == 0, 2.0, -2.0) + 0.1 * random.normal(size=n_tasks)
    y = X[:, 0] * slope[groups] + 0.1 * random.normal(size=len(groups))
    return X, y, groups, family


def grouped(learner, **params):
    return TaskGrouping(
        learner, **{"n_groups": 2, "embedding": EMBEDDING, "random_state": 0} | params
    )


@LEARNER
def test_displacement_and_grouping_change_the_learner(learner):
    X, y, groups, _ = families()
    plain, moved, apart = (
        weights(grouped(learner, **params).fit(X, y, groups=groups))
        for params in ({"n_groups": 1, "beta": 0.0}, {"n_groups": 1, "beta": 0.1}, {"beta": 0.0})
    )
    assert not torch.allclose(plain, moved, rtol=1e-6)
    assert not torch.allclose(plain, apart, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_unlike_tasks_mix_families_and_of_like_tasks_part_them(seed):
    X, y, groups, family = families(seed)
    learner = clone(LEARNERS[1]).set_params(max_iter=1)
    shares = {}
    for how in ("dissimilar", "mixed", "similar"):
        model = grouped(learner, group=how).fit(X, y, groups=groups)
        of_task = family[np.asarray(model.tasks_, dtype=int)]
        shares[how] = [of_task[model.labels_ == group].mean() for group in (0, 1)]
    assert sorted(shares["similar"]) == [0.0, 1.0]
    assert all(0.4 <= share <= 0.6 for share in shares["mixed"])
    assert all(0.25 <= share <= 0.75 for share in shares["dissimilar"])


def test_what_is_known_of_the_tasks():
    X, y, groups, _ = families()
    model = grouped(LEARNERS[0]).fit(X, y, groups=groups)
    assert model.task_embeddings_.shape == (30, 9)
    assert model.dissimilarity_.shape == (30, 30)
    assert set(model.labels_) == {0, 1}
    assert model.gradient_variance_.shape == (12,)
    assert (model.gradient_variance_ > 0).all()


def test_the_order_of_rows_and_the_names_of_tasks_do_not_matter():
    X, y, groups, _ = families()
    order = np.random.default_rng(0).permutation(len(X))
    names = np.array([f"task {29 - g}" for g in range(30)])
    one = grouped(LEARNERS[0]).fit(X, y, groups=groups)
    other = grouped(LEARNERS[0]).fit(X[order], y[order], groups=names[groups][order])
    assert torch.equal(weights(one), weights(other))
    np.testing.assert_array_equal(one.labels_, other.labels_)


def test_each_meta_batch_is_of_one_group_and_all_tasks_are_drawn_alike():
    random = np.random.default_rng(0)
    groups = np.array([0] * 12 + [1] * 3 + [2] * 5)[random.permutation(20)]
    eligible = np.arange(1, 20)
    drawn = _draw_within(groups, random, eligible, 20_000, 4)
    assert (groups[drawn] == groups[drawn[:, :1]]).all()
    large = np.isin(groups[drawn[:, 0]], [g for g in range(3) if (groups[1:] == g).sum() >= 4])
    assert all(len(set(batch)) == 4 for batch in drawn[large][:500].tolist())
    share = np.bincount(drawn.ravel(), minlength=20)[1:] / drawn.size
    np.testing.assert_allclose(share, 1 / 19, atol=0.004)


def test_the_penalty_keeps_gradients_together():
    X, y, groups, _ = families(n_tasks=40)
    ends = {}
    for beta in (0.0, 1.0):
        values = []
        for seed in range(3):
            learner = RidgeHeadRegressor(
                hidden_layer_sizes=(16,), n_shots=3, max_iter=300, meta_batch_size=8,
                random_state=seed,
            )  # fmt: skip
            model = grouped(learner, beta=beta).fit(X, y, groups=groups)
            values.append(model.gradient_variance_[-30:].mean())
        ends[beta] = np.array(values)
    assert (ends[1.0] < ends[0.0]).all()
    assert ends[1.0].mean() < 0.95 * ends[0.0].mean()


def test_it_nests_with_the_other_meta_transformer():
    X, y, groups, _ = families()
    for model in (HeTRoM(grouped(LEARNERS[0])), grouped(HeTRoM(LEARNERS[0]))):
        fitted = clone(model).fit(X, y, groups=groups)
        assert fitted.task_selection_.shape == (12, 30)
        assert fitted.gradient_variance_.shape == (12,)
        assert fitted.labels_.shape == fitted.task_losses_.shape == (30,)
        adapted = fitted.adapt(X[:5], y[:5])
        again = pickle.loads(pickle.dumps(adapted))
        np.testing.assert_array_equal(again.predict(X), adapted.predict(X))


def test_nesting_in_either_order_trains_the_same():
    X, y, groups, _ = families()
    one = HeTRoM(grouped(LEARNERS[0])).fit(X, y, groups=groups)
    other = grouped(HeTRoM(LEARNERS[0])).fit(X, y, groups=groups)
    assert torch.equal(weights(one), weights(other))


def test_it_goes_where_scikit_learns_estimators_go():
    X, y, groups, _ = families()
    rows = np.column_stack([groups, X])
    model = grouped(clone(LEARNERS[0]).set_params(task_column=0))
    search = GridSearchCV(
        model,
        {"beta": [0.0, 0.1], "estimator__inner_lr": [0.01, 0.1]},
        cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0),
        error_score="raise",
    ).fit(rows, y)
    assert skmeta.adapt(search, rows[:5], y[:5]).predict(rows[5:7]).shape == (2,)


@pytest.mark.parametrize("embedding", ["fisher", "gradient", "head", StandardScaler()], ids=str)
@pytest.mark.parametrize("n_groups", [3, "auto", 100])
def test_embeddings_and_numbers_of_groups(embedding, n_groups):
    X, y, groups, _ = families(n_tasks=8)
    learner = clone(LEARNERS[1]).set_params(max_iter=2)
    group = "similar" if n_groups == "auto" else "mixed"
    model = TaskGrouping(
        learner, embedding=embedding, n_groups=n_groups, group=group, random_state=0
    )
    labels = model.fit(X, y, groups=groups).labels_
    assert len(labels) == 8
    assert n_groups == "auto" or len(set(labels)) == min(n_groups, 8)


def test_classifiers_of_drawn_classes():
    X, y, _, _ = families()
    classes = np.digitize(y, [-1, 0, 1])
    model = grouped(PrototypicalClassifier(n_way=2, n_shots=2, **SHORT), n_groups="auto")
    assert model.fit(X, classes).labels_.tolist() == [0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beta": -1.0}, "beta"),
        ({"n_groups": 0}, "n_groups"),
        ({"group": "alike"}, "how='alike' must be one of"),
        ({"estimator": grouped(LEARNERS[1])}, "has no effect"),
    ],
    ids=str,
)
def test_errors(params, message):
    X, y, groups, _ = families()
    model = grouped(LEARNERS[1]).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, groups=groups)
    assert not hasattr(model, "estimator_")


def test_compiling_is_refused_with_a_warning():
    X, y, groups, _ = families()
    model = grouped(clone(LEARNERS[0]).set_params(compile=True))
    with pytest.warns(RuntimeWarning, match="not that of a mean"):
        model.fit(X, y, groups=groups)
