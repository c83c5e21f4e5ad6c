"""Meta-batches drawn from a determinantal point process."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from skmeta.tasks import draw_subsets

__all__ = ["DeterminantalBatches"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_LEAST_VALUE = 1e-10  # eigenvalues below it, beside the largest, are rounding errors


class DeterminantalBatches:
    """Draw k tasks S with probability ``det(L_S) / Σ_S' det(L_S')`` (a k-DPP).

    The sampling is exact: k eigenvectors of L are chosen by elementary symmetric polynomials of
    the eigenvalues, then tasks by the determinantal process that projects on these vectors.

    If L has a rank r below k, r tasks are drawn so, and the others uniformly.

    Parameters
    ----------
    factor : ndarray of shape (n_tasks, n_numbers)
        B in ``L = B B'``. If it has fewer columns than rows, eigenvectors are found in the dual
        form, by those of ``B' B``.
    """

    def __init__(self, factor: Array) -> None:
        self.factor = factor
        self.eligible: Indices | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"factor": self.factor, "eligible": None}

    def __call__(
        self, random: np.random.Generator, eligible: Indices, n_batches: int, per_batch: int
    ) -> Indices:
        """Draw meta-batches of distinct tasks, of which there must be as many."""
        if self.eligible is None or not np.array_equal(eligible, self.eligible):
            self.eligible = eligible
            self.values, self.vectors = _spectrum(self.factor[eligible])
            self.squares = _ends(self.vectors)
            self.chances: dict[int, Array] = {}
        rank = min(per_batch, len(self.values))
        if rank not in self.chances:
            self.chances[rank] = _chances(self.values, rank)
        chosen = _draw_vectors(random, self.chances[rank], n_batches)
        drawn = _draw_projection(random, self.vectors, self.squares, chosen)
        return eligible[_fill(random, drawn, len(eligible), per_batch)]


def _spectrum(B: Array) -> tuple[Array, Array]:
    """Return the positive eigenvalues of ``B B'``, and the eigenvectors as rows."""
    dual = B.shape[1] < B.shape[0]
    values, vectors = eigh(B.T @ B if dual else B @ B.T)
    positive = values > max(_LEAST_VALUE * values[-1], np.finfo(B.dtype).tiny)
    values, vectors = values[positive], vectors[:, positive]
    if dual:
        vectors = B @ vectors / np.sqrt(values)
    return values, np.ascontiguousarray(vectors.T)


def _chances(values: Array, k: int) -> Array:
    """Return the chance that the eigenvector n is chosen if j of the first n + 1 are, at [n, j].

    It is ``λ_n e_{j-1}(λ_0 .. λ_{n-1}) / e_j(λ_0 .. λ_n)``.
    """
    log_e = np.full(k + 1, -np.inf)
    log_e[0] = 0.0
    chances = np.zeros((len(values), k + 1))
    for n, log_value in enumerate(np.log(values)):
        possible = slice(1, n + 2)  # and at most k
        with_it = log_value + log_e[:-1][: n + 1]
        log_e[possible] = np.logaddexp(log_e[possible], with_it)
        chances[n, possible] = np.exp(with_it - log_e[possible])
    return chances


def _ends(vectors: Array) -> Array:
    """Return where the share of each item of a unit vector ends, vector n from n to n + 1."""
    shares = np.square(vectors).cumsum(axis=1)
    ends = shares / shares[:, -1:] + np.arange(len(vectors))[:, None]
    flat: Array = ends.ravel()
    return flat


def _draw_vectors(random: np.random.Generator, chances: Array, n_batches: int) -> Indices:
    """Choose k eigenvectors for each batch."""
    n_vectors, k = chances.shape[0], chances.shape[1] - 1
    chosen = np.zeros((n_batches, k), dtype=np.int64)
    left = np.full(n_batches, k)
    for n in range(n_vectors - 1, -1, -1):
        taken = random.random(n_batches) < chances[n, left]
        chosen[taken, left[taken] - 1] = n
        left[taken] -= 1
    return chosen


def _draw_projection(
    random: np.random.Generator, vectors: Array, squares: Array, chosen: Indices
) -> Indices:
    """Draw as many items as vectors for each batch, of the process that projects on the vectors.

    Given some items, the chance of the next is in proportion to the squared length of its column
    of the vectors that is not in the span of theirs. The whole squared length is easy to draw by:
    one of the vectors, then an item by its square there. Draws are accepted by what of it is new,
    so that none of this takes longer for more items.
    """
    n_batches, k = chosen.shape
    drawn = np.empty((n_batches, k), dtype=np.int64)
    basis = np.zeros((n_batches, k, k))
    counts = np.zeros(n_batches, dtype=np.int64)
    busy = np.flatnonzero(counts < k)
    while len(busy):
        one = chosen[busy, random.integers(k, size=len(busy))]
        # Each vector's squares sum to 1: behind one another, they are one sorted array.
        item = np.searchsorted(squares, one + random.random(len(busy)), side="right")
        item = np.minimum(item - one * vectors.shape[1], vectors.shape[1] - 1)
        column = vectors[chosen[busy], item[:, None]][..., None]
        length = np.square(column).sum(axis=(1, 2))
        new = length - np.square(basis[busy] @ column).sum(axis=(1, 2))
        taken = random.random(len(busy)) * length < new
        batch, column, count = busy[taken], column[taken], counts[busy[taken]]
        span = basis[batch]
        for _ in range(2):  # once is not enough to be orthogonal, twice is
            column = column - span.mT @ (span @ column)
        basis[batch, count] = (column / np.linalg.norm(column, axis=1, keepdims=True))[..., 0]
        drawn[batch, count] = item[taken]
        counts[batch] += 1
        busy = np.flatnonzero(counts < k)
    return drawn


def _fill(random: np.random.Generator, drawn: Indices, n_items: int, per_batch: int) -> Indices:
    """Add to the items drawn others, uniformly."""
    n_batches, n_drawn = drawn.shape
    if n_drawn == per_batch:
        return drawn
    others = np.ones((n_batches, n_items), dtype=bool)
    np.put_along_axis(others, drawn, False, axis=1)
    others_of = np.nonzero(others)[1].reshape(n_batches, -1)
    sizes = np.full(n_batches, n_items - n_drawn)
    more = draw_subsets(random, sizes, np.full(n_batches, per_batch - n_drawn))
    return np.column_stack([drawn, np.take_along_axis(others_of, more, axis=1)])
