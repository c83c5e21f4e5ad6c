"""MetaOptNet: a support vector machine as the head, its dual solved inside each episode."""

from __future__ import annotations

import abc
from functools import partial
from numbers import Real
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.heads._absent import AbsentClasses
from skmeta.inner import HeadRule, TaskTensors, affine, solve_box, with_ones
from skmeta.tasks import TaskData

__all__ = ["SVMHeadClassifier", "SVMHeadRegressor"]

_CLASS_RIDGE = 1.0  # added to the kernel of the dual, as in the paper's code
_ROW_RIDGE = 1e-3  # what makes the dual of the regression strictly convex
_TOLERANCE = {torch.float32: 1e-9, torch.float64: 1e-12}
_SHUT = 1e8  # curvature that keeps the variables of a class without rows at 0


class _SVMSolve(HeadRule):
    """Heads ``W = F'α`` from dual variables, solved in double precision."""

    def __init__(self, body: nn.Module, n_features_in: int, *, C: float, ridge: float) -> None:
        super().__init__(body, n_features_in)
        start = torch.tensor(C, dtype=torch.float64)
        self.C = nn.Parameter(start, requires_grad=False)
        self.ridge = ridge

    @abc.abstractmethod
    def _dual(self, K: Tensor, y: Tensor, mask: Tensor, tolerance: float) -> Tensor:
        """Return the dual variables, shape (n_tasks, n_outputs, n_rows)."""

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        F = (with_ones(features) * mask[..., None]).double()
        K = F @ F.mT
        K = K + self.ridge * torch.eye(K.shape[1], dtype=K.dtype, device=K.device)
        alpha = self._dual(K, y.mT.double(), mask[:, None].double(), _TOLERANCE[features.dtype])
        return {"head": (alpha @ F).mT.to(features.dtype)}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        return affine(features, state["head"])

    @property
    def bytes_per_task(self) -> int:
        return (self.width + 1) * 8


class _MulticlassSVM(_SVMSolve):
    """Crammer and Singer's machine, equation 7."""

    def __init__(
        self, body: nn.Module, n_features_in: int, n_classes: int, *, C: float, ridge: float
    ) -> None:
        super().__init__(body, n_features_in, C=C, ridge=ridge)
        self.absent = AbsentClasses(n_classes, self.width + 1)
        self.scale = nn.Parameter(torch.ones(()))

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        head = super().adapt_head(features, y, mask)["head"]
        missing, stand_in = self.absent(y)
        return {"head": self.scale * torch.where(missing[:, None], stand_in.mT, head)}

    def _dual(self, K: Tensor, y: Tensor, mask: Tensor, tolerance: float) -> Tensor:
        """``min ½ Σ_m α_m'Kα_m - Σ_i α_i^{y_i}``, ``α_i^m <= C [m = y_i]``, ``Σ_m α_i^m = 0``."""
        n_classes = y.shape[1]
        shut = _SHUT * (y.sum(dim=2, keepdim=True) == 0)
        upper = self.C * (y + 1 - mask)  # 0 is inside the bounds of a padded row
        start = self.C / (2 * n_classes) * (n_classes * y - mask)

        def slope(x: Tensor) -> Tensor:
            return x @ K + shut * x - y

        def newton(curvature: Tensor) -> Any:
            # H has one block for each class; the constraint ties the classes of a row.
            blocks = K.detach()[:, None] + torch.diag_embed(curvature + shut)
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(blocks))
            tie = torch.linalg.cholesky(inverse.sum(dim=1))

            def solve(r: Tensor) -> Tensor:
                free = _times(inverse, r)
                v = torch.cholesky_solve(free.sum(dim=1)[..., None], tie)
                return free - _times(inverse, v.mT)

            return solve

        lower = torch.full_like(upper, -torch.inf)
        return solve_box(start, lower, upper, slope, newton, tolerance)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Multiply small matrices and vectors, without a call for each."""
    return (matrices * vectors[..., None, :]).sum(dim=-1)


class _SupportVectorRegression(_SVMSolve):
    """The ε-insensitive machine, one for each output."""

    def __init__(
        self, body: nn.Module, n_features_in: int, *, C: float, ridge: float, epsilon: float
    ) -> None:
        super().__init__(body, n_features_in, C=C, ridge=ridge)
        self.epsilon = epsilon

    def _dual(self, K: Tensor, y: Tensor, mask: Tensor, tolerance: float) -> Tensor:
        """``min ½ β'Kβ - y'β + ε Σ (α + α*)`` with ``β = α - α*``, ``0 <= α, α* <= C``."""
        sign = torch.tensor([1.0, -1.0], dtype=K.dtype, device=K.device)
        target = sign * y[..., None] - self.epsilon
        upper = self.C * torch.ones_like(target)

        def slope(x: Tensor) -> Tensor:
            return sign * ((x @ sign) @ K)[..., None] - target

        def newton(curvature: Tensor) -> Any:
            loose = 1 / curvature
            width = loose.sum(dim=3)
            factor = torch.linalg.cholesky(K.detach()[:, None] + torch.diag_embed(1 / width))

            def solve(r: Tensor) -> Tensor:
                beta = ((loose * r) @ sign) / width
                beta = torch.cholesky_solve(beta[..., None], factor)[..., 0]
                up, down = (loose * (r - sign * (beta @ K.detach())[..., None])).unbind(dim=3)
                # The looser of the two is a difference of large numbers: it is what is left.
                free = loose[..., 0] > loose[..., 1]
                up, down = torch.where(free, beta + down, up), torch.where(free, down, up - beta)
                return torch.stack([up, down], dim=3)

            return solve

        x = solve_box(0.5 * upper, torch.zeros_like(upper), upper, slope, newton, tolerance)
        return (x @ sign) * mask


@meta_learner
class _SVMHead(EpisodicParams, BaseDeepLearner):
    C: float = 0.1

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.C, "C", Real, min_val=0, include_boundaries="neither")


@meta_learner
class SVMHeadClassifier(DeepClassifierMixin, _SVMHead):
    """Meta-learned features with a support vector machine for each task (MetaOptNet).

    A network maps rows to features; the head of a task is the multi-class support vector machine
    of Crammer and Singer on its support. Its dual is a quadratic program, solved for all tasks at
    once; meta-training back-propagates the query loss through the solution, by its optimality
    conditions.

    Pick it for few-shot classification with strong bodies, such as `ResNet12` on images, where
    large margins generalise best. `RidgeHeadClassifier` is nearly as accurate and much faster.

    Parameters
    ----------
    C : float, default=0.1
        The largest dual variable of a row: smaller values regularise more.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    As in the paper's code, the identity is added to the kernel matrix of the dual, which makes
    its solution unique and differentiable, and the logits have a learned factor. Features have a
    column of ones, which the paper's have not. Where tasks share a label set, a class that the
    support does not show has a meta-learned weight vector.

    References
    ----------
    .. [1] K. Lee, S. Maji, A. Ravichandran, S. Soatto (2019). Meta-learning with differentiable
       convex optimization. CVPR; arXiv:1904.03758, equations 6 to 10.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.SVMHeadClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            _MulticlassSVM,
            n_features_in=data.X.shape[1],
            n_classes=self._n_net_outputs,
            C=self.C,
            ridge=_CLASS_RIDGE,
        )


@meta_learner
class SVMHeadRegressor(DeepRegressorMixin, _SVMHead):
    """Meta-learned features with a support vector regression for each task.

    As `SVMHeadClassifier`, with the ε-insensitive regression as the head: support rows within
    `epsilon` of the prediction do not count, and no row counts more than `C`.

    Pick it over `RidgeHeadRegressor` when support rows have outliers.

    Parameters
    ----------
    C : float, default=1.0
        The largest weight of a row: smaller values regularise more.
    epsilon : float, default=0.05
        Errors up to this are none, in units of the normalised targets.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    A thousandth of the identity is added to the kernel matrix of the dual, which makes its
    solution unique and differentiable. Features have a column of ones.

    References
    ----------
    .. [1] K. Lee, S. Maji, A. Ravichandran, S. Soatto (2019). Meta-learning with differentiable
       convex optimization. CVPR; arXiv:1904.03758, section 3.2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.SVMHeadRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """

    C: float = 1.0
    epsilon: float = 0.05

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.epsilon, "epsilon", Real, min_val=0)

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            _SupportVectorRegression,
            n_features_in=data.X.shape[1],
            C=self.C,
            ridge=_ROW_RIDGE,
            epsilon=self.epsilon,
        )
