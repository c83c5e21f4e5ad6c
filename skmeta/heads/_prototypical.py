"""Prototypical networks: the nearest class mean in a learned feature space."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.heads._absent import AbsentClasses
from skmeta.inner import HeadRule, TaskTensors
from skmeta.tasks import TaskData

__all__ = ["PrototypicalClassifier"]


class _Prototypes(HeadRule):
    """Squared distances to the mean features of each class."""

    def __init__(self, body: nn.Module, n_features_in: int, n_classes: int) -> None:
        super().__init__(body, n_features_in)
        self.absent = AbsentClasses(n_classes, self.width)
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.prevalence = nn.Parameter(torch.zeros(()))

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Return ``c_k``, the mean over the support rows of class k, equation 1."""
        missing, stand_in = self.absent(y)
        counts = y.sum(dim=1)
        means = y.mT @ features / counts.clamp(min=1.0)[..., None]
        return {"prototypes": torch.where(missing[..., None], stand_in, means), "counts": counts}

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Return ``-‖f - c_k‖² / τ``, the logits of equation 2, less what a row's classes share."""
        c = state["prototypes"]
        linear = 2 * features @ c.mT - c.square().sum(dim=2)[:, None]
        prior = self.prevalence * state["counts"].log1p()[:, None]
        return linear * (-self.log_temperature).exp() + prior

    @property
    def bytes_per_task(self) -> int:
        return self.absent.features.numel() * self.absent.features.element_size()


@meta_learner
class PrototypicalClassifier(EpisodicParams, DeepClassifierMixin, BaseDeepLearner):
    """The nearest class mean on meta-learned features (prototypical networks).

    A network f maps rows to features; the prototype of a class is the mean of its support rows,
    ``c_k = mean f(x_i)``, and a query row belongs to class k with probability
    ``p(k | x) ∝ exp(-‖f(x) - c_k‖² / τ)``. Meta-training learns f and the temperature τ.

    Pick it for many classes with one to five rows each, or when classes come and go: adapting is
    averaging. Training with more classes in an episode (`n_way`) than will be met in use often
    helps. Where tasks share a label set and differ in how features separate it, heads that are
    fitted, such as `RidgeHeadClassifier`, do better.

    Parameters
    ----------
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The distance is squared Euclidean, which makes the classifier linear in f, with weights
    ``2 c_k / τ`` and bias ``-‖c_k‖² / τ``. The paper has τ = 1; learned, it starts there.
    The paper's classes have equally many rows. Where they have not, class k's logit also has
    ``β log(1 + n_k)`` for its n_k support rows, with β learned from 0 on, as common classes may be
    common in the query too. Where tasks share a label set, a class that the support does not show
    has a meta-learned prototype.

    References
    ----------
    .. [1] J. Snell, K. Swersky, R. Zemel (2017). Prototypical networks for few-shot learning.
       NeurIPS; arXiv:1703.05175, equations 1, 2 and 8.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.PrototypicalClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    def _wrapper(self, data: TaskData) -> Any:
        return partial(_Prototypes, n_features_in=data.X.shape[1], n_classes=self._n_net_outputs)
