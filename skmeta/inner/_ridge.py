"""The closed-form ridge head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skmeta.inner._rule import Episode, InnerRule, TaskTensors, network_width

__all__ = ["RidgeSolve", "solve_ridge"]


class RidgeSolve(InnerRule):
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
        super().__init__()
        self.body = body
        self.width = network_width(body, n_features_in)
        start = torch.tensor(math.log(alpha), dtype=torch.float64)
        self.log_alpha = nn.Parameter(start, requires_grad=learn_alpha)
        self.scale = None if scale is None else nn.Parameter(torch.tensor(float(scale)))

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Solve the head of each task."""
        return {"head": self._solve(self._features(X), y, mask)}

    def predict(self, X: Tensor, state: TaskTensors) -> Tensor:
        """Apply each task's head."""
        return self._read_out(self._features(X), state["head"])

    def forward(self, episode: Episode) -> Tensor:
        """Adapt and predict with one pass through the body."""
        rows = torch.cat([episode.support_X, episode.query_X], dim=1)
        sizes = [episode.support_X.shape[1], episode.query_X.shape[1]]
        support, query = torch.split(self._features(rows), sizes, dim=1)
        return self._read_out(query, self._solve(support, episode.support_y, episode.support_mask))

    def _solve(self, features: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        n_rows = mask.sum(dim=1).clamp(min=1.0)
        return solve_ridge(features * mask[..., None], y, self.log_alpha.exp() * n_rows)

    def _read_out(self, features: Tensor, head: Tensor) -> Tensor:
        output = features @ head
        return output if self.scale is None else self.scale * output

    def represent(self, X: Tensor) -> Tensor:
        """Return the features of the body."""
        return self.body(X)

    @property
    def bytes_per_task(self) -> int:
        """Size of a head with one output."""
        return (self.width + 1) * self.log_alpha.element_size()

    def _features(self, X: Tensor) -> Tensor:
        features = self.body(X.flatten(0, 1)).view(*X.shape[:2], -1)
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
    dual = F.shape[1] <= F.shape[2]
    gram = F @ F.mT if dual else F.mT @ F
    size = gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    # The second term keeps the factorisation alive when a learned penalty nears rounding error.
    ridge = penalty + 10 * torch.finfo(F.dtype).eps * size
    factor = torch.linalg.cholesky(
        gram + ridge[:, None, None] * torch.eye(gram.shape[-1], dtype=F.dtype, device=F.device)
    )
    if dual:
        return F.mT @ torch.cholesky_solve(y, factor)
    return torch.cholesky_solve(F.mT @ y, factor)
