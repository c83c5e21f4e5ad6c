"""TaskInterpolation: meta-training on tasks in between the given ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_scalar

from skmeta.augmentation._build import build_chain
from skmeta.augmentation._interpolation import Interpolation
from skmeta.augmentation._mixing_chain import MixingChain
from skmeta.augmentation._refusals import reject_kept_tasks, reject_two_augmentations
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.inner import EpisodeModule
from skmeta.training import OuterLoop

__all__ = ["TaskInterpolation"]


class TaskInterpolation(BaseMetaTransformer):
    """Meta-train any learner on mixtures of tasks, where there are few tasks (MLTI).

    Each task i of a meta-batch is replaced by one between it and another task j of the batch. With
    ``λ ~ Beta(α, α)`` drawn for the pair, rows of i and j are paired at random, support with
    support and query with query, and ``x = λ x_i + (1 - λ) x_j``, ``y = λ y_i + (1 - λ) y_j`` are
    the rows of the new task; or hidden layers are mixed in place of x. Training then goes on as
    usual. Prediction and adaptation are the learner's own.

    Pick it where meta-training has some tens of tasks or fewer and overfits to them, and where a
    task in between two is a task that might occur. Where inputs of tasks lie apart, mixtures of
    them lie where no task does: compare with the learner alone, as improvements on tables are
    disputed [2]_.

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on episodes (gradient learners, heads), or another
        meta-transformer around one. Not one that keeps a head for each training task or class, as
        `MultiHeadRegressor` does: a mixture has none.
    alpha : float, default=2.0
        The parameter α of the distribution of λ; above 1, tasks are mixed in nearly equal parts;
        near 0, hardly at all. 0 is the learner itself.
    layers : {"input", "hidden"}, default="input"
        What is mixed: features, for any network, or what enters a layer drawn for each
        meta-update, from the first (features again) to the last linear one, the features of a head
        included. "hidden" needs a plain `Sequential`, as the default network is one.

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    IntervalInterpolation : Mixes tasks with what surrounds them.
    TaskGrouping : Draws meta-batches of unlike tasks, which are then mixed with each other.
    HeTRoM : Ranks tasks; a mixture counts as the task that has the larger part in it.

    Notes
    -----
    Where classifiers have label sets of their own (`n_way` too), labels are not mixed: each class
    of i is paired at random with one of j, both are mixed, and the mixture is the new class. For
    half of the tasks, drawn at random, j is i, and each class is paired with another of its own.

    A mixture has as many rows as the task with the larger part, ``max(λ, 1 - λ)``; where the
    other has fewer, its rows are used over again, and where it has none, that task (or class) stays
    as it is. So does the only task of a meta-batch, unless it has labels of its own.

    Draws derive from the learner's `random_state`. Meta-steps of the learner are compiled as
    without, except with ``layers="hidden"``, where gradient learners run by vmap.

    References
    ----------
    .. [1] H. Yao, L. Zhang, C. Finn (2022). Meta-learning with fewer tasks through task
       interpolation. ICLR; arXiv:2106.02695.
    .. [2] S. Lee, B. Andreis, K. Kawaguchi, J. Lee, S. J. Hwang (2022). Set-based
       meta-interpolation for few-task meta-learning. NeurIPS; who find mixing of tasks ineffective
       on data other than images.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(12, 20, random_state=0)
    >>> learner = skmeta.RidgeHeadRegressor(max_iter=20, random_state=0)
    >>> model = skmeta.TaskInterpolation(learner, layers="hidden")
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:5], tasks.target[:5]).predict(tasks.data[5:8]).shape
    (3,)
    """

    def __init__(self, estimator: Any, *, alpha: float = 2.0, layers: str = "input") -> None:
        self.estimator = estimator
        self.alpha = alpha
        self.layers = layers

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        check_scalar(self.alpha, "alpha", Real, min_val=0)
        if self.layers not in ("input", "hidden"):
            raise ValueError(f"layers={self.layers!r} must be 'input' or 'hidden'.")
        reject_two_augmentations(outer)
        return replace(
            outer,
            augment=partial(_interpolation, self.alpha),
            network=partial(build_chain, MixingChain) if self.layers == "hidden" else None,
        )


def _interpolation(
    alpha: float, module: EpisodeModule, random: np.random.Generator
) -> Interpolation:
    reject_kept_tasks(module)
    chains = [part for part in module.modules() if isinstance(part, MixingChain)]
    return Interpolation(alpha, random, *chains)
