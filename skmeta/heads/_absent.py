"""What heads made of the rows of each class do about a class without rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AbsentClasses"]


class AbsentClasses(nn.Module):
    """A meta-learned feature vector for each class of a shared label set.

    It stands in for the class where the support of a task shows no row of it. Where tasks have
    label sets of their own, every class has rows and it is never used.

    Parameters
    ----------
    n_classes : int
        Classes.
    width : int
        Features.
    """

    def __init__(self, n_classes: int, width: int) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.zeros(n_classes, width))

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return which classes are absent, (n_tasks, n_classes), and the vector of each class.

        Parameters
        ----------
        y : Tensor of shape (n_tasks, n_rows, n_classes)
            Class indicators, 0 in padded rows.
        """
        n_classes = y.shape[2]
        known = self.features[:n_classes]
        missing = n_classes - len(known)
        vectors = (
            torch.cat([known, known.new_zeros(missing, known.shape[1])]) if missing > 0 else known
        )
        return y.sum(dim=1) == 0, vectors
