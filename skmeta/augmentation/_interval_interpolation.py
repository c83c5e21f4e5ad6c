"""IntervalInterpolation: meta-training on tasks in between the given ones and their bounds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_scalar

from skmeta.augmentation._build import build_chain, find_chain
from skmeta.augmentation._interval_chain import IntervalChain
from skmeta.augmentation._intervals import IntervalLosses, Intervals
from skmeta.augmentation._refusals import reject_kept_tasks, reject_two_augmentations
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.inner import EpisodeModule
from skmeta.training import OuterLoop

__all__ = ["IntervalInterpolation"]


class IntervalInterpolation(BaseMetaTransformer):
    """Meta-train any learner so that rows nearby stay nearby, where there are few tasks (IBP, IBI).

    The box ``x ± ε`` around a row is carried through the first layers of the network by interval
    arithmetic: with centre c and radius r, a linear layer makes it ``W c + b ± |W| r``, and a
    monotone activation moves both ends. A task's losses are then its own, and the mean squared
    distances of its query rows to their upper and to their lower bound, in a sum weighted by
    ``softmax(losses / temperature)``. Besides, in each meta-update one task of the meta-batch is
    replaced by an artificial one, its hidden rows mixed with one of their bounds.

    Pick it where meta-training has few tasks, and mixtures of tasks, as `TaskInterpolation` makes
    them, lie too far from any: these ones stay near the given tasks.

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on episodes (gradient learners, heads), but not on a
        likelihood, or another meta-transformer around one. Its network begins with linear layers
        and monotone activations (ReLU, Tanh, Sigmoid, Softplus), as the default one does.
    epsilon : float, default=0.1
        Half the side ε of the box, in units of the features: scale them. It grows linearly from 0
        over the first 90 % of meta-updates. 0 is the learner itself, see the notes.
    n_layers : int, default=1
        The hidden layers that boxes pass through.
    temperature : float, default=1.0
        The larger, the more equal are the weights of the three losses.
    alpha : float, default=2.0
        The part of the bound in an artificial task is drawn from ``Beta(α, α)``, for classifiers of
        each class by itself.

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    TaskInterpolation : Mixes tasks with each other.

    Notes
    -----
    Bounds are those of the meta-learned weights; the authors' code takes those that a task has
    adapted, which are the same ones where only a head is. The artificial task takes the place of
    its origin in support and query, where the code averages the losses of both; and the weights are
    constants in differentiation, where the code differentiates them, which drives up a loss that is
    well below the others. `HeTRoM` ranks the weighted sums.

    ``epsilon=0`` switches all of it off, which is not where small boxes lead: with losses of 0 the
    bounds keep their weights, and the loss ℓ of a task that of ``e^(ℓ/T) / (e^(ℓ/T) + 2)``, T the
    temperature. In the limit ε → 0, as in the first meta-update, tasks of a high loss count more.

    Likelihoods, which may be negative, make no sense in these weights: learners that are trained on
    them, such as `BayesianHeadRegressor`, are refused.

    Meta-steps are not compiled, and gradient learners run by vmap. Draws derive from the learner's
    `random_state`.

    References
    ----------
    .. [1] S. Datta, S. S. Mullick, A. Chakrabarty, S. Das (2023). Interval bound interpolation for
       few-shot learning with few tasks. ICML; arXiv:2204.03511.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(12, 20, random_state=0)
    >>> learner = skmeta.RidgeHeadRegressor(max_iter=20, random_state=0)
    >>> model = skmeta.IntervalInterpolation(learner)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:5], tasks.target[:5]).predict(tasks.data[5:8]).shape
    (3,)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        epsilon: float = 0.1,
        n_layers: int = 1,
        temperature: float = 1.0,
        alpha: float = 2.0,
    ) -> None:
        self.estimator = estimator
        self.epsilon = epsilon
        self.n_layers = n_layers
        self.temperature = temperature
        self.alpha = alpha

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        check_scalar(self.epsilon, "epsilon", Real, min_val=0)
        check_scalar(self.n_layers, "n_layers", Integral, min_val=1)
        for name in ("temperature", "alpha"):
            check_scalar(getattr(self, name), name, Real, min_val=0, include_boundaries="neither")
        reject_two_augmentations(outer)
        if self._unfitted._loss_is_likelihood:
            raise ValueError(
                "IntervalInterpolation weighs losses that are 0 at best, but "
                f"{type(self._unfitted).__name__} is trained on a likelihood."
            )
        if not self.epsilon:
            return outer
        return replace(
            outer,
            augment=partial(
                _intervals,
                epsilon=self.epsilon,
                alpha=self.alpha,
                n_updates=self._unfitted.max_iter,
                by_class=is_classifier(self._unfitted),
            ),
            network=partial(build_chain, IntervalChain, n_layers=self.n_layers),
            regularizer=IntervalLosses(self.temperature),
        )


def _intervals(module: EpisodeModule, random: np.random.Generator, **params: Any) -> Intervals:
    reject_kept_tasks(module)
    return Intervals(find_chain(IntervalChain, module), random=random, **params)
