"""Tests of many differences over the same tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

__all__ = ["holm", "paired_test"]

Array = NDArray[np.float64]


def paired_test(differences: NDArray[Any]) -> float:
    """Return the two-sided p-value of a paired t-test that the mean difference is zero.

    Scores of tasks of one collection are in the same units and tasks are many, which is where
    the t-test has more power than tests on ranks, and it asks about the mean that is reported.

    Parameters
    ----------
    differences : ndarray of shape (n_tasks,)
        Of the scores of two learners on the same task; NaN where there is none.

    Returns
    -------
    p : float
        NaN for fewer than two tasks.
    """
    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return np.nan
    error = known.std(ddof=1) / np.sqrt(len(known))
    if error == 0:  # the same difference everywhere, most often none at all
        return float(known[0] == 0)
    return float(2 * t.sf(abs(known.mean() / error), len(known) - 1))


def holm(p_values: NDArray[Any]) -> Array:
    """Adjust p-values for their number by Holm's step-down method.

    Among all tests of true null hypotheses, the chance that any adjusted p-value falls below a
    level is at most that level, however the tests depend on one another.

    Parameters
    ----------
    p_values : ndarray of shape (n_tests,)
        NaN where no test was made.

    Returns
    -------
    adjusted : ndarray of shape (n_tests,)
        NaN likewise.
    """
    adjusted = np.full(len(p_values), np.nan)
    made = np.flatnonzero(~np.isnan(p_values))
    order = made[np.argsort(p_values[made], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
