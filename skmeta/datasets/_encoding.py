"""Columns of a table as one matrix of numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode"]


def encode(columns: Mapping[str, NDArray[np.generic]]) -> tuple[NDArray[np.float64], list[str]]:
    """Return numbers as they are and each category as a 0/1 column, but for the first.

    A missing number becomes the median of its column; a missing category is the level "missing".
    """
    encoded: dict[str, NDArray[np.float64]] = {}
    for name, column in columns.items():
        if column.dtype.kind in "biuf":
            values = column.astype(np.float64)
            encoded[name] = np.where(np.isnan(values), np.nanmedian(values), values)
            continue
        labels = np.array([label if isinstance(label, str) else "missing" for label in column])
        for level in np.unique(labels)[1:]:
            encoded[f"{name}={level}"] = (labels == level).astype(np.float64)
    return np.column_stack(list(encoded.values())), list(encoded)
