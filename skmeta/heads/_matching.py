"""Matching networks: attention over the support rows in a learned feature space."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.heads._absent import AbsentClasses
from skmeta.inner import HeadRule, TaskTensors, unit_rows
from skmeta.tasks import TaskData

__all__ = ["MatchingClassifier"]

_FIRST_TEMPERATURE = 0.1  # cosines lie in [-1, 1]: with 1, no attention could be sharp


class _Attention(HeadRule):
    """The share of attention that the support rows of each class get."""

    def __init__(self, body: nn.Module, n_features_in: int, n_classes: int) -> None:
        super().__init__(body, n_features_in)
        self.absent = AbsentClasses(n_classes, self.width)
        self.log_temperature = nn.Parameter(torch.tensor(_FIRST_TEMPERATURE).log())

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        missing, stand_in = self.absent(y)
        rows = torch.cat([features, stand_in.expand(len(y), -1, -1)], dim=1)
        return {
            "rows": unit_rows(rows),
            "classes": torch.cat([y, torch.diag_embed(missing.to(y.dtype))], dim=1),
        }

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Return ``log Σ_{i in k} exp(cos(f, g_i) / τ)``, equation 1 before normalisation."""
        classes = state["classes"]
        cosine = unit_rows(features) @ state["rows"].mT
        attention = cosine * (-self.log_temperature).exp()
        attention = attention.masked_fill(classes.sum(dim=2)[:, None] == 0, -torch.inf)
        # The softmax leaves out what the classes of a row share, and cannot overflow.
        share = attention.softmax(dim=2) @ classes
        return share.clamp(min=torch.finfo(share.dtype).tiny).log()

    @property
    def bytes_per_task(self) -> int:
        return self.absent.features.numel() * self.absent.features.element_size()

    @property
    def bytes_per_row(self) -> int:
        return self.width * self.log_temperature.element_size()


@meta_learner
class MatchingClassifier(EpisodicParams, DeepClassifierMixin, BaseDeepLearner):
    """Attention over the support rows on meta-learned features (matching networks).

    A network f maps rows to features; a query row belongs to class k with the share of attention
    that the support rows of k get: ``p(k | x) = Σ_i a(x, x_i) 1[y_i = k]`` with
    ``a = softmax(cos(f(x), f(x_i)) / τ)``. Meta-training learns f and the temperature τ.

    Pick it over `PrototypicalClassifier` when classes have several clusters, which one mean cannot
    stand for; with one row of each class the two differ in the distance alone. It keeps the
    support rows, so adapted models grow with them.

    Parameters
    ----------
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    f embeds support and query alike; the paper's full-context embeddings, recurrent networks that
    read the whole support, are left out. The paper has no temperature; the learned one starts at
    0.1. Where tasks share a label set, a class that the support does not show is stood in for by a
    meta-learned row.

    References
    ----------
    .. [1] O. Vinyals, C. Blundell, T. Lillicrap, K. Kavukcuoglu, D. Wierstra (2016). Matching
       networks for one shot learning. NeurIPS; arXiv:1606.04080, equation 1, section 2.1.1.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.MatchingClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    def _wrapper(self, data: TaskData) -> Any:
        return partial(_Attention, n_features_in=data.X.shape[1], n_classes=self._n_net_outputs)
