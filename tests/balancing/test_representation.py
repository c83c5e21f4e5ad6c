"""Weights by gradients of the shared representation, by plain loops, limits and invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _episodes import flat, ragged, trained
from _meta_gradients import OBJECTIVE, gradient_of, modules
from torch import nn

import skmeta
from skmeta.balancing._ntk import NTKGradient
from skmeta.balancing._representation import RepresentationGradient
from skmeta.inner import JointHeads
from skmeta.training import MeanGradient

CASES = pytest.mark.parametrize("case", ["ridge", "heads"])
SPLITS = pytest.mark.parametrize("n_splits", [1, 2, 4])


def case_of(name):
    module = modules()[name]
    if isinstance(module, JointHeads):
        nn.init.normal_(module.heads, generator=torch.Generator().manual_seed(0))
    return module


def sr(module, episode, n_splits=1, **given):
    """Return the update, the weights, and the losses."""
    way = RepresentationGradient(n_splits)
    update, _, losses = gradient_of(module, episode, way, **given)
    return update, way.drawn[0][1], losses


@CASES
@SPLITS
def test_weights_are_those_of_a_plain_loop(case, n_splits):
    module, episode = case_of(case), ragged(sizes=[(4, 3), (1, 5), (6, 1), (2, 8)])
    values = []
    for task in range(4):
        one, rows = episode.take(slice(task, task + 1)), []
        for part in range(n_splits):
            mask = one.query_mask.clone()
            mask[0, [row for row in range(mask.shape[1]) if row % n_splits != part]] = 0
            if mask.sum() == 0:
                continue
            seen = []
            hook = module.body.register_forward_hook(lambda _, __, z, seen=seen: seen.append(z))
            loss = module.task_losses(replace(one, query_mask=mask), OBJECTIVE).sum()
            hook.remove()
            rows.append(flat(torch.autograd.grad(loss, seen)))
        G = torch.stack(rows)
        values.append(torch.linalg.eigvalsh(G @ G.T)[-1] / len(rows))
    values = torch.stack(values)
    _, weights, _ = sr(module, episode, n_splits)
    torch.testing.assert_close(weights, (values.mean() / values).sqrt())


@CASES
@SPLITS
def test_the_update_is_the_gradient_of_the_weighted_meta_loss(case, n_splits):
    module, episode = case_of(case), ragged()
    update, weights, losses = sr(module, episode, n_splits)
    plain = module.task_losses(episode, OBJECTIVE)
    torch.testing.assert_close(losses, plain.detach())
    expected = flat(torch.autograd.grad((weights * plain).mean(), trained(module)))
    if case == "heads":  # each belongs to one task, and gets its plain gradient
        own, *_ = gradient_of(module, episode, MeanGradient())
        n = module.heads.numel()
        expected[:n] = own[:n]
    torch.testing.assert_close(update, expected)


@CASES
@SPLITS
def test_equal_tasks_have_equal_weights(case, n_splits):
    episode = ragged().take(torch.zeros(4, dtype=torch.int64))
    _, weights, _ = sr(case_of(case), episode, n_splits)
    torch.testing.assert_close(weights, torch.ones(4).double())


def test_where_tasks_share_orthonormal_rows_they_are_those_of_the_tangent_kernel():
    torch.manual_seed(0)
    module = JointHeads(nn.Linear(5, 4, bias=False), 5, 3, 2).double().train()
    nn.init.normal_(module.heads)
    episode = ragged(n_features=5, sizes=[(1, 4)] * 3)
    rows = torch.linalg.qr(torch.randn(5, 4).double()).Q.T.expand(3, -1, -1)
    episode = replace(episode, query_X=rows)
    for n_splits in (1, 2):
        way = NTKGradient(n_splits)
        expected, *_ = gradient_of(module, episode, way)
        update, weights, _ = sr(module, episode, n_splits)
        torch.testing.assert_close(weights, way.drawn[0][1])
        torch.testing.assert_close(update, expected)


@CASES
def test_tasks_that_do_not_count_are_as_if_not_there(case):
    """But for the heads of their own, which are trained all the same."""
    module, episode = case_of(case), ragged()
    n_own = module.heads.numel() if case == "heads" else 0
    counts = torch.tensor([2.0, 0, 1.5, 0.5]).double()
    kept = counts.nonzero()[:, 0]
    found, weights, _ = sr(module, episode, weights=counts)
    expected, others, _ = sr(module, episode.take(kept), weights=counts[kept] * 3 / 4)
    torch.testing.assert_close(weights, others)
    torch.testing.assert_close(found[n_own:], expected[n_own:])


def test_networks_that_adapt_as_a_whole_have_no_shared_representation():
    X = np.random.default_rng(0).normal(size=(20, 2))
    learner = skmeta.MAMLRegressor(n_shots=2, max_iter=1)
    with pytest.raises(ValueError, match="have heads on it"):
        skmeta.TaskBalancing(learner, method="ntk-sr").fit(X, X[:, 0], groups=np.arange(20) % 2)
