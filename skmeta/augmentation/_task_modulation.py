"""TaskModulation: meta-training on tasks whose hidden features other tasks scale and shift."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_scalar

from skmeta.augmentation._build import build_chain, find_chain
from skmeta.augmentation._modulation import Modulation, ModulationLoss
from skmeta.augmentation._modulation_chain import ModulationChain
from skmeta.augmentation._refusals import reject_kept_tasks, reject_two_augmentations
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.inner import EpisodeModule
from skmeta.training import OuterLoop

__all__ = ["TaskModulation"]


class TaskModulation(BaseMetaTransformer):
    """Meta-train any learner on tasks that modulate each other (MetaModulation).

    Behind hidden linear layer l, the features of each task i of a meta-batch become
    ``(1 + γ_l) h + β_l``. A small network reads the mean features of another task j, and what
    modulates the layer below, and returns the mean and variance of a latent ``z_l``, of which
    ``(γ_l, β_l) = strength · z_l`` are made. It is trained with the learner, on the task's loss and
    ``kl_weight · Σ_l KL(q(z_l) ‖ N(0, I))``. Prediction and adaptation are the learner's own.

    Pick it where meta-training has some tens of tasks or fewer, and how they should be varied is
    not known: `TaskInterpolation` mixes them in a fixed way, where this one learns to.

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on episodes (gradient learners, heads), or another
        meta-transformer around one. Its network is a plain `Sequential`, as the default one is,
        with a hidden linear layer.
    strength : float, default=0.1
        The standard deviation of γ and β under the prior. 0 is the learner itself.
    layers : {"all", "one"}, default="all"
        Whether all hidden layers are modulated, or one that is drawn for each meta-update.
    variational : bool, default=True
        Whether z is drawn from its distribution; its mean is taken without, and nothing is added
        to losses.
    kl_weight : float, default=0.001
        The weight of the divergence.

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    TaskInterpolation : Mixes tasks with each other.
    IntervalInterpolation : Mixes tasks with what surrounds them.

    Notes
    -----
    The paper modulates the scale and shift of batch normalisation. Tables have no such layer, so
    the outputs of linear layers are modulated as they are. Support and query of a task are
    modulated alike, by the mean over the support of j, of which no derivative is taken. The
    authors' code modulates the query by the query of j, mixes inputs for half of the tasks and
    averages a hundred draws of γ and β, where this one takes one draw for each task and update.
    Its prior has a variance of e, and it leaves out the divergence of γ; the variance here is 1, as
    is that of z in the first update, and the divergence is whole.

    `ReptileRegressor` and `ReptileClassifier` move their start without a derivative of the loss, so
    that the modulation remains what it is under the prior.

    Meta-steps are not compiled, and gradient learners run by vmap. Draws derive from the learner's
    `random_state`.

    References
    ----------
    .. [1] W. Sun, Y. Du, X. Zhen, F. Wang, L. Wang, C. G. M. Snoek (2023). MetaModulation: Learning
       variational feature hierarchies for few-shot learning with fewer tasks. ICML;
       arXiv:2305.10309.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(12, 20, random_state=0)
    >>> learner = skmeta.RidgeHeadRegressor(max_iter=20, random_state=0)
    >>> model = skmeta.TaskModulation(learner)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:5], tasks.target[:5]).predict(tasks.data[5:8]).shape
    (3,)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        strength: float = 0.1,
        layers: str = "all",
        variational: bool = True,
        kl_weight: float = 0.001,
    ) -> None:
        self.estimator = estimator
        self.strength = strength
        self.layers = layers
        self.variational = variational
        self.kl_weight = kl_weight

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        for name in ("strength", "kl_weight"):
            check_scalar(getattr(self, name), name, Real, min_val=0)
        if self.layers not in ("all", "one"):
            raise ValueError(f"layers={self.layers!r} must be 'all' or 'one'.")
        reject_two_augmentations(outer)
        if not self.strength:
            return outer
        return replace(
            outer,
            augment=partial(_modulation, layers=self.layers, variational=self.variational),
            network=partial(build_chain, ModulationChain, strength=self.strength),
            regularizer=ModulationLoss(self.kl_weight) if self.variational else None,
        )


def _modulation(module: EpisodeModule, random: np.random.Generator, **params: Any) -> Modulation:
    reject_kept_tasks(module)
    return Modulation(find_chain(ModulationChain, module), random=random, **params)
