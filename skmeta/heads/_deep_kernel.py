"""Deep kernel transfer: a Gaussian process for each task, all with one learned kernel."""

from __future__ import annotations

import copy
import math
import warnings
from functools import partial
from numbers import Real
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin
from skmeta.base._gaussian import GaussianRegressorMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.inner import Episode, GaussianRule, Objective, TaskTensors, all_rows, unit_rows
from skmeta.tasks import TaskData
from skmeta.training import EpisodeNet

__all__ = ["DeepKernelClassifier", "DeepKernelRegressor"]

_LEAST_NOISE = 1e-4  # below it a process interpolates, and its likelihood has no bound
_MIXTURES = 4  # of the spectral mixture kernel, as in the paper
_KERNELS = ("rbf", "matern", "linear", "cosine", "spectral_mixture")


class _DeepKernel(GaussianRule):
    """Exact Gaussian processes on the features of a body, with a constant mean and noise."""

    def __init__(
        self, body: nn.Module, n_features_in: int, *, n_outputs: int, kernel: Any, noise: float
    ) -> None:
        super().__init__(body, n_features_in)
        self.kernel = _make_kernel(kernel, self.width)
        self.unit_norm = isinstance(kernel, str) and kernel == "cosine"
        start = torch.tensor(noise - _LEAST_NOISE, dtype=torch.float64)
        self.log_noise = nn.Parameter(start.log())  # of what is above the least
        self.mean = nn.Parameter(torch.zeros(n_outputs))

    @property
    def noise(self) -> Tensor:
        """The variance of the noise."""
        return _LEAST_NOISE + self.log_noise.exp()

    def covariance(self, F: Tensor, G: Tensor) -> Tensor:
        """Return ``k(f, g)`` for the rows of each task."""
        values: Tensor = self.kernel(self._scaled(F), self._scaled(G)).to_dense()
        return values

    def factor(self, F: Tensor, mask: Tensor) -> Tensor:
        """Return the Cholesky factor of ``K + σ²I``; a padded row is independent, of variance 1."""
        K = self.covariance(F, F) * (mask[:, :, None] * mask[:, None, :])
        trace = K.diagonal(dim1=-2, dim2=-1).sum(dim=-1, keepdim=True)
        # The second term keeps the factorisation alive where the kernel is vast beside the noise.
        noise = self.noise + 10 * torch.finfo(K.dtype).eps * trace
        return torch.linalg.cholesky(K + torch.diag_embed(torch.where(mask > 0, noise, 1.0)))

    def log_marginal_likelihood(self, F: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        """Return ``log N(y; m, K + σ²I)`` of each task and output (equation 2.30 of [2])."""
        L = self.factor(F, mask)
        white = torch.linalg.solve_triangular(L, self._residuals(y, mask), upper=False)
        log_det = 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1, keepdim=True)
        n_rows = mask.sum(dim=1, keepdim=True)
        return -(white.square().sum(dim=1) + log_det + n_rows * math.log(2 * math.pi)) / 2

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return the negative log marginal likelihood of a row, support and query together."""
        whole = all_rows(episode)
        evidence = self.log_marginal_likelihood(
            self._features(whole.query_X), whole.query_y, whole.query_mask
        )
        there = torch.ones_like(evidence) if episode.there is None else episode.there
        n_values = (whole.query_mask.sum(dim=1) * there.sum(dim=1)).clamp(min=1.0)
        return -(evidence * there).sum(dim=1) / n_values

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Return ``(K + σ²I)⁻¹ (y - m)`` beside the rows that it weights."""
        F = features * mask[..., None]
        weights = torch.cholesky_solve(self._residuals(y, mask), self.factor(F, mask))
        return {"features": F, "weights": weights, "mask": mask}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Return the posterior mean (equation 2.25 of [2])."""
        return self._posterior_mean(self.covariance(features, state["features"]), state)

    def head_moments(self, features: Tensor, state: TaskTensors) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the posterior, with noise (2.25 and 2.26 of [2])."""
        F, mask = state["features"], state["mask"]
        cross = self.covariance(features, F)
        white = torch.linalg.solve_triangular(
            self.factor(F, mask), (cross * mask[:, None]).mT, upper=False
        )
        prior: Tensor = self.kernel(self._scaled(features), diag=True)
        variance = (prior - white.square().sum(dim=1)).clamp(min=0.0) + self.noise
        mean = self._posterior_mean(cross, state)
        return mean, variance[..., None].expand_as(mean)

    @property
    def bytes_per_task(self) -> int:
        """Nothing is kept beside the rows."""
        return 0

    @property
    def bytes_per_row(self) -> int:
        """Size of the features of a row, its weight for each output, and its mark."""
        return (self.width + len(self.mean) + 1) * self.mean.element_size()

    def _posterior_mean(self, cross: Tensor, state: TaskTensors) -> Tensor:
        return self.mean + cross @ state["weights"]

    def _residuals(self, y: Tensor, mask: Tensor) -> Tensor:
        return (y - self.mean) * mask[..., None]

    def _scaled(self, features: Tensor) -> Tensor:
        return unit_rows(features) if self.unit_norm else features


class _OneVersusRest(_DeepKernel):
    """A process for each class, on labels that are 1 for its rows and -1 for others."""

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Return the logarithm of the sigmoid of each mean, which a softmax then normalises."""
        return nn.functional.logsigmoid(super().apply_head(features, state))

    def _residuals(self, y: Tensor, mask: Tensor) -> Tensor:
        return super()._residuals(2 * y - 1, mask)


def _make_kernel(kernel: Any, width: int) -> Any:
    """Return a kernel of GPyTorch's on features of this width."""
    kernels = _gpytorch_kernels()
    made: Any
    if isinstance(kernel, kernels.Kernel):
        made = copy.deepcopy(kernel)  # training must not change the parameter
    elif kernel == "rbf":
        made = kernels.ScaleKernel(kernels.RBFKernel())
    elif kernel == "matern":
        made = kernels.ScaleKernel(kernels.MaternKernel(nu=2.5))
    elif kernel in ("linear", "cosine"):
        made = kernels.LinearKernel()
    elif kernel == "spectral_mixture":
        made = kernels.SpectralMixtureKernel(num_mixtures=_MIXTURES, ard_num_dims=width)
        made.mixture_weights = torch.full((_MIXTURES,), 1 / _MIXTURES)
        for raw in (made.raw_mixture_means, made.raw_mixture_scales):
            nn.init.normal_(raw, mean=-2.0)  # low frequencies; those that start alike stay alike
    else:
        raise ValueError(f"kernel={kernel!r} must be one of {_KERNELS}, or a kernel of GPyTorch's.")
    return made


def _gpytorch_kernels() -> Any:
    """Import GPyTorch, which is an extra."""
    try:
        with warnings.catch_warnings():
            # Of torch's, about how GPyTorch compiles a function.
            warnings.simplefilter("ignore", DeprecationWarning)
            from gpytorch import kernels
    except ImportError as error:
        raise ImportError(
            "Deep kernels are those of the package gpytorch, which is not installed: "
            'pip install "skmeta[gp]".'
        ) from error
    return kernels


@meta_learner
class _DeepKernelLearner(EpisodicParams, BaseDeepLearner):
    kernel: Any = "rbf"
    noise: float = 0.1

    _rule_class = _DeepKernel
    _loss_is_likelihood = True
    _likelihood_is_of_rows = False

    @property
    def _n_means(self) -> int:
        """Return how many constant means there are."""
        return 1

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.noise, "noise", Real, min_val=_LEAST_NOISE, include_boundaries="neither")

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            self._rule_class,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_means,
            kernel=self.kernel,
            noise=self.noise,
        )

    def _make_net(self, data: TaskData) -> EpisodeNet:
        net = super()._make_net(data)
        net.dtype = torch.float64  # covariances of rows that are alike are singular in float32
        return net

    @property
    def kernel_(self) -> nn.Module:
        """The learned kernel."""
        return cast(_DeepKernel, self._rule).kernel

    @property
    def noise_(self) -> float:
        """The learned variance of the noise."""
        return cast(_DeepKernel, self._rule).noise.detach().item()


@meta_learner
class DeepKernelRegressor(GaussianRegressorMixin, _DeepKernelLearner):
    """A Gaussian process for each task, with a kernel learned from all (deep kernel transfer).

    The kernel compares features, ``k(x, x') = k_θ(F_φ(x), F_φ(x'))``. Meta-training maximises
    the log marginal likelihood of the rows of training tasks, ``log N(y; m, K + σ²I)`` each, in
    the network φ, the kernel's parameters θ, the mean m and the noise σ² (algorithm 1 of [1]_,
    equation 2.30 of [2]_). A new task takes the exact posterior given its support, without any
    fitting of its own (equations 2.25 and 2.26 of [2]_).

    Pick it for error bars that come from the rows of the task itself, and for tasks of which some
    ten rows or more are known: a process with the kernel "rbf" or "matern" can follow any smooth
    target, not only what is linear in the learned features. For fewer rows take
    ``kernel="linear"``, a Bayesian linear head, or `RidgeHeadRegressor`. The cost of a task is
    cubic in its rows.

    Parameters
    ----------
    kernel : str or GPyTorch kernel, default="rbf"
        The kernel k_θ: "rbf" or "matern" (ν = 5/2), with a learned scale; "linear"; "cosine", the
        linear kernel on features of length 1; "spectral_mixture", of four components, whose cost
        grows with the width of the features; or an instance such as
        ``gpytorch.kernels.PeriodicKernel()``.
    noise : float, default=0.1
        The first value of the learned variance of the noise, in units of the normalised targets;
        it stays above 0.0001.
    {shared}

    Attributes
    ----------
    kernel_ : GPyTorch kernel
        The learned kernel.
    noise_ : float
        The learned variance of the noise.
    {attributes}

    Notes
    -----
    It needs GPyTorch: ``pip install "skmeta[gp]"``. Support and query of a training episode
    together are the rows whose likelihood is maximised. It is divided by their number, and the
    processes have a learned constant mean, both as in the authors' code. Several outputs are a
    process each, with one kernel and one noise. All is computed in double precision, the network
    included, whatever the float type of X.

    References
    ----------
    .. [1] M. Patacchiola, J. Turner, E. J. Crowley, M. O'Boyle, A. Storkey (2020). Bayesian
       meta-learning for the few-shot setting via deep kernels. NeurIPS; arXiv:1910.05199.
    .. [2] C. E. Rasmussen, C. K. I. Williams (2006). Gaussian processes for machine learning. MIT
       Press, equations 2.25, 2.26 and 2.30.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.DeepKernelRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> mean.shape, std.shape
    ((15,), (15,))
    """

    _variance_is_label_free = True

    @property
    def _n_means(self) -> int:
        return self._n_net_outputs

    def _query_losses(self, support: TaskData, query: TaskData) -> NDArray[np.float64]:
        return super()._query_losses(support, query) / self._n_net_outputs  # as in training


@meta_learner
class DeepKernelClassifier(DeepClassifierMixin, _DeepKernelLearner):
    """A Gaussian process for each class of a task, with one learned kernel (deep kernel transfer).

    As `DeepKernelRegressor`, on labels that are 1 for the rows of a class and -1 for the others.
    A class's score is the sigmoid of the posterior mean of its process (algorithm 1 of [1]_), and
    the probabilities are the scores divided by their sum. The number of classes may differ from
    task to task, and from training to use.

    Pick it where some ten rows of a task are known, and where its classes are not linear in the
    features that training tasks allow to learn. It is never sure of a class: the means are labels
    shrunk towards 0, so with two classes a probability hardly leaves 0.27 to 0.73.

    Parameters
    ----------
    kernel : str or GPyTorch kernel, default="rbf"
        The kernel k_θ: "rbf" or "matern" (ν = 5/2), with a learned scale; "linear"; "cosine", the
        linear kernel on features of length 1; "spectral_mixture", of four components, whose cost
        grows with the width of the features; or an instance such as
        ``gpytorch.kernels.PeriodicKernel()``.
    noise : float, default=0.1
        The first value of the learned variance of the noise; it stays above 0.0001.
    {shared}

    Attributes
    ----------
    kernel_ : GPyTorch kernel
        The learned kernel.
    noise_ : float
        The learned variance of the noise.
    {attributes}

    Notes
    -----
    It needs GPyTorch: ``pip install "skmeta[gp]"``. The paper's favourite kernel for images,
    BNCosSim, is "cosine" behind a batch normalisation, which makes a prediction depend on the rows
    predicted with it and is left out. The authors' code has a kernel for each class number, and
    its noise stays at 0.1; here all classes share kernel, mean and noise, for their numbers mean
    nothing, and the noise is learned.

    References
    ----------
    .. [1] M. Patacchiola, J. Turner, E. J. Crowley, M. O'Boyle, A. Storkey (2020). Bayesian
       meta-learning for the few-shot setting via deep kernels. NeurIPS; arXiv:1910.05199.
    .. [2] C. E. Rasmussen, C. K. I. Williams (2006). Gaussian processes for machine learning. MIT
       Press, section 6.5 for classification by regression on labels.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.DeepKernelClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _rule_class = _OneVersusRest
