"""CAVIA: a task is a short context vector, found by gradient steps."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import DifferentiatedLearner
from skmeta.inner import GradientSteps, RowLoss, TaskNetworks, TaskTensors
from skmeta.inner._networks import plain_attention, slope_of
from skmeta.tasks import TaskData

__all__ = ["CAVIAClassifier", "CAVIARegressor"]


class _ContextNetworks(TaskNetworks):
    """One network for all tasks, whose rows are lengthened by the context of their task."""

    def __init__(self, network: nn.Module, loss: RowLoss, n_context: int) -> None:
        super().__init__(network, loss)
        self.n_context = n_context
        self._n_dims = {"context": 1}

    def start(self) -> TaskTensors:
        like = next(self.network.parameters())
        return {"context": like.new_zeros(self.n_context)}

    def run(self, weights: TaskTensors, X: Tensor) -> Tensor:
        context = self.for_each(weights, X.shape[0])["context"]
        rows = torch.cat([X, context[:, None].expand(-1, X.shape[1], -1)], dim=2)
        with plain_attention():
            output: Tensor = self.network(rows.flatten(0, 1)).view(*X.shape[:2], -1)
        return output

    def slope(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> TaskTensors:
        def losses(contexts: TaskTensors) -> Tensor:
            return (self.loss(self.run(contexts, X), y) * share).sum()

        return slope_of(losses, self.for_each(weights, X.shape[0]), self.network)


class _ContextSteps(GradientSteps):
    """Gradient steps on the context alone, from 0 on."""

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        n_context: int,
        **steps: Any,
    ) -> None:
        self.n_context = n_context
        super().__init__(network, n_features_in + n_context, n_outputs, **steps)

    def use(self, engine: str) -> None:
        """Run the only way: rows of all tasks pass through one network."""
        self.engine = "stacked"
        self.networks = _ContextNetworks(self.network, self.loss, self.n_context)

    def represent(self, X: Tensor) -> Tensor:
        """Return what enters the last linear layer, for the context of an unknown task."""
        return super().represent(torch.cat([X, X.new_zeros(len(X), self.n_context)], dim=1))

    @property
    def bytes_per_task(self) -> int:
        """Size of a context."""
        return self.n_context * next(self.network.parameters()).element_size()


@meta_learner
class _CAVIA(DifferentiatedLearner):
    inner_lr: float = 1.0
    n_context: int = 5

    _rule_class = _ContextSteps

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.n_context, "n_context", Integral, min_val=0)

    def _n_net_inputs(self, data: TaskData) -> int:
        return super()._n_net_inputs(data) + self.n_context

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {**super()._rule_params, "n_context": self.n_context}


@meta_learner
class CAVIARegressor(DeepRegressorMixin, _CAVIA):
    """A network for all tasks, with a short context vector for each (CAVIA).

    The context φ is appended to the features of a row. It starts at 0 and takes gradient steps
    ``φ ← φ - α ∇_φ L_support(φ, θ)`` (equation 6); the network θ is the same for all tasks and is
    meta-learned through these steps (equation 7).

    Pick it when tasks differ in a few hidden quantities: what is kept of a task is `n_context`
    numbers, so that few rows cannot overfit, and adaptation stays cheap however large the network.

    Parameters
    ----------
    n_context : int, default=5
        The length of the context.
    inner_lr : float, default=1.0
        The inner rate α.
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    learn_inner_lr : bool, default=False
        Whether to meta-learn α, from `inner_lr` on.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    A module's argument `n_features_in` is filled in with the features and the context. The
    authors' code clips the meta-gradient to ±10, which is ``callbacks=[GradientNormClipping(...)]``
    of skorch's here.

    References
    ----------
    .. [1] L. Zintgraf, K. Shiarlis, V. Kurin, K. Hofmann, S. Whiteson (2019). Fast context
       adaptation via meta-learning. ICML; arXiv:1810.03642, equations 6 and 7.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.CAVIARegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class CAVIAClassifier(DeepClassifierMixin, _CAVIA):
    """A classifier for all tasks, with a short context vector for each (CAVIA).

    As `CAVIARegressor`, with the cross-entropy as loss.

    Parameters
    ----------
    n_context : int, default=5
        The length of the context.
    inner_lr : float, default=1.0
        The inner rate α.
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    learn_inner_lr : bool, default=False
        Whether to meta-learn α, from `inner_lr` on.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] L. Zintgraf, K. Shiarlis, V. Kurin, K. Hofmann, S. Whiteson (2019). Fast context
       adaptation via meta-learning. ICML; arXiv:1810.03642, equations 6 and 7.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.CAVIAClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
