"""A meta-batch differentiated a few tasks at a time has the gradient of all at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _episodes import flat, ragged
from _learners import REGRESSORS

import skmeta

SIZES = [(4, 3), (1, 5), (6, 1), (2, 2), (3, 4)]


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(9, (52, 60), 3, random_state=0)


@pytest.mark.parametrize("learner", REGRESSORS)
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 5, 100])
def test_the_gradient_is_that_of_all_tasks_at_once(tasks, learner, chunk_size):
    model = learner(max_iter=0, hidden_layer_sizes=(4,), activation="tanh", random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    net, episode = model.net_, ragged(n_outputs=1, sizes=SIZES)
    net.module_.train()
    found = []
    for size in (None, chunk_size):
        net.chunk_size = size
        net.module_.zero_grad()
        loss = net.train_step_single(episode)["loss"]
        found.append(torch.cat([loss[None], flat(p.grad for p in net.module_.parameters())]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("learner", REGRESSORS)
def test_a_fit_in_chunks_is_a_fit(tasks, learner):
    """Seven tasks are no multiple of three."""
    predicted = []
    for chunk_size in (None, 3):
        model = learner(
            chunk_size=chunk_size, meta_batch_size=7, max_iter=3, lr=1e-3,
            optimizer=torch.optim.SGD, hidden_layer_sizes=(4,), activation="tanh", random_state=0,
        )  # fmt: skip
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
        predicted.append(model.predict(tasks.data, groups=tasks.groups))
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-10, atol=1e-12)


def test_no_more_tasks_than_asked_for_are_differentiated_at_once(tasks):
    model = skmeta.MAMLRegressor(chunk_size=2, max_iter=0, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    seen = []
    rule = model.net_.module_
    given = rule.task_losses
    rule.task_losses = lambda part, objective: (
        seen.append(len(part.tasks)) or given(part, objective)
    )
    model.net_.chunk_size = 2
    model.net_.train_step_single(ragged(n_outputs=1, sizes=SIZES))
    assert seen == [2, 2, 1]


@pytest.mark.parametrize("chunk_size", [0, -1, 1.5])
def test_a_wrong_size_is_named(tasks, chunk_size):
    with pytest.raises((TypeError, ValueError), match="chunk_size"):
        skmeta.MAMLRegressor(chunk_size=chunk_size).fit(
            tasks.data, tasks.target, groups=tasks.groups
        )
