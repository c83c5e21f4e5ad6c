"""Reptile: move the meta-parameters towards where plain training on a task leads."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from skorch.callbacks import LRScheduler
from torch import Tensor

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import GradientLearner
from skmeta.inner import (
    Episode,
    GradientSteps,
    Objective,
    TaskTensors,
    all_rows,
    row_shares,
    squared_norm,
)

__all__ = ["ReptileClassifier", "ReptileRegressor"]


class _MinibatchSteps(GradientSteps):
    """Steps on one minibatch of a task's rows after another, and the way that they went."""

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return ``½ ‖θ - w‖²``, w held fixed: its gradient is ``θ - w``. The value is a loss."""
        rows = all_rows(episode)
        with torch.no_grad():
            end = self._train(rows, episode.support_mask.shape[1])
            loss = objective.task_losses(self.predict(rows.query_X, end), rows)
        start = self.networks.start()
        way = 0.5 * squared_norm({name: start[name] - end[name] for name in start})
        return loss + way - way.detach()

    def _train(self, rows: Episode, size: int) -> TaskTensors:
        """Take the steps, each on the next `size` rows; after the last row comes the first."""
        X, y, mask = rows.query_X, rows.query_y, rows.query_mask
        order = mask.argsort(dim=1, descending=True, stable=True)  # rows first, padding behind
        n_rows = mask.sum(dim=1, keepdim=True).long()
        at = torch.arange(size, device=X.device)
        there = (at < n_rows).to(X.dtype)
        rates = self.rates()
        weights = self.networks.start()
        for number in range(self.n_steps):
            chosen = order.gather(1, (number * size + at) % n_rows.clamp(min=1))[..., None]
            weights = self.step(
                weights,
                X.gather(1, chosen.expand(-1, -1, X.shape[2])),
                y.gather(1, chosen.expand(-1, -1, y.shape[2])),
                row_shares(there),
                rates,
            )
        return self.networks.for_each(weights, len(X))


@meta_learner
class _Reptile(GradientLearner):
    inner_lr: Any = 0.02
    n_inner_steps: int = 5
    n_queries: int | None = 40
    n_shots: int | tuple[int, int] = 10
    optimizer: Any = torch.optim.SGD
    lr: float = 0.1

    _rule_class = _MinibatchSteps

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {"first_order": True}

    def _own_callbacks(self) -> list[tuple[str, Any]]:
        """The step ε falls to 0: each step follows the few tasks of its own meta-batch."""
        decay = partial(_remaining, n_epochs=max(1, self._n_epochs))
        return [("meta_step", LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=decay))]


def _remaining(epoch: int, n_epochs: int) -> float:
    return max(0.0, 1.0 - epoch / n_epochs)


@meta_learner
class ReptileRegressor(DeepRegressorMixin, _Reptile):
    """An initialisation found by walking towards what each task learns (Reptile).

    For each task, w takes `n_inner_steps` gradient steps from θ, each on other rows of it; then
    ``θ ← θ + ε (mean_i w_i - θ)`` (algorithm 2). There is no query set and no second derivative.

    Pick it when tasks have several minibatches of rows, and second-order methods are too dear.

    Parameters
    ----------
    n_shots : int or (int, int), default=10
        Rows of a minibatch, that is of one inner step in training; choose it near the number of
        rows that a new task will have.
    n_queries : int or None, default=40
        Further rows of a training episode; the inner steps go through all of its rows in turn,
        and begin again when they are through. None for all rows of the task.
    n_inner_steps : int, default=5
        Minibatches in training.
    lr : float, default=0.1
        The step ε of the first meta-update; it falls linearly to 0.
    optimizer : torch optimizer class, default=torch.optim.SGD
        What takes the step, ``θ - mean_i w_i`` being its gradient; plain SGD is the paper's.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    With one inner step it is joint training; what sets it apart is that gradients of different
    minibatches of a task come to agree. The inner steps are plain gradient descent, where the
    authors' code has Adam without momentum. In use every step sees all support rows.

    References
    ----------
    .. [1] A. Nichol, J. Achiam, J. Schulman (2018). On first-order meta-learning algorithms.
       arXiv:1803.02999, algorithms 1 and 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.ReptileRegressor(n_shots=5, max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class ReptileClassifier(DeepClassifierMixin, _Reptile):
    """Reptile for classifiers.

    As `ReptileRegressor`, with the cross-entropy as loss.

    Parameters
    ----------
    n_shots : int or (int, int), default=10
        Rows of a minibatch, that is of one inner step in training; of each class with `n_way` or
        `stratify`.
    n_queries : int or None, default=40
        Further rows of a training episode; None for all rows of the task.
    n_inner_steps : int, default=5
        Minibatches in training.
    lr : float, default=0.1
        The step ε of the first meta-update; it falls linearly to 0.
    optimizer : torch optimizer class, default=torch.optim.SGD
        What takes the step, ``θ - mean_i w_i`` being its gradient; plain SGD is the paper's.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] A. Nichol, J. Achiam, J. Schulman (2018). On first-order meta-learning algorithms.
       arXiv:1803.02999, algorithms 1 and 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.ReptileClassifier(n_shots=5, max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
