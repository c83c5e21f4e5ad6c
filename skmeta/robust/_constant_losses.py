"""What tasks lose by the best prediction that looks at no feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from skmeta.base._deep import BaseDeepLearner
from skmeta.base._targets import MetaClassifierMixin
from skmeta.tasks import TaskData

__all__ = ["constant_losses"]

Array = NDArray[np.float64]

_LEAST_SCALE = 1e-3  # of a task, beside that of all rows


def constant_losses(learner: BaseDeepLearner, data: TaskData) -> Array:
    """Return the loss of the best constant prediction of each task.

    For a likelihood it is without what is the same for all tasks.

    Parameters
    ----------
    learner : BaseDeepLearner
        What is trained.
    data : TaskData
        Its training tasks.

    Returns
    -------
    losses : ndarray of shape (n_tasks,)
    """
    n_tasks = data.table.n_tasks
    if learner._class_way is not None:
        return np.ones(n_tasks)  # episodes have their classes in equal parts
    y, owner = learner._encode(data).astype(np.float64), data.owners
    sizes = np.maximum(data.sizes, 1)[:, None]
    mean = _sums(y, owner, n_tasks) / sizes
    if isinstance(learner, MetaClassifierMixin):
        return _entropies(learner, data, mean, y.mean(axis=0))
    variance = _sums(np.square(y - mean[owner]), owner, n_tasks) / sizes
    if not learner._loss_is_likelihood:
        return _floored(variance.mean(axis=1), y.var(axis=0).mean())
    # Of the normal distribution that fits best.
    logs = np.log(_floored(variance, y.var(axis=0))) / 2
    return logs.sum(axis=1) if learner._likelihood_is_of_rows else logs.mean(axis=1)


def _entropies(learner: BaseDeepLearner, data: TaskData, mean: Array, whole: Array) -> Array:
    """Return the entropy of the classes of each task."""
    if not learner._loss_is_likelihood:
        return _floored(entr(mean).sum(axis=1), entr(whole).sum())
    # One machine for each class tells it from the rest, and the loss is their mean.
    ways = mean.shape[1] if data.n_ways is None else np.maximum(data.n_ways, 1)
    apart: Array = (entr(mean) + entr(1 - mean)).sum(axis=1) / ways
    return apart


def _floored(losses: Array, whole: Any) -> Array:
    floor = _LEAST_SCALE * whole
    return np.maximum(losses, np.where(floor > 0, floor, 1.0))


def _sums(rows: Array, owner: NDArray[np.int64], n_tasks: int) -> Array:
    sums = np.zeros((n_tasks, rows.shape[1]))
    np.add.at(sums, owner, rows)
    return sums
