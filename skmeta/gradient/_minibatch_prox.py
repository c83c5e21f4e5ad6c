"""Meta-MinibatchProx: the meta-parameters are the centre that tasks are pulled to."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import GradientLearner
from skmeta.inner import Episode, Objective, ProximalSteps, all_rows, squared_norm

__all__ = ["MinibatchProxClassifier", "MinibatchProxRegressor"]


class _Envelope(ProximalSteps):
    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return ``min_w L(w) + λ/2 ‖w - θ‖²``, whose gradient by θ is ``λ (θ - w*)``."""
        rows = all_rows(episode)
        with torch.no_grad():
            solution = self.adapt(rows.query_X, rows.query_y, rows.query_mask)
        loss = objective.task_losses(self.predict(rows.query_X, solution), rows)
        start = self.networks.start()
        ways = {name: solution[name] - start[name] for name in start}
        return loss + 0.5 * self.alpha * squared_norm(ways)


@meta_learner
class _MinibatchProx(GradientLearner):
    alpha: float = 1.0
    n_inner_steps: int = 10
    max_inner_norm: float | None = 10.0

    _rule_class = _Envelope

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.alpha, "alpha", Real, min_val=0)

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "first_order": True}


@meta_learner
class MinibatchProxRegressor(DeepRegressorMixin, _MinibatchProx):
    """An initialisation that tasks are pulled back to while they learn (Meta-MinibatchProx).

    A task minimises ``L(w) + λ/2 ‖w - θ‖²`` on all its rows, and θ minimises the mean of these
    minima over tasks. By the envelope theorem the meta-gradient is ``λ (θ - w*)``: no second
    derivatives, and no split into support and query. It is `ReptileRegressor` with a pull. For a
    linear network it is ridge regression shrunk to a learned centre.

    Pick it over `IMAMLRegressor` when training has to be cheap, and tasks have rows enough that
    fitting them is what counts rather than generalising from a few.

    Parameters
    ----------
    alpha : float, default=1.0
        The strength λ of the pull; ``inner_lr * (alpha + curvature)`` must stay below 2.
    max_inner_norm : float, default=10.0
        The largest norm of a task's inner gradient, without the pull. It keeps far-off tasks from
        diverging on their way, and is without effect near the solution.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    A training episode is `n_shots` and `n_queries` rows taken together. In use a task takes the
    same steps with the same pull.

    References
    ----------
    .. [1] P. Zhou, X. Yuan, H. Xu, S. Yan, J. Feng (2019). Efficient meta learning via minibatch
       proximal update. NeurIPS, equation 2 and algorithm 1.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.MinibatchProxRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class MinibatchProxClassifier(DeepClassifierMixin, _MinibatchProx):
    """An initialisation that classifiers are pulled back to while they learn.

    As `MinibatchProxRegressor`, with the cross-entropy as loss.

    Parameters
    ----------
    alpha : float, default=1.0
        The strength λ of the pull; ``inner_lr * (alpha + curvature)`` must stay below 2.
    max_inner_norm : float, default=10.0
        The largest norm of a task's inner gradient, without the pull. It keeps far-off tasks from
        diverging on their way, and is without effect near the solution.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] P. Zhou, X. Yuan, H. Xu, S. Yan, J. Feng (2019). Efficient meta learning via minibatch
       proximal update. NeurIPS, equation 2 and algorithm 1.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.MinibatchProxClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
