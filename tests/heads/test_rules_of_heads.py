"""Every head rule: tasks of a batch do not see each other, nor padding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _episodes import TOLERANCE, assert_close, flat, meta_gradient, ragged, trained
from torch import nn

from skmeta.heads._bayesian_head import _BayesianHead
from skmeta.heads._logistic_head import _LogisticSolve
from skmeta.heads._matching import _Attention
from skmeta.heads._prototypical import _Prototypes
from skmeta.heads._svm_head import _MulticlassSVM, _SupportVectorRegression
from skmeta.inner import RidgeSolve, RidgeSystem, cross_entropy, squared_error

N_FEATURES = 3
SIZES = [(4, 3), (1, 5), (9, 1), (2, 2)]  # fewer and more support rows than features

RULES = {
    "bayesian": lambda body: _BayesianHead(body, N_FEATURES, 2, noise=0.3, learn=True),
    "ridge": lambda body: RidgeSolve(body, N_FEATURES, alpha=0.2, learn_alpha=True, scale=None),
    "svm regression": lambda body: _SupportVectorRegression(
        body, N_FEATURES, C=0.7, ridge=1e-3, epsilon=0.1
    ),
    "logistic": lambda body: _LogisticSolve(
        body, N_FEATURES, alpha=0.5, learn_alpha=True, n_steps=10
    ),
    "prototypes": lambda body: _Prototypes(body, N_FEATURES, 2),
    "attention": lambda body: _Attention(body, N_FEATURES, 2),
    "svm": lambda body: _MulticlassSVM(body, N_FEATURES, 2, C=0.5, ridge=1.0),
}
REGRESSION = ("bayesian", "ridge", "svm regression")


def rule_of(name, dtype=torch.float64):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(N_FEATURES, 5), nn.Tanh())
    rule = RULES[name](body).to(dtype)
    with torch.no_grad():  # away from starts that are all 0 or the identity
        for parameter in rule.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return rule


def episode_of(name, dtype=torch.float64):
    return ragged(dtype, N_FEATURES, 2, sizes=SIZES, classes=name not in REGRESSION)


def alone(episode, task):
    """Return the episode of one task without its padding."""
    n_support = int(episode.support_mask[task].sum())
    n_query = int(episode.query_mask[task].sum())
    one = {
        name: value[task : task + 1]
        for name, value in vars(episode).items()
        if isinstance(value, torch.Tensor)
    }
    for name, value in one.items():
        if name.startswith("support"):
            one[name] = value[:, :n_support]
        elif name.startswith("query"):
            one[name] = value[:, :n_query]
    return dataclasses.replace(episode, **one)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_ragged_batch_is_its_tasks_one_by_one(name, dtype):
    loss = squared_error if name in REGRESSION else cross_entropy
    rule, episode = rule_of(name, dtype), episode_of(name, dtype)
    found = meta_gradient(rule, episode, loss)
    one_by_one = [meta_gradient(rule, alone(episode, task), loss) for task in range(len(SIZES))]
    expected = [torch.stack(parts).mean(dim=0) for parts in zip(*one_by_one, strict=True)]
    assert_close(found, expected, 1e2 * TOLERANCE[dtype] if "svm" in name else TOLERANCE[dtype])


@pytest.mark.parametrize("name", RULES)
def test_gradients_are_those_of_finite_differences(name):
    rule, episode = rule_of(name), episode_of(name)
    loss = squared_error if name in REGRESSION else cross_entropy
    _, gradient = meta_gradient(rule, episode, loss)
    generator = torch.Generator().manual_seed(1)
    way = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in trained(rule)]
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            for parameter, direction in zip(trained(rule), way, strict=True):
                parameter.add_(step * direction)
            values.append(meta_gradient_value(rule, episode, loss))
            for parameter, direction in zip(trained(rule), way, strict=True):
                parameter.sub_(step * direction)
    slope = (values[0] - values[1]) / 2e-5
    torch.testing.assert_close(gradient @ flat(way), slope, rtol=1e-5, atol=1e-8)


def meta_gradient_value(rule, episode, loss):
    with torch.enable_grad():
        return meta_gradient(rule, episode, loss)[0]


@pytest.mark.parametrize("name", RULES)
def test_prediction_is_invariant_to_the_order_of_support_rows(name):
    rule, episode = rule_of(name), episode_of(name)
    order = torch.randperm(episode.support_X.shape[1], generator=torch.Generator().manual_seed(2))
    shuffled = dataclasses.replace(
        episode,
        support_X=episode.support_X[:, order],
        support_y=episode.support_y[:, order],
        support_mask=episode.support_mask[:, order],
    )
    with torch.no_grad():
        torch.testing.assert_close(rule(shuffled), rule(episode), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("n_rows", [3, 20])
def test_a_ridge_system_has_the_leverage_of_its_inverse(n_rows):
    random = np.random.default_rng(0)
    F, rows = (torch.tensor(random.normal(size=(4, n, 6))) for n in (n_rows, 5))
    penalty = torch.tensor([0.1, 1.0, 2.0, 0.5], dtype=torch.float64)
    inverse = torch.linalg.inv(F.mT @ F + penalty[:, None, None] * torch.eye(6))
    expected = (rows @ inverse * rows).sum(dim=2)
    torch.testing.assert_close(RidgeSystem(F, penalty).leverage(rows), expected)
