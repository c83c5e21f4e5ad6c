"""Prototypical networks: the nearest class mean in a learned feature space."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any, cast

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.heads._absent import AbsentClasses
from skmeta.heads._transductive import cluster_jointly
from skmeta.inner import HeadRule, TaskTensors
from skmeta.tasks import TaskData

__all__ = ["PrototypicalClassifier"]

_FAR = -1e9  # a logit that is as good as none


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

    def predict_jointly(
        self, X: Tensor, mask: Tensor, state: TaskTensors, *, smoothness: float, own_labels: bool
    ) -> Tensor:
        """Predict the rows of each task by what they have in common; a row alone as ever."""
        features = self._features(X).double()  # energies are sums over rows, compared closely
        support = {name: values.double() for name, values in state.items()}
        # Where tasks have labels of their own, a class without rows is another task's.
        foreign = own_labels & (support["counts"] == 0)

        def logits(c: Tensor) -> Tensor:
            return self.apply_head(features, {**support, "prototypes": c}).masked_fill(
                foreign[:, None], _FAR
            )

        several = mask.sum(dim=1, keepdim=True) > 1
        found, _ = cluster_jointly(
            features,
            mask.double() * several,
            support,
            logits,
            scale=(-self.log_temperature.double()).exp(),
            smoothness=smoothness,
        )
        return found

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
    transductive : bool, default=False
        Whether the rows of a task that are asked for in one call are predicted together: they are
        clustered around its prototypes, which move with them. It is worth the most with one
        labelled row of each class. Predictions then depend on what else is asked, and classes
        are taken to be about equally common among these rows: where one is most of them, it does
        harm. A row asked alone is predicted as without. Training is the same, so it can be set
        after `fit` by `set_params`.
    smoothness : float, default=0.7
        How much a row is drawn to the classes of its three nearest among these rows; 0 leaves a
        soft k-means around the prototypes. Only with `transductive`.
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

    With `transductive`, a sweep over the query rows of a task is
    ``Y = softmax(logits + λ W Y)``, λ being `smoothness` and W the symmetric graph of three
    nearest neighbours among their features [2]_; then c_k becomes the mean of the support rows of
    class k and of the query rows, weighted by Y [3]_. Support rows keep their labels. There are
    at most 20 sweeps, and none raises the energy that both steps lower; the cost is quadratic in
    the number of these rows.

    References
    ----------
    .. [1] J. Snell, K. Swersky, R. Zemel (2017). Prototypical networks for few-shot learning.
       NeurIPS; arXiv:1703.05175, equations 1, 2 and 8.
    .. [2] I. M. Ziko, J. Dolz, E. Granger, I. Ben Ayed (2020). Laplacian regularized few-shot
       learning. ICML; arXiv:2006.15486.
    .. [3] I. M. Ziko, M. Boudiaf, J. Dolz, E. Granger, I. Ben Ayed (2021). Transductive few-shot
       learning: clustering is all you need? arXiv:2106.09516.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.PrototypicalClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    transductive: bool = False
    smoothness: float = 0.7

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.smoothness, "smoothness", Real, min_val=0)

    def _predict_padded(self, X: Tensor, mask: Tensor, state: TaskTensors) -> Tensor:
        if not self.transductive:
            return super()._predict_padded(X, mask, state)
        return cast(_Prototypes, self._rule).predict_jointly(
            X, mask, state, smoothness=self.smoothness, own_labels=self._own_labels
        )

    def _wrapper(self, data: TaskData) -> Any:
        return partial(_Prototypes, n_features_in=data.X.shape[1], n_classes=self._n_net_outputs)
