"""Meta-batches of tasks that are far apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FarthestBatches"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class FarthestBatches:
    """Draw a task uniformly, then again and again the one farthest from those drawn.

    Parameters
    ----------
    points : ndarray of shape (n_tasks, n_numbers)
        Tasks, among which Euclidean distances are taken.
    """

    def __init__(self, points: Array) -> None:
        self.points = points
        self.eligible: Indices | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"points": self.points, "eligible": None}

    def __call__(
        self, random: np.random.Generator, eligible: Indices, n_batches: int, per_batch: int
    ) -> Indices:
        """Draw meta-batches of distinct tasks, of which there must be as many."""
        if self.eligible is None or not np.array_equal(eligible, self.eligible):
            self.eligible = eligible
            points = self.points[eligible]
            squares = np.square(points).sum(axis=1)
            self.apart = squares[:, None] + squares - 2 * points @ points.T
        batch = np.arange(n_batches)
        drawn = np.empty((n_batches, per_batch), dtype=np.int64)
        drawn[:, 0] = random.integers(len(eligible), size=n_batches)
        nearest = np.full((n_batches, len(eligible)), np.inf)
        for step in range(1, per_batch):
            last = drawn[:, step - 1]
            np.minimum(nearest, self.apart[last], out=nearest)
            nearest[batch, last] = -np.inf
            drawn[:, step] = nearest.argmax(axis=1)
        return eligible[drawn]
