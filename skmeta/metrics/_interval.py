"""Mean over tasks with a confidence interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

__all__ = ["mean_over_tasks"]

Array = NDArray[np.float64]


def mean_over_tasks(scores: NDArray[Any]) -> tuple[Array, Array]:
    """Return means over tasks and the half-widths of their 95 % intervals.

    Parameters
    ----------
    scores : ndarray of shape (..., n_tasks)
        The score of each task; NaN where it is undefined.

    Returns
    -------
    mean, half_width : ndarray of shape (...)
        Over the tasks with a score, each counting once. The half-width is Student's quantile,
        1.96 for many tasks, times the standard error; NaN if fewer than two tasks have a score.
    """
    defined = ~np.isnan(scores)
    n_tasks = defined.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(defined, scores, 0.0).sum(axis=-1) / n_tasks
        squares = np.where(defined, scores - mean[..., None], 0.0) ** 2
        error = np.sqrt(squares.sum(axis=-1) / (n_tasks - 1) / n_tasks)
        return mean, t.ppf(0.975, n_tasks - 1) * error
