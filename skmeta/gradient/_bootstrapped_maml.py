"""Bootstrapped MAML: be after K steps where more steps would lead."""

from __future__ import annotations

import dataclasses
from numbers import Integral
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import GradientLearner
from skmeta.inner import Episode, GradientSteps, Objective, TaskTensors, row_shares, squared_norm

__all__ = ["BootstrappedMAMLClassifier", "BootstrappedMAMLRegressor"]


class _BootstrappedSteps(GradientSteps):
    """Steps whose end is compared with a target that it leads to."""

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        n_target_steps: int,
        matching: str,
        **steps: Any,
    ) -> None:
        super().__init__(network, n_features_in, n_outputs, **steps)
        self.n_target_steps = n_target_steps
        self.matching = matching

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return ``μ(target, w_K)``, the target held fixed (equation 2)."""
        state = self.adapt(episode.support_X, episode.support_y, episode.support_mask)
        adapted = {name: state[name] for name in self.networks.start()}  # what is counted is none
        with torch.no_grad():
            target = self._target({name: w.detach() for name, w in adapted.items()}, episode)
        if self.matching == "weights":
            return 0.5 * squared_norm({name: w - target[name] for name, w in adapted.items()})
        aim = objective.as_target(self.predict(episode.query_X, target), episode)
        wanted = dataclasses.replace(episode, query_y=aim)
        return objective.task_losses(self.predict(episode.query_X, adapted), wanted)

    def _target(self, weights: TaskTensors, episode: Episode) -> TaskTensors:
        """Go on for L - 1 steps on the support, then one on the query."""
        share, rates = row_shares(episode.support_mask), self.rates()
        more = self.n_target_steps - 1
        weights = self.descend(weights, episode.support_X, episode.support_y, share, rates, more)
        query_share = row_shares(episode.query_mask)
        return self.step(weights, episode.query_X, episode.query_y, query_share, rates)


@meta_learner
class _BootstrappedMAML(GradientLearner):
    n_target_steps: int = 5
    matching: str = "predictions"

    _rule_class = _BootstrappedSteps

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.n_target_steps, "n_target_steps", Integral, min_val=1)
        if self.matching not in ("predictions", "weights"):
            raise ValueError(f"matching={self.matching!r} must be 'predictions' or 'weights'.")

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {"n_target_steps": self.n_target_steps, "matching": self.matching}


@meta_learner
class BootstrappedMAMLRegressor(DeepRegressorMixin, _BootstrappedMAML):
    """MAML that looks further ahead than it back-propagates (bootstrapped meta-gradients).

    After K = `n_inner_steps` steps on the support, a task goes on without a graph for L - 1 more
    and takes one on the query: that is its target. The meta-loss is how far the network after K
    steps is from the target (equation 2), the target held fixed, so the initialisation learns from
    K + L steps at the cost of differentiating K.

    Pick it over `MAMLRegressor` where a single step is too short-sighted, and back-propagating
    through many costs too much.

    Parameters
    ----------
    n_target_steps : int, default=5
        The steps L from the adapted network to the target, the one on the query included.
    matching : {"weights", "predictions"}, default="weights"
        Compare weights, by half the squared distance, or query predictions, by the squared
        difference (the divergence of Gaussians of fixed variance).
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The history shows the distance to the target, which is not a query loss. With one target step
    and ``matching="weights"`` the meta-gradient is α times MAML's. The paper compares predictions,
    as the classifier does; on real-valued targets that learns slowly, for the pull on θ then
    passes twice through the network's derivatives.

    References
    ----------
    .. [1] S. Flennerhag et al. (2022). Bootstrapped meta-learning. ICLR; arXiv:2109.04504,
       equation 2 and section 5.2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.BootstrappedMAMLRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """

    matching: str = "weights"


@meta_learner
class BootstrappedMAMLClassifier(DeepClassifierMixin, _BootstrappedMAML):
    """Bootstrapped MAML of classifiers.

    As `BootstrappedMAMLRegressor`; predictions are compared by the Kullback-Leibler divergence
    from the target's probabilities.

    Parameters
    ----------
    n_target_steps : int, default=5
        The steps L from the adapted network to the target, the one on the query included.
    matching : {"predictions", "weights"}, default="predictions"
        Compare query predictions, by the divergence of probabilities, or weights, by half the
        squared distance.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] S. Flennerhag et al. (2022). Bootstrapped meta-learning. ICLR; arXiv:2109.04504,
       equation 2 and section 5.2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.BootstrappedMAMLClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
