"""The closed-form ridge head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skmeta.inner._head import HeadRule
from skmeta.inner._rule import TaskTensors

__all__ = ["RidgeSolve", "solve_gram", "solve_ridge"]


class RidgeSolve(HeadRule):
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
        super().__init__(body, n_features_in)
        start = torch.tensor(math.log(alpha), dtype=torch.float64)
        self.log_alpha = nn.Parameter(start, requires_grad=learn_alpha)
        self.scale = None if scale is None else nn.Parameter(torch.tensor(float(scale)))

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Solve the head of each task."""
        n_rows = mask.sum(dim=1).clamp(min=1.0)
        F = _with_ones(features) * mask[..., None]
        return {"head": solve_ridge(F, y, self.log_alpha.exp() * n_rows)}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Apply each task's head."""
        output = _with_ones(features) @ state["head"]
        return output if self.scale is None else self.scale * output

    @property
    def bytes_per_task(self) -> int:
        """Size of a head with one output."""
        return (self.width + 1) * self.log_alpha.element_size()


def _with_ones(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


def solve_ridge(F: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
    """Return ``(F'F + penalty I)⁻¹ F'y`` for each task.

    Solved in the smaller of the two spaces: rows (the dual, by Woodbury's identity) where a task
    has fewer of them than features, else features.

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
    if F.shape[1] <= F.shape[2]:
        return F.mT @ solve_gram(F @ F.mT, y, penalty)
    return solve_gram(F.mT @ F, F.mT @ y, penalty)


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
    size = gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    # The second term keeps the factorisation alive when a learned penalty nears rounding error.
    ridge = penalty + 10 * torch.finfo(gram.dtype).eps * size
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(gram + ridge[:, None, None] * eye)
    return torch.cholesky_solve(moment, factor)
