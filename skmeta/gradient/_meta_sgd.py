"""Meta-SGD: the initialisation and the rate of every weight are meta-learned."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import GradientLearner

__all__ = ["MetaSGDClassifier", "MetaSGDRegressor"]


@meta_learner
class _MetaSGD(GradientLearner):
    @property
    def _inner_rates(self) -> Collection[Any]:
        if not isinstance(self.inner_lr, tuple):
            return super()._inner_rates
        if len(self.inner_lr) != 2 or self.inner_lr[0] > self.inner_lr[1]:
            raise ValueError(f"inner_lr={self.inner_lr!r} must be a range (low, high).")
        return self.inner_lr

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {"learn_lr": "weight"}


@meta_learner
class MetaSGDRegressor(DeepRegressorMixin, _MetaSGD):
    """MAML with a meta-learned rate for every weight.

    A task's network is ``w = θ - a ∘ ∇L_support(θ)`` (equation 1), and θ and a, of the same shape,
    both minimise the query loss at w (equation 2). The rates say which weights should move, and
    how far; they may become negative.

    Pick it over `MAMLRegressor` when one step should do: it is more accurate at the number of
    steps that it is trained with. It is not made for more steps than that.

    Parameters
    ----------
    inner_lr : float, (float, float) or dict, default=0.01
        The first value of the rates, or the range to draw them from (the paper's is
        ``(0.005, 0.1)``), or values of layers by the names of their parameters.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The learned rates are large, so that further steps in use (`n_adapt_steps`) would leave the
    region where the loss falls. A task that they make worse goes back to the step at which its
    support loss was lowest, with a `DivergenceWarning`.

    References
    ----------
    .. [1] Z. Li, F. Zhou, F. Chen, H. Li (2017). Meta-SGD: learning to learn quickly for few-shot
       learning. arXiv:1707.09835, equations 1 and 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.MetaSGDRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class MetaSGDClassifier(DeepClassifierMixin, _MetaSGD):
    """Meta-SGD for classifiers: MAML with a meta-learned rate for every weight.

    As `MetaSGDRegressor`, with the cross-entropy as loss.

    Parameters
    ----------
    inner_lr : float, (float, float) or dict, default=0.01
        The first value of the rates, or the range to draw them from, or values of layers by the
        names of their parameters.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Z. Li, F. Zhou, F. Chen, H. Li (2017). Meta-SGD: learning to learn quickly for few-shot
       learning. arXiv:1707.09835, equations 1 and 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.MetaSGDClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
