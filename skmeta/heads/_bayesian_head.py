"""ALPaCA: Bayesian linear regression on learned features, with a learned prior."""

from __future__ import annotations

import math
from functools import partial
from numbers import Real
from typing import Any, cast

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._compiling import CompilingLearner
from skmeta.base._gaussian import GaussianRegressorMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.inner import (
    Episode,
    GaussianRule,
    Objective,
    RidgeSystem,
    TaskTensors,
    affine,
    mean_over_rows,
    normal_surprise,
)
from skmeta.tasks import TaskData

__all__ = ["BayesianHeadRegressor"]


class _BayesianHead(GaussianRule):
    """The posterior of a head K with prior ``MN(K̄₀, Λ₀⁻¹, Σ)``.

    The prior is kept as a factor of its covariance, ``Λ₀⁻¹ = AA'``. With the features ``Aᵀφ`` and
    what K̄₀ leaves of the targets, the posterior is a ridge regression of penalty 1.
    """

    def __init__(
        self, body: nn.Module, n_features_in: int, n_outputs: int, *, noise: float, learn: bool
    ) -> None:
        super().__init__(body, n_features_in)
        self.mean = nn.Parameter(torch.zeros(self.width + 1, n_outputs))
        self.factor = nn.Parameter(torch.eye(self.width + 1))
        start = torch.full((n_outputs,), math.log(noise))
        self.log_noise = nn.Parameter(start, requires_grad=learn)
        self._unit = 1 / noise  # a head's prior standard deviation starts at 1

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Return the posterior mean ``K̄ = Λ⁻¹ (Φ'Y + Λ₀K̄₀)``, and ``ΦA`` for the variance."""
        A = self._prior_factor()
        system, change = self._posterior(features, y, mask, A)
        return {"head": self.mean + A @ change, "psi": system.F.to(y.dtype)}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        return affine(features, state["head"])

    def head_moments(self, features: Tensor, state: TaskTensors) -> tuple[Tensor, Tensor]:
        """Return ``K̄'φ`` and ``(1 + φ'Λ⁻¹φ) Σ``."""
        system = _system(state["psi"])
        variance = self._variance(system, affine(features, self._prior_factor()))
        return self.apply_head(features, state), variance

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return minus the log predictive likelihood of each task's query, a mean over rows."""
        A = self._prior_factor()
        support, query = self.episode_features(episode)
        system, change = self._posterior(support, episode.support_y, episode.support_mask, A)
        psi = affine(query, A)
        mean, variance = affine(query, self.mean) + psi @ change, self._variance(system, psi)
        return mean_over_rows(normal_surprise(mean, variance, episode.query_y), episode.query_mask)

    @property
    def bytes_per_task(self) -> int:
        return self.mean.numel() * self.mean.element_size()

    @property
    def bytes_per_row(self) -> int:
        return (self.width + 1) * self.mean.element_size()

    def _prior_factor(self) -> Tensor:
        return self._unit * self.factor.tril()

    def _posterior(
        self, features: Tensor, y: Tensor, mask: Tensor, A: Tensor
    ) -> tuple[RidgeSystem, Tensor]:
        """Return the system of the rows ``ΦA``, and what they add to K̄₀ in its coordinates."""
        real = mask[..., None]
        system = _system(affine(features, A) * real)
        return system, system.solve((y - affine(features, self.mean) * real).double()).to(y.dtype)

    def _variance(self, system: RidgeSystem, psi: Tensor) -> Tensor:
        spread = 1 + system.leverage(psi.double()).to(psi.dtype)
        return spread[..., None] * (2 * self.log_noise).exp()


def _system(psi: Tensor) -> RidgeSystem:
    """Factorise ``A'ΛA = I + Ψ'Ψ``, in double precision: variances are small differences."""
    psi = psi.double()
    return RidgeSystem(psi, torch.ones_like(psi[:, 0, 0]))


@meta_learner
class BayesianHeadRegressor(EpisodicParams, GaussianRegressorMixin, CompilingLearner):
    """Meta-learned features with a Bayesian linear regression for each task (ALPaCA).

    A network maps rows to features φ; the targets of a task are ``y = K'φ(x) + ε`` with
    ``ε ~ N(0, Σ)`` and the prior ``K ~ MN(K̄₀, Λ₀⁻¹, Σ)`` over its head. Meta-training learns φ,
    K̄₀, Λ₀ and the noise by the predictive likelihood of query rows, for supports of any size down
    to no row. A new task takes its exact posterior:

    ``Λ = Φ'Φ + Λ₀``, ``K̄ = Λ⁻¹(Φ'Y + Λ₀K̄₀)``, ``y* ~ N(K̄'φ, (1 + φ'Λ⁻¹φ) Σ)``.

    Pick it when predictions need error bars, or when tasks have so few rows that a learned prior
    over heads pays. `MultiHeadRegressor` has the same posterior with features trained on whole
    tasks; it is the better choice where training tasks have many rows, this one where they have
    few and are many: with some fifty tasks its prior overfits them, and its intervals are too
    narrow.

    Parameters
    ----------
    noise : float, default=0.1
        The first value of the noise's standard deviation, in units of the normalised targets.
    learn_noise : bool, default=True
        Whether the noise of each output is learned; the paper fixes it.
    n_shots : int or (int, int), default=(0, 10)
        Support rows of a training episode, or the smallest and largest number, drawn anew for
        each. A task needs one row more to be trained on; any number of rows can be adapted to.
    {shared}

    Attributes
    ----------
    noise_ : ndarray of shape (n_outputs,)
        The standard deviation of the noise, in the units of y.
    {attributes}

    Notes
    -----
    It is a Gaussian process with mean ``K̄₀'φ(x)`` and kernel ``σ² φ(x)'Λ₀⁻¹φ(x')``. Features have
    a column of ones. The prior is kept as the factor A of ``Λ₀⁻¹ = AA'`` rather than of Λ₀, so
    that no prior is too wide or too narrow to compute with. Its outputs share Λ.

    References
    ----------
    .. [1] J. Harrison, A. Sharma, M. Pavone (2018). Meta-learning priors for efficient online
       Bayesian regression. WAFR; arXiv:1807.08912, section 3, algorithms 1 and 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.BayesianHeadRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> std.shape
    (15,)
    """

    noise: float = 0.1
    learn_noise: bool = True
    n_shots: int | tuple[int, int] = (0, 10)

    _variance_is_label_free = True

    def _wrapper(self, data: TaskData) -> Any:
        check_scalar(self.noise, "noise", Real, min_val=0, include_boundaries="neither")
        return partial(
            _BayesianHead,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_net_outputs,
            noise=self.noise,
            learn=self.learn_noise,
        )

    @property
    def noise_(self) -> Any:
        """The standard deviation of the noise, in the units of y."""
        noise = cast(_BayesianHead, self._rule).log_noise.detach().exp()
        return noise.cpu().numpy() * self._y_scale
