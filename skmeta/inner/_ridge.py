"""The closed-form ridge head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta.inner._head import PenalisedHead
from skmeta.inner._rule import TaskTensors

__all__ = ["RidgeSolve", "RidgeSystem", "affine", "solve_gram", "solve_ridge", "with_ones"]


class RidgeSolve(PenalisedHead):
    """Ridge regression on the features of a body, the penalty learned (R2D2).

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    alpha : float
        The first value of the penalty λ, for each support row.
    learn_alpha : bool
        Whether λ is meta-learned.
    scale : float or None
        The first value of the learned factor from outputs to logits; None for regression.
    """

    def __init__(
        self,
        body: nn.Module,
        n_features_in: int,
        *,
        alpha: float,
        learn_alpha: bool,
        scale: float | None,
    ) -> None:
        super().__init__(body, n_features_in, alpha=alpha, learn_alpha=learn_alpha)
        self.scale = None if scale is None else nn.Parameter(torch.tensor(float(scale)))

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Solve the head of each task."""
        n_rows = mask.sum(dim=1).clamp(min=1.0)
        F = with_ones(features) * mask[..., None]
        return {"head": solve_ridge(F, y, self.log_alpha.exp() * n_rows)}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Apply each task's head."""
        output = affine(features, state["head"])
        return output if self.scale is None else self.scale * output


def with_ones(features: Tensor) -> Tensor:
    """Append a column of ones, whose weight is the bias."""
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


def affine(features: Tensor, weights: Tensor) -> Tensor:
    """Return ``[f, 1] W`` of rows f, without a copy of them.

    Parameters
    ----------
    features : Tensor of shape (n_tasks, n_rows, width)
        Rows.
    weights : Tensor of shape (width + 1, n_outputs), or a matrix for each task
        W, the bias last.

    Returns
    -------
    outputs : Tensor of shape (n_tasks, n_rows, n_outputs)
    """
    return features @ weights[..., :-1, :] + weights[..., -1:, :]


class RidgeSystem:
    """``F'F + penalty I`` of each task, factorised.

    In the smaller of two spaces: rows (the dual, by Woodbury's identity) where tasks have fewer
    of them than features, else features.

    Parameters
    ----------
    F : Tensor of shape (n_tasks, n_rows, width)
        Features, 0 in padded rows.
    penalty : Tensor of shape (n_tasks,)
        The ridge penalty of each task, positive.
    """

    def __init__(self, F: Tensor, penalty: Tensor) -> None:
        self.F = F
        self.dual = F.shape[1] <= F.shape[2]
        self.factor, self.penalty = _factorise(F @ F.mT if self.dual else F.mT @ F, penalty)

    def solve(self, y: Tensor) -> Tensor:
        """Return ``(F'F + penalty I)⁻¹ F'y``, shape (n_tasks, width, n_outputs)."""
        if self.dual:
            return self.F.mT @ torch.cholesky_solve(y, self.factor)
        return torch.cholesky_solve(self.F.mT @ y, self.factor)

    def leverage(self, rows: Tensor) -> Tensor:
        """Return ``f' (F'F + penalty I)⁻¹ f`` of each row f, shape (n_tasks, n_rows)."""
        if not self.dual:
            return _solve_lower(self.factor, rows.mT).square().sum(dim=1)
        seen = _solve_lower(self.factor, self.F @ rows.mT).square().sum(dim=1)
        return (rows.square().sum(dim=2) - seen).clamp(min=0.0) / self.penalty[:, None]


def solve_ridge(F: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
    """Return ``(F'F + penalty I)⁻¹ F'y`` for each task.

    Parameters
    ----------
    F : Tensor of shape (n_tasks, n_rows, width)
        Features, 0 in padded rows.
    y : Tensor of shape (n_tasks, n_rows, n_outputs)
        Targets.
    penalty : Tensor of shape (n_tasks,)
        The ridge penalty of each task, positive.

    Returns
    -------
    W : Tensor of shape (n_tasks, width, n_outputs)
        Heads.
    """
    return RidgeSystem(F, penalty).solve(y)


def solve_gram(gram: Tensor, moment: Tensor, penalty: Tensor) -> Tensor:
    """Return ``(gram + penalty I)⁻¹ moment`` for each task.

    Parameters
    ----------
    gram : Tensor of shape (n_tasks, size, size)
        Products of features.
    moment : Tensor of shape (n_tasks, size, n_outputs)
        Products of features and targets.
    penalty : Tensor of shape (n_tasks,)
        The ridge penalty of each task, positive.

    Returns
    -------
    W : Tensor of shape (n_tasks, size, n_outputs)
        Solutions.
    """
    return torch.cholesky_solve(moment, _factorise(gram, penalty)[0])


def _factorise(gram: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor of ``gram + penalty I``, and the penalty that it holds."""
    size = gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    # The second term keeps the factorisation alive when a penalty nears rounding error.
    penalty = penalty + 10 * torch.finfo(gram.dtype).eps * size
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.linalg.cholesky(gram + penalty[:, None, None] * eye), penalty


def _solve_lower(factor: Tensor, right: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(factor, right, upper=False)
