"""The outer objective."""

from __future__ import annotations

import pytest
import torch

from skmeta.inner import Episode, cross_entropy, squared_error
from skmeta.training import MeanOverTasks


def episode(query_y, query_mask, there=None):
    n_tasks = len(query_y)
    none = torch.zeros(n_tasks, 1, 1), torch.zeros(n_tasks, 1, 1), torch.zeros(n_tasks, 1)
    X = torch.zeros(*query_y.shape[:2], 1)
    return Episode(*none, X, query_y, query_mask, torch.arange(n_tasks), there=there)


@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
def test_a_task_counts_once_whatever_its_rows(loss):
    torch.manual_seed(0)
    predicted = torch.randn(3, 4, 2, dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.randint(2, (3, 4)), 2).double()
    n_rows = (4, 1, 2)
    mask = torch.tensor([[i < n for i in range(4)] for n in n_rows], dtype=torch.float64)
    reference = {squared_error: torch.nn.MSELoss(), cross_entropy: torch.nn.CrossEntropyLoss()}
    each = [reference[loss](p[:n], t[:n]) for p, t, n in zip(predicted, y, n_rows, strict=True)]
    found = MeanOverTasks(loss)(predicted, episode(y * mask[..., None], mask))
    torch.testing.assert_close(found, torch.stack(each).mean())


def test_outputs_that_a_task_does_not_have_do_not_count():
    torch.manual_seed(0)
    predicted = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    there = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.randint(2, (2, 5)), 4).double()
    loss = MeanOverTasks(cross_entropy).task_losses(predicted, episode(y, torch.ones(2, 5), there))
    for task, width in enumerate((2, 4)):
        expected = cross_entropy(predicted[task, :, :width], y[task, :, :width]).mean()
        torch.testing.assert_close(loss[task], expected)
    loss.sum().backward()
    assert not predicted.grad[0, :, 2:].any()
    assert predicted.grad[1].all()


def test_a_task_without_query_rows_is_worth_nothing():
    torch.manual_seed(0)
    predicted = torch.randn(1, 3, 1, requires_grad=True)
    loss = MeanOverTasks(squared_error)(predicted, episode(torch.zeros(1, 3, 1), torch.zeros(1, 3)))
    loss.backward()
    assert loss == 0
    assert not predicted.grad.any()
