"""Short runs of the sinusoid protocol, with gates that any right implementation passes."""

from __future__ import annotations

import numpy as np
import pytest

import skmeta

GRID = np.linspace(-5, 5, 100, dtype=np.float32)
POOLED = 2.95  # mean squared error of E[y | x], the best that ignores the task
NETWORK = {"hidden_layer_sizes": (40, 40), "meta_batch_size": 25}
EPISODES = {"n_shots": 10, "n_queries": 10}


def error_after_ten_rows(model, n_tasks, seed):
    train = skmeta.make_sinusoid_tasks(n_tasks, 40, random_state=1000 + seed)
    model.set_params(random_state=seed, **NETWORK)
    model.fit(train.data.astype(np.float32), train.target, groups=train.groups)
    new = skmeta.make_sinusoid_tasks(300, 10, random_state=seed)
    adapted = model.adapt(new.data.astype(np.float32), new.target, groups=new.groups)
    x, owner = np.tile(GRID, 300)[:, None], np.repeat(np.arange(300), len(GRID))
    truth = new.amplitude[owner] * np.sin(x[:, 0] - new.phase[owner])
    return np.mean((adapted.predict(x, groups=new.groups[::10][owner]) - truth) ** 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_order_of_the_learners(seed):
    multi = error_after_ten_rows(
        skmeta.MultiHeadRegressor(max_iter=1200, n_queries=None), 100, seed
    )
    ridge = error_after_ten_rows(skmeta.RidgeHeadRegressor(max_iter=1000, **EPISODES), 5000, seed)
    maml = error_after_ten_rows(
        skmeta.MAMLRegressor(max_iter=1000, normalize_y=False, **EPISODES), 5000, seed
    )
    assert multi < 0.05
    assert ridge < 0.4
    assert maml < 2.0
    assert multi < ridge < maml < POOLED
