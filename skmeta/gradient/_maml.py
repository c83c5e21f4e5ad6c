"""MAML: an initialisation from which a few gradient steps suffice."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils.validation import check_scalar

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import DifferentiatedLearner

__all__ = ["MAMLClassifier", "MAMLRegressor"]


@meta_learner
class _MAML(DifferentiatedLearner):
    inner_rho: float = 0.0

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.inner_rho, "inner_rho", Real, min_val=0)

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {**super()._rule_params, "radius": self.inner_rho}


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
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    learn_inner_lr : bool, default=False
        Whether to meta-learn the inner rate of each weight matrix and bias, from `inner_lr` on.
    inner_rho : float, default=0
        Sharpness-aware inner steps: take the inner gradient at ``w + inner_rho ∇L / ‖∇L‖``.
        For the outer level there is ``optimizer=skmeta.SAM``.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    Losses are means over rows, then over tasks. All tasks of a meta-batch are adapted at once
    (`torch.func.vmap`). torch's second derivative of some fused layers is wrong under vmap, so the
    meta-gradient of a given module is compared once with a plain loop over tasks; where they
    differ, `fit` warns and uses the loop. A multilayer perceptron, the default, has the task
    dimension in its matrix products; convolutions on a CPU take one task after another.
    More steps in use than in training fit a task better while `inner_lr` is small. A task that
    they make worse goes back to the step at which its support loss was lowest, with a
    `DivergenceWarning`.

    References
    ----------
    .. [1] C. Finn, P. Abbeel, S. Levine (2017). Model-agnostic meta-learning for fast adaptation
       of deep networks. ICML; arXiv:1703.03400, equation 1 and algorithm 2; section 5.2 for
       `first_order`.
    .. [2] A. Antoniou, H. Edwards, A. Storkey (2019). How to train your MAML. ICLR;
       arXiv:1810.09502, for `learn_inner_lr`.
    .. [3] M. Abbas et al. (2022). Sharp-MAML. ICML; arXiv:2206.03996, for `inner_rho`.

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
    first_order : bool, default=False
        Whether to drop the second-order terms of the meta-gradient.
    learn_inner_lr : bool, default=False
        Whether to meta-learn the inner rate of each weight matrix and bias, from `inner_lr` on.
    inner_rho : float, default=0
        Sharpness-aware inner steps: take the inner gradient at ``w + inner_rho ∇L / ‖∇L‖``.
        For the outer level there is ``optimizer=skmeta.SAM``.
    {shared}

    Attributes
    ----------
    {attributes}

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
