"""Meta-transformers around every learner that has a network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from _deep import DEEP_LEARNERS, fitted, weights
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import skmeta
from skmeta import (
    CAMELRegressor,
    DiverseBatches,
    GoodEmbeddingClassifier,
    HeTRoM,
    IMAMLClassifier,
    IMAMLRegressor,
    IntervalInterpolation,
    MAMLRegressor,
    RidgeHeadRegressor,
    TaskBalancing,
    TaskEmbedding,
    TaskGrouping,
    TaskInterpolation,
    TaskModulation,
)

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}

EMBEDDING = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=2, random_state=0)
MERGING = [learner for learner in DEEP_LEARNERS if isinstance(learner, GoodEmbeddingClassifier)]
EPISODIC = [learner for learner in DEEP_LEARNERS if learner not in MERGING]
LEARNER = pytest.mark.parametrize("learner", EPISODIC, ids=lambda x: type(x).__name__)
IMPLICIT = (IMAMLClassifier, IMAMLRegressor)
UNROLLED = [learner for learner in EPISODIC if not isinstance(learner, IMPLICIT)]


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(8, 10, 3, noise=0.2, random_state=0)


def grouped(learner, **params):
    return TaskGrouping(learner, embedding=EMBEDDING, random_state=0, **params)


def _mean(jacobian):
    return jacobian.mean(dim=0)


@LEARNER
def test_gradients_of_single_tasks_have_that_of_the_meta_loss_for_mean(learner, tasks):
    # Adam would make steps of what rounding leaves of a gradient that is 0.
    learner = clone(learner).set_params(optimizer=torch.optim.SGD)
    balanced, plain = fitted(TaskBalancing(learner, method=_mean), tasks), fitted(learner, tasks)
    torch.testing.assert_close(weights(balanced), weights(plain), rtol=0, atol=1e-6)


@LEARNER
def test_each_changes_the_learner_or_leaves_it_to_the_bit(learner, tasks):
    plain = weights(fitted(learner, tasks))
    for model in (TaskBalancing(learner), grouped(learner, n_groups=1, beta=1.0)):
        changed = weights(fitted(model, tasks))
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, plain)
    assert torch.equal(weights(fitted(grouped(learner, n_groups=1, beta=0.0), tasks)), plain)
    selected = fitted(HeTRoM(learner, drop_hardest=0.0), tasks)
    assert torch.equal(weights(selected), plain)
    assert np.isfinite(selected.task_losses_).all()


@pytest.mark.parametrize("learner", UNROLLED, ids=lambda x: type(x).__name__)
def test_displacements_can_be_differentiated(learner, tasks):
    kept, detached = (
        weights(fitted(grouped(learner, n_groups=1, beta=1.0, detach=detach), tasks))
        for detach in (False, True)
    )
    assert torch.isfinite(kept).all()
    assert not torch.equal(kept, detached)


def test_displacements_of_implicit_gradients_are_constants(tasks):
    learner = IMAMLRegressor(n_shots=2, **SHORT)
    with pytest.raises(ValueError, match="cannot be differentiated again"):
        fitted(grouped(learner, detach=False), tasks)


@pytest.mark.parametrize(
    "wrapper",
    [
        DiverseBatches,
        HeTRoM,
        IntervalInterpolation,
        TaskBalancing,
        TaskGrouping,
        TaskInterpolation,
        TaskModulation,
    ],
)
@pytest.mark.parametrize("learner", [*MERGING, HeTRoM(MERGING[0])], ids=["bare", "nested"])
def test_there_must_be_tasks_in_a_meta_batch(wrapper, learner, tasks):
    with pytest.raises(ValueError, match="GoodEmbeddingClassifier is trained on the rows of all"):
        fitted(wrapper(learner), tasks)


@pytest.mark.parametrize(
    "model",
    [HeTRoM(RidgeHeadRegressor(**SHORT)), HeTRoM(grouped(RidgeHeadRegressor(**SHORT)))],
    ids=["one", "nested"],
)
def test_features_go_into_a_data_frame(model, tasks):
    chain = make_pipeline(clone(model), Ridge()).set_output(transform="pandas")
    chain.fit(tasks.data, tasks.target, hetrom__groups=tasks.groups)
    features = chain[:-1].transform(tasks.data[:3])
    assert isinstance(features, pd.DataFrame)
    assert list(features.columns) == list(chain[0].get_feature_names_out())
    assert isinstance(chain[0].set_output(transform="default").transform(tasks.data), np.ndarray)


@pytest.mark.parametrize("nested", [False, True])
def test_physics_can_be_read_through_it(nested, tasks):
    learner = CAMELRegressor(n_parameters=2, **SHORT)
    model = fitted(HeTRoM(grouped(learner) if nested else learner), tasks)
    quantities = np.arange(16.0).reshape(8, 2)
    X, y = tasks.data, tasks.target
    calibrated = model.calibrate(quantities).adapt(X[:4], y[:4])
    more = calibrated.partial_adapt(X[4:10], y[4:10])
    plain = model._learner.calibrate(quantities).adapt(X[:10], y[:10])
    np.testing.assert_allclose(more.predict(X), plain.predict(X), rtol=1e-6)
    np.testing.assert_allclose(more.physical_parameters_, plain.physical_parameters_, rtol=1e-6)
    assert isinstance(more, HeTRoM)
    assert not hasattr(model, "calibration_")  # it is left as it was
    assert not hasattr(HeTRoM(MAMLRegressor()), "calibrate")
    assert not hasattr(HeTRoM(MAMLRegressor()), "partial_adapt")
