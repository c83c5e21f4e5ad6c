"""Directions in which coefficients are learned, made from standardised features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Design"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """An intercept and directions of the standardised features.

    Parameters
    ----------
    center, scale : ndarray of shape (n_features,)
        Weighted mean and standard deviation; constant features have scale 0.
    basis : ndarray of shape (n_features, d - 1)
        One column for each direction.
    n_varying : int
        How many of the d directions, the intercept first, may differ between tasks.
    """

    center: Array
    scale: Array
    basis: Array
    n_varying: int

    @classmethod
    def of(cls, X: Array, weight: Array, effects: str, n_components: int) -> Design:
        """Choose directions for `effects`.

        Principal directions are used where all features vary together ("full") and where there
        are more features than `n_components`; collinear ones drop out. Otherwise each feature is
        its own direction.
        """
        total = weight.sum()
        center = weight @ X / total
        variance = weight @ (X - center) ** 2 / total
        magnitude = np.abs(X).max(axis=0, initial=0.0)
        scale = np.sqrt(variance)
        scale[scale <= 1e-10 * magnitude] = 0.0
        design = cls(center, scale, np.eye(X.shape[1]), 0)
        n_useful = int((scale > 0).sum())
        if effects == "full" or n_useful > n_components:
            basis = _principal_directions(design.standardise(X), weight)
        else:
            basis = np.eye(X.shape[1])[:, scale > 0]
        n_varying = 1 if effects == "intercept" else 1 + min(basis.shape[1], n_components)
        return cls(center, scale, basis, n_varying)

    @property
    def n_directions(self) -> int:
        """The number of fixed coefficients."""
        return 1 + self.basis.shape[1]

    def standardise(self, X: NDArray[Any]) -> Array:
        """Return features with mean 0 and variance 1; constant ones become 0."""
        inverse = np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        standard: Array = (X - self.center) * inverse
        return standard

    def transform(self, X: NDArray[Any]) -> Array:
        """Return the design matrix F, shape (n_samples, d)."""
        directions = self.standardise(X) @ self.basis
        return np.column_stack([np.ones(len(X)), directions])

    def to_features(self) -> Array:
        """Return the map from coefficients of directions to (intercept, coefficients of X)."""
        inverse = np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        slopes = self.basis * inverse[:, None]
        matrix = np.zeros((1 + len(slopes), self.n_directions))
        matrix[0, 0] = 1.0
        matrix[0, 1:] = -self.center @ slopes
        matrix[1:, 1:] = slopes
        return matrix


def _principal_directions(Z: Array, weight: Array) -> Array:
    """Return the principal directions of weighted rows, largest variance first."""
    rows = Z * np.sqrt(weight / weight.sum())[:, None]
    if len(rows) < rows.shape[1]:
        _, singular, directions = np.linalg.svd(rows, full_matrices=False)
        variance, vectors = singular**2, directions.T
    else:
        variance, vectors = np.linalg.eigh(rows.T @ rows)
        variance, vectors = variance[::-1], vectors[:, ::-1]
    keep = variance > 1e-10 * max(variance.max(initial=0.0), np.finfo(float).tiny)
    return vectors[:, keep]
