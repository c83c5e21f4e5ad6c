"""Chunks of tasks and rows are as small as the network's activations and weights ask for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

import skmeta
from skmeta.base import _batched
from skmeta.base._memory import activation_bytes
from skmeta.modules import Conv4
from skmeta.tasks import TaskTable

BUDGET = 1 << 16
LEARNERS = [
    skmeta.MAMLRegressor(n_shots=3),
    skmeta.ANILRegressor(n_shots=3),
    skmeta.RidgeHeadRegressor(n_shots=3),
    skmeta.BayesianHeadRegressor(n_shots=3),
    skmeta.MultiHeadRegressor(),
]


def parametrized(learners):
    return pytest.mark.parametrize("learner", learners, ids=lambda x: type(x).__name__)


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(40, (4, 12), 3, random_state=0)


def fitted(learner, tasks, width):
    model = clone(learner).set_params(max_iter=2, hidden_layer_sizes=(width,), random_state=0)
    return model.fit(tasks.data, tasks.target, groups=tasks.groups)


def most_rows(model, tasks, monkeypatch):
    """Return the largest number of padded rows that adapting and predicting lay out."""
    laid_out, padded = [], TaskTable.padded

    def counting(table, which):
        positions, mask = padded(table, which)
        laid_out.append(mask.size)
        return positions, mask

    with monkeypatch.context() as patch:
        patch.setattr(TaskTable, "padded", counting)
        adapted = model.adapt(tasks.data, tasks.target, groups=tasks.groups)
        adapted.predict(tasks.data, groups=tasks.groups)
    return max(laid_out)


@parametrized(LEARNERS[:4])
def test_chunks_shrink_as_networks_grow(learner, tasks, monkeypatch):
    monkeypatch.setattr(_batched, "_MOST_BYTES", BUDGET)
    small, large = (fitted(learner, tasks, width) for width in (16, 256))
    few, many = (most_rows(model, tasks, monkeypatch) for model in (large, small))
    assert few < many / 4
    assert few <= max(BUDGET // (8 * 256), 12)  # at least one task, of up to 12 rows
    assert large._tasks_at_once <= small._tasks_at_once


def test_tasks_of_a_large_network_stand_alone(tasks, monkeypatch):
    model = fitted(LEARNERS[0], tasks, 64)
    assert model._tasks_at_once >= 8
    monkeypatch.setattr(_batched, "_MOST_BYTES", 2 * model._rule.bytes_per_task)
    assert model._tasks_at_once == 2
    monkeypatch.setattr(_batched, "_MOST_BYTES", 1)
    assert model._tasks_at_once == 1


@parametrized(LEARNERS)
def test_predictions_are_the_same_whatever_the_chunk(learner, tasks, monkeypatch):
    model = fitted(learner, tasks, 32)

    def results():
        adapted = model.adapt(tasks.data, tasks.target, groups=tasks.groups)
        return (
            model.predict(tasks.data, groups=tasks.groups),
            adapted.predict(tasks.data, groups=tasks.groups),
            model.transform(tasks.data),
        )

    expected = results()
    for budget in (BUDGET, 5000, 1):
        monkeypatch.setattr(_batched, "_MOST_BYTES", budget)
        for found, whole in zip(results(), expected, strict=True):
            np.testing.assert_allclose(found, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("width", [16, 64])
def test_each_tensor_that_layers_hold_of_a_row_counts_once(width):
    network = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.Tanh())
    # The input of each linear layer, and what the nonlinearities return.
    assert activation_bytes(network, torch.zeros(4, 3)) == 4 * (3 + width + width)


def test_convolutions_count_their_images():
    sizes = [activation_bytes(Conv4(784, n_channels=n), torch.zeros(4, 784)) for n in (8, 16, 32)]
    assert sizes[0] > 4 * 8 * 784
    assert 1.9 < (sizes[2] - sizes[1]) / (sizes[1] - sizes[0]) < 2.1


def test_functions_count_as_layers_do():
    W = torch.ones(3, 50, requires_grad=True)
    assert activation_bytes(lambda X: torch.relu(X @ W), torch.ones(4, 3)) == 4 * (3 + 50)
