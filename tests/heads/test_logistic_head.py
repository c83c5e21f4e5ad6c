"""LR-D2 is scikit-learn's logistic regression on learned features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import skmeta
from skmeta import LogisticHeadClassifier
from skmeta.heads._logistic_head import _LogisticSolve


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_classification_tasks(20, 30, 4, random_state=0)


@pytest.mark.parametrize("n_rows", [4, 25])  # fewer and more rows than features
@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_converges_to_scikit_learns_logistic_regression(tasks, n_rows, alpha):
    X, y = tasks.data[:n_rows], tasks.target[:n_rows]
    augmented = np.column_stack([tasks.data, np.ones(len(tasks.data))])
    reference = LogisticRegression(C=1 / alpha, fit_intercept=False, tol=1e-10, max_iter=10_000)
    expected = reference.fit(augmented[:n_rows], y).decision_function(augmented)
    rule = _LogisticSolve(nn.Identity(), 4, alpha=alpha, learn_alpha=False, n_steps=20).double()
    rows = torch.tensor(X)[None]
    indicators = torch.tensor(np.eye(2)[np.searchsorted(reference.classes_, y)])[None]
    with torch.no_grad():
        state = rule.adapt(rows, indicators, torch.ones(1, n_rows, dtype=torch.float64))
        logits = rule.predict(torch.tensor(tasks.data)[None], state)[0].numpy()
    np.testing.assert_allclose(logits[:, 1], expected, atol=1e-5)
    np.testing.assert_allclose(logits[:, 0], -expected, atol=1e-5)


def test_one_differentiated_step_has_the_gradient_of_all_steps():
    """At the solution a Newton step does not depend on its start."""
    torch.manual_seed(0)
    X = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    y = nn.functional.one_hot(torch.randint(0, 3, (2, 6)), 3).double()
    rule = _LogisticSolve(nn.Identity(), 3, alpha=0.5, learn_alpha=True, n_steps=12).double()

    def unrolled():
        F = torch.cat([X, torch.ones_like(X[..., :1])], dim=-1)
        heads = []
        for k in range(3):
            w = torch.zeros(2, 4, 1, dtype=torch.float64)
            for _ in range(12):
                mu = (F @ w).sigmoid()
                s = mu * (1 - mu)
                H = F.mT @ (s * F) + rule.log_alpha.exp() * torch.eye(4)
                w = w - torch.linalg.solve(
                    H, F.mT @ (mu - y[..., k : k + 1]) + rule.log_alpha.exp() * w
                )
            heads.append(w)
        return torch.cat(heads, dim=2)

    way = torch.randn(2, 4, 3, dtype=torch.float64)
    found = rule.adapt(X, y, torch.ones(2, 6, dtype=torch.float64))["head"]
    expected = unrolled()
    torch.testing.assert_close(found, expected)
    at = [X, rule.log_alpha]
    for one, other in zip(
        torch.autograd.grad((found * way).sum(), at),
        torch.autograd.grad((expected * way).sum(), at),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_penalty_is_learned(tasks):
    model = LogisticHeadClassifier(module=nn.Identity, max_iter=50, lr=0.05, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.alpha_ != pytest.approx(1.0, rel=0.1)


def test_separable_rows_of_any_scale_stay_finite(tasks):
    model = LogisticHeadClassifier(module=nn.Identity, max_iter=0, alpha=1e-3)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    X = np.array([[1e3, 0, 0, 0], [-1e3, 0, 0, 0]])
    proba = model.adapt(X, np.unique(tasks.target)).predict_proba(X)
    np.testing.assert_allclose(proba, np.eye(2), atol=1e-3)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"n_inner_steps": 0}])
def test_wrong_parameters_are_named(tasks, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LogisticHeadClassifier(**wrong).fit(tasks.data, tasks.target, groups=tasks.groups)
