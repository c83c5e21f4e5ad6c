"""Meta-training with balanced gradients."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _deep import weights
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skmeta
from skmeta import (
    CAMELRegressor,
    DeepKernelRegressor,
    DiverseBatches,
    EpisodicKFold,
    HeTRoM,
    MAMLRegressor,
    MultiHeadRegressor,
    PrototypicalClassifier,
    ReptileRegressor,
    RidgeHeadRegressor,
    TaskBalancing,
    TaskEmbedding,
    TaskGrouping,
)

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 12, "meta_batch_size": 4, "random_state": 0}
EMBEDDING = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=5, random_state=0)
LEARNERS = [
    MAMLRegressor(n_shots=3, **SHORT),
    RidgeHeadRegressor(n_shots=3, **SHORT),
    MultiHeadRegressor(**SHORT),
    CAMELRegressor(n_parameters=2, **SHORT),
    DeepKernelRegressor(n_shots=3, **SHORT),
    ReptileRegressor(n_shots=3, **SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


def of_unequal_scale(n_tasks=20, n_rows=12, seed=0):
    """Return linear tasks, the targets of the first half of which are ten times as large."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    X = random.normal(size=(len(groups), 3))
    slopes = random.normal(size=(n_tasks, 3)) * np.where(np.arange(n_tasks) < 10, 10, 1)[:, None]
    return X, (X * slopes[groups]).sum(axis=1), groups


def _mean(jacobian):
    return jacobian.mean(dim=0)


@LEARNER
@pytest.mark.parametrize("n_splits", [1, 3])
def test_it_changes_the_learner_and_is_reproducible(learner, n_splits):
    data = of_unequal_scale()
    one, other = (weights(TaskBalancing(learner, n_splits=n_splits).fit(*data)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.allclose(one, weights(clone(learner).fit(*data)), rtol=1e-6)


@pytest.mark.parametrize("learner", LEARNERS[1:5], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("n_splits", [1, 3])
def test_so_do_weights_by_the_shared_representation(learner, n_splits):
    data = of_unequal_scale()
    model = TaskBalancing(learner, method="ntk-sr", n_splits=n_splits)
    one, other = (weights(model.fit(*data)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.allclose(one, weights(clone(learner).fit(*data)), rtol=1e-6)
    assert not torch.allclose(one, weights(model.set_params(method="ntk").fit(*data)), rtol=1e-6)


@pytest.mark.parametrize("method", ["ntk", "ntk-sr"])
@pytest.mark.parametrize("n_splits", [1, 3])
def test_tasks_of_a_large_scale_weigh_less(method, n_splits):
    data = of_unequal_scale()
    learner = clone(LEARNERS[2]).set_params(max_iter=60)
    model = TaskBalancing(learner, method=method, n_splits=n_splits).fit(*data)
    large = np.asarray(model.tasks_, dtype=int) < 10
    assert np.median(model.task_weights_[~large]) > 3 * np.median(model.task_weights_[large])


def test_weights_of_an_earlier_fit_are_gone():
    model = TaskBalancing(LEARNERS[1]).fit(*of_unequal_scale())
    assert len(model.task_weights_)
    assert not hasattr(model.set_params(method=_mean).fit(*of_unequal_scale()), "task_weights_")


def test_weights_of_tasks_that_were_never_drawn_are_unknown():
    model = TaskBalancing(clone(LEARNERS[1]).set_params(max_iter=1)).fit(*of_unequal_scale())
    assert np.isfinite(model.task_weights_).sum() == 4
    assert TaskBalancing(clone(LEARNERS[1]).set_params(max_iter=0)).fit(
        *of_unequal_scale()
    ).task_weights_.shape == (20,)


def test_nesting_in_either_order_trains_the_same():
    X, y, groups = of_unequal_scale()
    learner = LEARNERS[0]
    one = HeTRoM(TaskBalancing(learner), two_passes=False).fit(X, y, groups)
    for model in (TaskBalancing(HeTRoM(learner)), HeTRoM(TaskBalancing(learner), two_passes=True)):
        other = model.fit(X, y, groups)
        torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=1e-6)
        assert other.task_weights_.shape == other.task_losses_.shape == (20,)
    adapted = one.adapt(X[:5], y[:5])
    again = pickle.loads(pickle.dumps(adapted))
    np.testing.assert_array_equal(again.predict(X), adapted.predict(X))


def test_it_balances_diverse_batches():
    X, y, groups = of_unequal_scale()
    one = TaskBalancing(DiverseBatches(LEARNERS[1], embedding=EMBEDDING, random_state=0))
    other = DiverseBatches(TaskBalancing(LEARNERS[1]), embedding=EMBEDDING, random_state=0)
    assert torch.equal(weights(one.fit(X, y, groups)), weights(other.fit(X, y, groups)))


@pytest.mark.parametrize(
    "estimator",
    [
        TaskBalancing(TaskBalancing(LEARNERS[1])),
        TaskBalancing(TaskGrouping(LEARNERS[1], n_groups=2, embedding=EMBEDDING)),
        TaskGrouping(TaskBalancing(LEARNERS[1]), n_groups=2, embedding=EMBEDDING),
    ],
    ids=["balancing in balancing", "grouping in balancing", "balancing in grouping"],
)
def test_only_one_makes_the_gradient(estimator):
    with pytest.raises(ValueError, match="each of these two makes the meta-gradient"):
        estimator.fit(*of_unequal_scale())
    assert not hasattr(estimator, "estimator_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "upgrad"}, "method='upgrad' must be 'ntk', 'ntk-sr' or an instance"),
        ({"method": torch.nn.Identity}, "must be 'ntk', 'ntk-sr' or an instance"),
        ({"method": None}, "must be 'ntk', 'ntk-sr' or an instance"),
        ({"n_splits": 0}, "n_splits"),
    ],
    ids=str,
)
def test_errors(params, message):
    with pytest.raises(ValueError, match=message):
        TaskBalancing(LEARNERS[1], **params).fit(*of_unequal_scale())


def test_compiling_is_refused_with_a_warning():
    model = TaskBalancing(clone(LEARNERS[0]).set_params(compile=True))
    with pytest.warns(RuntimeWarning, match="not that of a mean"):
        model.fit(*of_unequal_scale())


@pytest.mark.parametrize("method", ["ntk", "ntk-sr"])
def test_a_body_without_parameters_has_nothing_to_balance(method):
    learner = clone(LEARNERS[2]).set_params(module=torch.nn.Identity())
    data = of_unequal_scale()
    model = TaskBalancing(learner, method=method).fit(*data)
    assert torch.equal(weights(model), weights(clone(learner).fit(*data)))
    assert np.isnan(model.task_weights_).all()


def test_classifiers_of_drawn_classes():
    X, y, _ = of_unequal_scale()
    classes = np.digitize(y, [-1, 0, 1])
    model = TaskBalancing(PrototypicalClassifier(n_way=2, n_shots=2, **SHORT), n_splits=2)
    assert model.fit(X, classes).task_weights_.shape == (1,)


def test_it_goes_where_scikit_learns_estimators_go():
    X, y, groups = of_unequal_scale()
    rows = np.column_stack([groups, X])
    search = GridSearchCV(
        TaskBalancing(clone(LEARNERS[1]).set_params(task_column=0)),
        {"method": ["ntk", _mean], "n_splits": [1, 2]},
        cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0),
        error_score="raise",
    ).fit(rows, y)
    assert skmeta.adapt(search, rows[:5], y[:5]).predict(rows[5:7]).shape == (2,)
