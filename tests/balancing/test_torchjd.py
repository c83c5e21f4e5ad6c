"""Aggregators of TorchJD."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _deep import weights
from _episodes import ragged
from _meta_gradients import gradient_of, modules
from sklearn.base import clone

from skmeta import (
    DiverseBatches,
    HeTRoM,
    MAMLRegressor,
    MultiHeadRegressor,
    RidgeHeadClassifier,
    TaskBalancing,
    TaskEmbedding,
    make_linear_tasks,
)
from skmeta.balancing._aggregated import AggregatedGradient

aggregation = pytest.importorskip("torchjd.aggregation")

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 15, "meta_batch_size": 4, "random_state": 0}
LEARNERS = [MAMLRegressor(n_shots=3, **SHORT), MultiHeadRegressor(**SHORT)]
TASKS = make_linear_tasks(12, 10, 3, random_state=0)
DATA = TASKS.data, TASKS.target, TASKS.groups


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)
def test_the_mean_is_the_bare_learner(learner):
    balanced = TaskBalancing(learner, method=aggregation.Mean()).fit(*DATA)
    bare = clone(learner).fit(*DATA)
    torch.testing.assert_close(weights(balanced), weights(bare), rtol=0, atol=1e-6)
    np.testing.assert_allclose(balanced.predict(*DATA[::2]), bare.predict(*DATA[::2]), atol=1e-6)


def test_upgrad_conflicts_with_no_task():
    pytest.importorskip("quadprog")
    module, episode, seen = modules()["stacked"], ragged(), []
    upgrad = aggregation.UPGrad()

    def watched(jacobian):
        seen.append((jacobian, upgrad(jacobian)))
        return seen[-1][1]

    gradient_of(module, episode, AggregatedGradient(watched))
    ((jacobian, update),) = seen
    assert (jacobian @ jacobian.T).min() < 0
    assert (jacobian @ update).min() > -1e-6 * jacobian.norm() * update.norm()


def test_it_trains_clones_and_nests():
    pytest.importorskip("quadprog")
    embedding = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    model = HeTRoM(
        TaskBalancing(
            DiverseBatches(LEARNERS[0], embedding=embedding, random_state=0),
            method=aggregation.UPGrad(),
        )
    )
    one, other = (weights(clone(model).fit(*DATA)) for _ in range(2))
    assert torch.equal(one, other)
    assert not hasattr(clone(model).fit(*DATA), "task_weights_")


def test_an_aggregator_with_a_state_starts_anew():
    class Counting(aggregation.Mean):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, matrix):
            self.calls += 1
            return super().forward(matrix) / self.calls

    method = Counting()
    learner = RidgeHeadClassifier(n_shots=3, **SHORT)
    X, y, groups = DATA[0], DATA[1] > 0, DATA[2]
    model = TaskBalancing(learner, method=method)
    one = weights(model.fit(X, y, groups))
    assert method.calls == 0
    assert torch.equal(one, weights(model.fit(X, y, groups)))
