"""Clustering the query rows of a task together, around prototypes that its support holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta.inner import TaskTensors

__all__ = ["NeighbourGraph", "cluster_jointly"]

_NEIGHBOURS = 3
_SWEEPS = 20
_TOLERANCE = 1e-7
_ROUNDING = 100.0  # units in the last place by which the sum of an energy may be off
_ENTRIES = 1 << 24  # of distances held at once

Logits = Callable[[Tensor], Tensor]
"""Prototypes of each task, shape (n_tasks, n_classes, width) -> logits of its query rows."""


@dataclass(frozen=True)
class NeighbourGraph:
    """The nearest rows of each row among those of its task, as a sparse matrix A of 0 and 1.

    Parameters
    ----------
    index : Tensor of shape (n_tasks, n_rows, n_neighbours)
        Their numbers within the task.
    weight : Tensor of the same shape
        1 for a neighbour, 0 where a task has no such row.
    """

    index: Tensor
    weight: Tensor

    @classmethod
    def of(cls, features: Tensor, mask: Tensor, n_neighbours: int = _NEIGHBOURS) -> NeighbourGraph:
        """Find the neighbours of the rows of each task; fewer, where it has few rows.

        Parameters
        ----------
        features : Tensor of shape (n_tasks, n_rows, width)
            Rows of each task.
        mask : Tensor of shape (n_tasks, n_rows)
            1 for a row, 0 for padding.
        n_neighbours : int
            How many.
        """
        n_tasks, n_rows, _ = features.shape
        n_neighbours = min(n_neighbours, n_rows - 1)
        absent = (mask == 0)[:, None]
        found = []
        step = max(1, _ENTRIES // (n_tasks * n_rows))
        for start in range(0, n_rows, step):
            # Each distance by itself: a matrix product would round by what else is in the batch.
            far = torch.cdist(
                features[:, start : start + step],
                features,
                compute_mode="donot_use_mm_for_euclid_dist",
            ).masked_fill(absent, torch.inf)
            far.diagonal(start, dim1=1, dim2=2).fill_(torch.inf)
            found.append(far.topk(n_neighbours, largest=False))
        distance = torch.cat([part.values for part in found], dim=1)
        weight = distance.isfinite() * mask[..., None]
        return cls(torch.cat([part.indices for part in found], dim=1), weight)

    def spread(self, Y: Tensor) -> Tensor:
        """Return ``WY`` with ``W = (A + A') / 2``."""
        n_tasks, n_rows, n_classes = Y.shape
        index = self.index.flatten(1)[..., None].expand(-1, -1, n_classes)
        to = self.weight[..., None] * Y.gather(1, index).view(n_tasks, n_rows, -1, n_classes)
        back = self.weight[..., None] * Y[:, :, None]
        returned = torch.zeros_like(Y).scatter_add_(1, index, back.flatten(1, 2))
        return (to.sum(dim=2) + returned) / 2


class _Assignment(NamedTuple):
    """Y of each task, the logits it was given, those that follow, and its energy."""

    given: Tensor
    Y: Tensor
    following: Tensor
    energy: Tensor


def cluster_jointly(
    features: Tensor,
    mask: Tensor,
    support: TaskTensors,
    logits: Logits,
    *,
    scale: Tensor | float,
    smoothness: float,
    n_sweeps: int = _SWEEPS,
) -> tuple[Tensor, Tensor]:
    """Assign the query rows of each task to classes and move its prototypes, in turns.

    A sweep is ``Y = softmax(l(c) + λ W Y)``, then ``c_k``, the mean of the support rows of class k
    and of the query rows, weighted by Y. It lowers the energy of a task,

    ``Σ_ik Y_ik (log Y_ik - l_ik(c) - λ (W Y)_ik / 2) + s Σ_k n_k ‖c_k - m_k‖²``,

    with logits ``l_ik = -s ‖f_i - c_k‖²`` plus what c does not change, and m_k, n_k the mean and
    the number of support rows of class k: what they are labelled as is held fast. A sweep that
    would raise it, as one of all rows at once may where λ is large, is not taken and ends it.

    Parameters
    ----------
    features : Tensor of shape (n_tasks, n_rows, width)
        Query rows of each task.
    mask : Tensor of shape (n_tasks, n_rows)
        1 for a row, 0 for padding.
    support : dict of Tensor
        m, "prototypes" of shape (n_tasks, n_classes, width), and n, "counts" of (n_tasks,
        n_classes); the prototype of a class without rows counts as one.
    logits : callable
        l.
    scale : Tensor of shape () or float
        s.
    smoothness : float
        λ.
    n_sweeps : int
        At most this many.

    Returns
    -------
    logits : Tensor of shape (n_tasks, n_rows, n_classes)
        Those whose softmax is Y.
    energy : Tensor of shape (n_tasks,)
        What was reached.
    """
    there = mask[..., None]
    m, n = support["prototypes"], support["counts"].clamp(min=1.0)[..., None]
    graph = NeighbourGraph.of(features, mask)

    def assigned(given: Tensor) -> _Assignment:
        Y = given.softmax(dim=2) * there
        total = Y.sum(dim=1)[..., None]
        c = m + (Y.mT @ features - total * m) / (n + total)
        unary, pull = logits(c), smoothness * graph.spread(Y)
        energy = -(torch.special.entr(Y) + Y * (unary + pull / 2)).sum(dim=(1, 2))
        held = scale * (n * (c - m).square()).sum(dim=(1, 2))
        return _Assignment(given, Y, unary + pull, energy + held)

    now = assigned(logits(m))
    slack = _ROUNDING * torch.finfo(now.energy.dtype).eps
    moving = torch.ones(len(m), dtype=torch.bool, device=m.device)
    for _ in range(n_sweeps):
        new = assigned(now.following)
        moving = moving & (new.energy <= now.energy + slack * (1 + now.energy.abs()))
        change = (new.Y - now.Y).abs().amax(dim=(1, 2))
        now = _Assignment(
            *(
                torch.where(moving.view(-1, *[1] * (after.ndim - 1)), after, before)
                for after, before in zip(new, now, strict=True)
            )
        )
        moving = moving & (change > _TOLERANCE)
        if not moving.any():
            break
    return now.given, now.energy
