"""Any learner, trained to keep rows nearby nearby."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _deep import fitted, weights
from sklearn.base import clone, is_regressor
from sklearn.model_selection import GridSearchCV

import skmeta
from skmeta import (
    BayesianHeadRegressor,
    CAVIARegressor,
    EpisodicKFold,
    HeTRoM,
    IntervalInterpolation,
    MAMLClassifier,
    MAMLRegressor,
    MultiHeadRegressor,
    PrototypicalClassifier,
    ReptileRegressor,
    RidgeHeadRegressor,
    TaskGrouping,
    TaskInterpolation,
)
from skmeta.training import MeanOverTasks, OuterLoop

SHORT = {
    "hidden_layer_sizes": (8,), "max_iter": 12, "meta_batch_size": 5, "random_state": 0,
    "n_shots": (1, 4),
}  # fmt: skip
LEARNERS = [
    MAMLRegressor(**SHORT),
    CAVIARegressor(**SHORT),
    ReptileRegressor(**SHORT),
    RidgeHeadRegressor(**SHORT),
    MAMLClassifier(**SHORT),
    PrototypicalClassifier(**SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0)


def fitted_as_it_is(model, tasks):
    y = tasks.target if is_regressor(model) else tasks.target > 0
    return model.fit(tasks.data, y, groups=tasks.groups)


class _TaskWeights(MeanOverTasks):
    """Weights ``softmax([ℓ, 0, 0] / T)_1`` of the losses themselves, T = 0.5."""

    def weigh(self, losses, tasks):
        own = (losses / 0.5).exp()
        return own / (own + 2)


@LEARNER
def test_small_boxes_leave_the_learner_with_tasks_weighted_by_their_losses(learner, tasks):
    """The limit, which is not what is had without boxes: bounds of loss 0 keep their weights."""
    learner = clone(learner).set_params(optimizer=torch.optim.SGD)
    weighted = clone(learner)
    weighted._outer = OuterLoop(objective=lambda learner, data: _TaskWeights)
    limit = weights(fitted_as_it_is(weighted, tasks))
    errors = [
        (weights(fitted(IntervalInterpolation(learner, epsilon=e, temperature=0.5), tasks)) - limit)
        .norm()
        .item()
        for e in (1e-2, 1e-6)
    ]
    assert errors[1] < 1e-6 < errors[0]
    assert (weights(fitted(learner, tasks)) - limit).norm() > 1e3 * errors[1]


@LEARNER
def test_boxes_change_the_learner_and_draws_are_its_own(learner, tasks):
    model = IntervalInterpolation(learner)
    one = weights(fitted(model, tasks))
    assert torch.equal(one, weights(fitted(model, tasks)))
    assert not torch.allclose(one, weights(fitted(learner, tasks)), rtol=1e-4)
    wider = clone(model).set_params(epsilon=0.5)
    assert not torch.allclose(one, weights(fitted(wider, tasks)), rtol=1e-4)


def test_what_is_nearby_comes_nearer(tasks):
    learner = RidgeHeadRegressor(**{**SHORT, "max_iter": 300, "lr": 1e-2})

    def spread(model):
        """Return how far features move within a box, beside how far apart rows are."""
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, size=tasks.data.shape)
        moved = model.transform(tasks.data + noise) - model.transform(tasks.data)
        return np.square(moved).mean()

    bounded = fitted(IntervalInterpolation(learner, epsilon=0.5), tasks)
    assert spread(bounded) < 0.5 * spread(fitted(learner, tasks))


def test_the_order_of_rows_and_the_names_of_tasks_do_not_matter(tasks):
    model = IntervalInterpolation(LEARNERS[0])
    order = np.random.default_rng(0).permutation(len(tasks.data))
    names = np.array([f"task {chr(122 - g)}" for g in range(20)])
    other = clone(model).fit(
        tasks.data[order], tasks.target[order], groups=names[tasks.groups][order]
    )
    assert torch.equal(weights(fitted(model, tasks)), weights(other))


def test_it_nests_with_the_others_in_any_order(tasks):
    def grouped(model):
        return TaskGrouping(model, n_groups=2, embedding="head", random_state=0)

    one, other = (
        weights(fitted(model, tasks))
        for model in (
            HeTRoM(grouped(IntervalInterpolation(LEARNERS[3]))),
            IntervalInterpolation(grouped(HeTRoM(LEARNERS[3]))),
        )
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("params", [{"label_sets": "own"}, {"n_way": 2, "n_shots": 2}], ids=str)
def test_labels_of_their_own(params, tasks):
    learner = clone(LEARNERS[5]).set_params(**params)
    y = 10 * tasks.groups + np.arange(len(tasks.groups)) % (2 + tasks.groups % 2)
    model = IntervalInterpolation(learner).fit(tasks.data, y, groups=tasks.groups)
    assert model.adapt(tasks.data[:8], y[:8]).predict(tasks.data[8:]).shape == (192,)


def test_it_keeps_what_the_learner_can_do(tasks):
    model = fitted(IntervalInterpolation(LEARNERS[3]), tasks)
    adapted = model.adapt(tasks.data[:5], tasks.target[:5])
    again = pickle.loads(pickle.dumps(adapted))
    np.testing.assert_array_equal(again.predict(tasks.data), adapted.predict(tasks.data))


def test_it_goes_where_scikit_learns_estimators_go(tasks):
    rows = np.column_stack([tasks.groups, tasks.data])
    search = GridSearchCV(
        IntervalInterpolation(clone(LEARNERS[3]).set_params(task_column=0)),
        {"epsilon": [0.0, 0.2], "estimator__lr": [0.01, 0.001]},
        cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0),
        error_score="raise",
    ).fit(rows, tasks.target)
    assert skmeta.adapt(search, rows[:5], tasks.target[:5]).predict(rows[5:7]).shape == (2,)


def test_compiling_is_refused_with_a_warning(tasks):
    learner = clone(LEARNERS[0]).set_params(compile=True)
    with pytest.warns(RuntimeWarning, match="network changes with each update"):
        fitted(IntervalInterpolation(learner), tasks)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epsilon": -1.0}, "epsilon"),
        ({"n_layers": 0}, "n_layers"),
        ({"n_layers": 2}, "number of hidden layers, 1"),
        ({"temperature": 0.0}, "temperature"),
        ({"alpha": 0.0}, "alpha"),
        ({"estimator__activation": "silu"}, "has SiLU"),
        ({"estimator": TaskInterpolation(LEARNERS[3])}, "has no effect"),
        ({"estimator": BayesianHeadRegressor(**SHORT)}, "trained on a likelihood"),
        ({"estimator": MultiHeadRegressor(max_iter=2)}, "keeps a head for each"),
    ],
    ids=str,
)
def test_errors(params, message, tasks):
    model = IntervalInterpolation(LEARNERS[3]).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert not hasattr(model, "estimator_")
