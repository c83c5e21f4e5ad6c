"""ANIL: gradient steps on the head alone, on features that the body has learned for them."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import DifferentiatedLearner
from skmeta.inner import GradientSteps, HeadRule, TaskTensors

__all__ = ["ANILClassifier", "ANILRegressor"]


class _HeadSteps(HeadRule):
    """Gradient steps on a linear head; the body sees all rows of all tasks at once."""

    def __init__(self, body: nn.Module, n_features_in: int, n_outputs: int, **steps: Any) -> None:
        super().__init__(body, n_features_in)
        head = nn.Linear(self.width, n_outputs)
        self.head = GradientSteps(head, self.width, n_outputs, **steps)

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        return self.head.adapt(features, y, mask)

    def apply_head(self, features: Tensor, state: TaskTensors) -> Tensor:
        return self.head.predict(features, state)

    @property
    def bytes_per_task(self) -> int:
        return self.head.bytes_per_task


@meta_learner
class _ANIL(DifferentiatedLearner):
    _rule_class = _HeadSteps

    _body_has_outputs = False

    @property
    def _steps(self) -> GradientSteps:
        return cast(_HeadSteps, self._rule).head


@meta_learner
class ANILRegressor(DeepRegressorMixin, _ANIL):
    """MAML whose inner steps move the linear head alone (almost no inner loop).

    The body f maps rows to features; a task's head is ``w = w₀ - α ∇_w L_support(w₀; f)``,
    repeated `n_inner_steps` times (section 4 of the paper, MAML's equation 1 restricted to the
    head). Meta-training learns the body and w₀ through these steps.

    Pick it over `MAMLRegressor` for its speed: the body runs once for all rows. A step on the head
    is badly conditioned, though: where squared loss and five rows are all there is,
    `RidgeHeadRegressor` solves for the head instead and is far more accurate.

    Parameters
    ----------
    inner_lr : float or dict, default=0.01
        The inner rate α, or rates ``{"weight": ..., "bias": ...}`` of the head.
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    learn_inner_lr : bool, default=False
        Whether to meta-learn the inner rates of weights and bias, from `inner_lr` on.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The module ends in features; the head is added to it. With the mean squared error, steps shrink
    the support loss only while ``α λ_max(F'F / K) < 1``, which features of a wide layer can
    exceed. A task that more steps in use make worse goes back to the step at which its support
    loss was lowest, with a `DivergenceWarning`.

    References
    ----------
    .. [1] A. Raghu, M. Raghu, S. Bengio, O. Vinyals (2020). Rapid learning or feature reuse?
       Towards understanding the effectiveness of MAML. ICLR; arXiv:1909.09157, section 4.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.ANILRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class ANILClassifier(DeepClassifierMixin, _ANIL):
    """MAML of classifiers whose inner steps move the linear head alone.

    As `ANILRegressor`, with the cross-entropy as loss.

    Parameters
    ----------
    inner_lr : float or dict, default=0.01
        The inner rate α, or rates ``{"weight": ..., "bias": ...}`` of the head.
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    learn_inner_lr : bool, default=False
        Whether to meta-learn the inner rates of weights and bias, from `inner_lr` on.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] A. Raghu, M. Raghu, S. Bengio, O. Vinyals (2020). Rapid learning or feature reuse?
       Towards understanding the effectiveness of MAML. ICLR; arXiv:1909.09157, section 4.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.ANILClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
