"""MAML: an initialisation from which a few gradient steps suffice."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor

from skmeta.base import State
from skmeta.base._deep import BaseDeepLearner, DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.inner import Episode, GradientSteps, mean_over_rows
from skmeta.tasks import EpisodeSampler, TaskData

__all__ = ["MAMLClassifier", "MAMLRegressor"]

_AUDIT_TASKS = 2
_AUDIT_TOLERANCE = 1e-6


@meta_learner
class _MAML(EpisodicParams, BaseDeepLearner):
    inner_lr: float = 0.01
    n_inner_steps: int = 1
    n_adapt_steps: int | None = None
    first_order: bool = False

    _body_has_outputs = True

    @property
    def _shots(self) -> int | tuple[int, int]:  # type: ignore[override]
        return self.n_shots

    def _wrapper(self, data: TaskData) -> Any:
        check_scalar(self.inner_lr, "inner_lr", Real, min_val=0)
        check_scalar(self.n_inner_steps, "n_inner_steps", Integral, min_val=0)
        return partial(
            GradientSteps,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_net_outputs,
            loss=self._row_loss,
            lr=self.inner_lr,
            n_steps=self.n_inner_steps,
            first_order=self.first_order,
        )

    def _adapt_tasks(self, data: TaskData) -> State:
        steps = self.n_inner_steps if self.n_adapt_steps is None else self.n_adapt_steps
        check_scalar(steps, "n_adapt_steps", Integral, min_val=0)
        self._rule.n_steps = steps  # type: ignore[assignment]
        return super()._adapt_tasks(data)

    def _before_training(self, data: TaskData, sampler: EpisodeSampler) -> None:
        if self.module is not None:
            stream = self._stream(data, sampler)
            episode = next(iter(stream))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # on how fast a missing rule would be
                right = _vmap_is_right(self._rule, episode)  # type: ignore[arg-type]
            if not right:
                warnings.warn(
                    f"torch's batched derivative of {type(self._rule.network).__name__} is wrong "
                    "or missing; tasks are adapted one after another, which is slower. A "
                    "normalisation layer without affine parameters avoids it.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                self._rule.batched = False  # type: ignore[assignment]


def _vmap_is_right(rule: GradientSteps, episode: Episode) -> bool:
    """Compare the batched meta-gradient with the plain loop's, in double precision."""
    few = Episode(
        *(
            None if value is None else _double(value[:_AUDIT_TASKS])
            for value in vars(episode).values()
        )  # type: ignore[arg-type]
    )
    gradients = []
    for batched in (False, True):
        probe = copy.deepcopy(rule).double().eval()
        probe.batched = batched
        try:
            loss = mean_over_rows(probe.loss(probe(few), few.query_y), few.query_mask).mean()
            trained = [p for p in probe.parameters() if p.requires_grad]
            parts = torch.autograd.grad(loss, trained, materialize_grads=True)
        except (RuntimeError, ValueError):
            if not batched:
                raise
            return False
        gradients.append(torch.cat([part.flatten() for part in parts]))
    reference, batched_gradient = gradients
    error = (batched_gradient - reference).norm()
    return bool(error <= _AUDIT_TOLERANCE * reference.norm().clamp(min=1e-12))


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


@meta_learner
class MAMLRegressor(DeepRegressorMixin, _MAML):
    """Model-agnostic meta-learning: an initialisation that a few gradient steps adapt.

    A task's network is ``w = θ - α ∇L_support(θ)``, repeated `n_inner_steps` times, and
    meta-training minimises over θ the query loss at w, mean over tasks. With
    `first_order=True` the inner gradients count as constants, which is cheaper and less accurate.

    Pick it when tasks differ in more than a linear read-out of common features, or when the
    network is given. Where a closed-form head fits the problem, `RidgeHeadRegressor` is more
    accurate and has neither inner rate nor steps to choose.

    Parameters
    ----------
    inner_lr : float, default=0.01
        The inner rate α.
    n_inner_steps : int, default=1
        Gradient steps on the support in training.
    n_adapt_steps : int, default=None
        Gradient steps in use; None takes as many as in training.
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    {shared}

    Attributes
    ----------
    net_ : skorch NeuralNet
        The trained net: `net_.history`, `net_.module_`.
    n_iter_ : int
        Meta-updates done.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    Notes
    -----
    Losses are means over rows, then over tasks. All tasks of a meta-batch are adapted at once
    (`torch.func.vmap`). torch's second derivative of some fused layers is wrong under vmap, so the
    meta-gradient of a given module is compared once with a plain loop over tasks; where they
    differ, `fit` warns and uses the loop. More steps in use than in training fit a task better
    while `inner_lr` is small, and diverge when it is not; `n_adapt_steps` may be set after `fit`.

    References
    ----------
    .. [1] C. Finn, P. Abbeel, S. Levine (2017). Model-agnostic meta-learning for fast adaptation
       of deep networks. ICML; arXiv:1703.03400, equation 1 and algorithm 2; section 5.2 for
       `first_order`.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.MAMLRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class MAMLClassifier(DeepClassifierMixin, _MAML):
    """Model-agnostic meta-learning of classifiers.

    As `MAMLRegressor`, with the cross-entropy as loss. Tasks that share a label set share the
    meaning of the network's outputs; with `n_way`, or label sets of their own, each episode
    assigns its classes to outputs at random.

    Parameters
    ----------
    inner_lr : float, default=0.01
        The inner rate α.
    n_inner_steps : int, default=1
        Gradient steps on the support in training.
    n_adapt_steps : int, default=None
        Gradient steps in use; None takes as many as in training.
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    {shared}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    net_ : skorch NeuralNet
        The trained net: `net_.history`, `net_.module_`.
    n_iter_ : int
        Meta-updates done.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    References
    ----------
    .. [1] C. Finn, P. Abbeel, S. Levine (2017). Model-agnostic meta-learning for fast adaptation
       of deep networks. ICML; arXiv:1703.03400, equation 1 and algorithm 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.MAMLClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
