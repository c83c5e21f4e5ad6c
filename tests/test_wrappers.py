"""Meta-transformers around every learner that has a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _deep import DEEP_LEARNERS, fitted, weights
from sklearn.base import clone

import skmeta
from skmeta import (
    HeTRoM,
    IMAMLRegressor,
    TaskBalancing,
    TaskEmbedding,
    TaskGrouping,
)

EMBEDDING = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=2, random_state=0)
LEARNER = pytest.mark.parametrize("learner", DEEP_LEARNERS, ids=lambda x: type(x).__name__)


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
def test_balancing_and_displacing_change_it(learner, tasks):
    plain = weights(fitted(learner, tasks))
    for model in (TaskBalancing(learner, n_splits=2), grouped(learner, n_groups=1, beta=1.0)):
        changed = weights(fitted(model, tasks))
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, plain)


@LEARNER
def test_without_an_effect_they_are_the_learner_to_the_bit(learner, tasks):
    plain = weights(fitted(learner, tasks))
    for model in (grouped(learner, n_groups=1, beta=0.0), HeTRoM(learner, drop_hardest=0.0)):
        assert torch.equal(weights(fitted(model, tasks)), plain)


@LEARNER
def test_losses_after_training_are_known(learner, tasks):
    model = fitted(HeTRoM(learner), tasks)
    assert np.isfinite(model.task_losses_).all()


def test_displacements_of_implicit_gradients_are_constants(tasks):
    learner = IMAMLRegressor(hidden_layer_sizes=(8,), n_shots=2, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match="cannot be differentiated again"):
        fitted(grouped(learner, detach=False), tasks)
