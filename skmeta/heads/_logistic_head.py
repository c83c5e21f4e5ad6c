"""LR-D2: a logistic-regression head, solved by Newton's method inside each episode."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import DeepClassifierMixin
from skmeta.base._params import meta_learner
from skmeta.heads._ridge_head import PenalisedHeadLearner
from skmeta.inner import PenalisedHead, TaskTensors, affine, with_ones
from skmeta.tasks import TaskData

__all__ = ["LogisticHeadClassifier"]

_LEAST_CURVATURE = 1e-6


class _LogisticSolve(PenalisedHead):
    """One logistic regression for each class of each task, by IRLS."""

    def __init__(
        self,
        body: nn.Module,
        n_features_in: int,
        *,
        alpha: float,
        learn_alpha: bool,
        n_steps: int,
    ) -> None:
        super().__init__(body, n_features_in, alpha=alpha, learn_alpha=learn_alpha)
        self.scale = nn.Parameter(torch.ones(()))
        self.n_steps = n_steps

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Repeat ``w = X'(XX' + λS⁻¹)⁻¹ z = (X'SX + λI)⁻¹ X'Sz`` in the smaller of two spaces."""
        X = (with_ones(features) * mask[..., None])[:, None]
        y = y.mT[..., None]
        K = X @ X.mT if X.shape[2] <= X.shape[3] else None
        penalty = self.log_alpha.exp() * torch.eye(min(X.shape[2:]), dtype=X.dtype, device=X.device)

        def newton(eta: Tensor) -> tuple[Tensor, Tensor]:
            """Return the next w and its logits."""
            mu = eta.sigmoid()
            root = (mu * (1 - mu)).clamp(min=_LEAST_CURVATURE).sqrt()
            z = root * eta + (y - mu) / root
            if K is not None:
                a = root * _solve(root * K * root.mT + penalty, z)
                return X.mT @ a, K @ a
            w = _solve((root * X).mT @ (root * X) + penalty, (root * X).mT @ z)
            return w, X @ w

        eta = torch.zeros_like(y)
        with torch.no_grad():
            for _ in range(self.n_steps - 1):
                eta = newton(eta)[1]
        return {"head": newton(eta)[0][..., 0].mT}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        return self.scale * affine(features, state["head"])


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix))


@meta_learner
class LogisticHeadClassifier(DeepClassifierMixin, PenalisedHeadLearner):
    """Meta-learned features with a logistic regression for each task (LR-D2).

    A network maps rows to features; each class of a task gets the logistic regression of itself
    against the rest on the features of the support, by a fixed number of Newton steps.
    Meta-training back-propagates the query loss through these steps and learns the penalty.

    Pick it over `RidgeHeadClassifier` when labels are uneven or noisy, where the squared loss of
    class indicators is a poor fit; it costs as many solves as it takes steps, for each class.

    Parameters
    ----------
    alpha : float, default=1.0
        The first value of the penalty λ of a head, as ``1 / C`` in scikit-learn's
        `LogisticRegression`.
    learn_alpha : bool, default=True
        Whether λ is meta-learned.
    n_inner_steps : int, default=10
        Newton steps.
    {shared}

    Attributes
    ----------
    alpha_ : float
        The learned penalty.
    {attributes}

    Notes
    -----
    A step is iteratively reweighted least squares: with ``μ = σ(Xw)``, ``s = μ (1 - μ)`` and
    ``z = Xw + (y - μ) / s`` the next w is ``X'(XX' + λS⁻¹)⁻¹ z``, a ridge regression of rows
    weighted by ``√s``. The bias is a column of ones and is penalised as the features are. The
    logits of the classes, times a learned factor, go into one softmax. A Newton step from the
    solution does not depend on where exactly it starts, so the meta-gradient of the converged
    steps is that of the last one, and only it is differentiated.

    References
    ----------
    .. [1] L. Bertinetto, J. F. Henriques, P. H. S. Torr, A. Vedaldi (2019). Meta-learning with
       differentiable closed-form solvers. ICLR; arXiv:1805.08136, section 3.3.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.LogisticHeadClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    alpha: float = 1.0
    n_inner_steps: int = 10

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.n_inner_steps, "n_inner_steps", Integral, min_val=1)

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            _LogisticSolve,
            n_features_in=data.X.shape[1],
            alpha=self.alpha,
            learn_alpha=self.learn_alpha,
            n_steps=self.n_inner_steps,
        )
