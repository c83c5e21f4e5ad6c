"""TaskBalancing: meta-updates in which no task drowns the others."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_scalar

from skmeta.balancing._aggregated import AggregatedGradient
from skmeta.balancing._ntk import NTKGradient
from skmeta.balancing._representation import RepresentationGradient
from skmeta.balancing._weighed import DrawnWeights
from skmeta.base._deep import BaseDeepLearner
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.training import OuterLoop

__all__ = ["TaskBalancing"]

_BY_KERNEL: dict[str, type[DrawnWeights]] = {
    "ntk": NTKGradient,
    "ntk-sr": RepresentationGradient,
}


class TaskBalancing(BaseMetaTransformer):
    """Meta-train any learner with the gradients of tasks balanced, or combined without conflict.

    A meta-update follows the mean gradient of its tasks, and so mostly the tasks of the largest
    gradients: those of a large scale or noise, or just the ones that are learned last. Balancing
    gives each task a weight ``ω_i = sqrt(mean_j λ_j / λ_i)``, with λ_i the rate at which
    gradient descent lowers its loss: the largest eigenvalue of its neural tangent kernel. With
    one split of its rows that is the squared norm of its gradient, and balancing makes all
    gradients as long as each other.

    Pick it where tasks differ in the scale of their losses or are learned at different speeds, as
    with heads of tasks in other units. It weighs tasks that are learned already as much as those
    that are not: where gradients are large because there is most to learn, as where all tasks
    share one scale, the bare learner may do better. An aggregator, such as ``UPGrad()``, is the
    choice where tasks pull in opposite directions: its update does not raise the loss of any of
    them, to first order.

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on meta-batches of tasks, or another meta-transformer
        around one.
    method : {"ntk", "ntk-sr"} or aggregator, default="ntk"
        How the gradients g_i of the tasks make the update of the parameters that tasks share:

        - "ntk": ``mean_i ω_i g_i`` (NTKMTL);
        - "ntk-sr": likewise, with weights from gradients by the shared representation, the output
          of the network, instead of by all weights (NTKMTL-SR). It costs little more than the bare
          learner, and holds no gradient of single tasks; for learners with heads on features;
        - an instance of an `Aggregator` of TorchJD, the extra ``jd``, such as
          ``torchjd.aggregation.UPGrad()``, or any function from a Jacobian, with a row for each
          task and a column for each parameter, to the update.
    n_splits : int, default=1
        With "ntk" and "ntk-sr": the number of parts of the query rows of a task whose gradients
        make its kernel, with "ntk" at the price of a meta-gradient for each beside that of the
        task. A task of fewer rows has as many parts as rows. The authors take 1, and 4 with
        "ntk-sr".

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    task_weights_ : ndarray of shape (n_tasks,)
        With "ntk" and "ntk-sr": the geometric mean of the weights of each training task over the
        meta-updates that it was in, NaN for tasks that were in none. In the order of `tasks_`.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    HeTRoM : Weighs tasks by the ranks of their losses.
    TaskGrouping : Penalises that gradients of tasks differ.

    Notes
    -----
    Weights are constants in differentiation. Parameters that belong to one task alone, as the heads
    of `MultiHeadRegressor`, get their plain gradient, and are no part of kernels and Jacobians. The
    scale of the losses of single tasks changes an update's length, by ``sqrt(mean_j λ_j)``, and
    not its direction; the authors' code takes the sum over tasks for the mean, and a rate of the
    update absorbs the difference. "ntk-sr" leaves the derivative of the representation by the
    weights out of the kernels: where tasks share their rows, as the authors' do, it is the same
    for all of them; with rows of their own, tasks whose rows the network is more sensitive to are
    taken for slower than they are. There, and where a network scales single tasks, prefer "ntk".

    Around or inside of a `HeTRoM`, the tasks that it selects are balanced among each other. A
    `TaskGrouping` makes a meta-gradient of its own, so that it cannot be combined with this one;
    `DiverseBatches` can.

    The meta-step is not compiled. Gradients of single tasks are batched by `torch.func.vmap`, after
    a comparison with a plain loop, which is used where they differ. They are held in memory for the
    whole meta-batch. With "ntk-sr" there are none, but a meta-batch is differentiated whole,
    whatever the learner's `chunk_size`.

    References
    ----------
    .. [1] X. Qin, X. Wang, N. Liao, J. Yan (2025). NTKMTL: mitigating task imbalance in multi-task
       learning from neural tangent kernel perspective. NeurIPS; arXiv:2510.18258.
    .. [2] P. Quinton, V. Rey (2024). Jacobian descent for multi-objective optimization.
       arXiv:2406.16232, for aggregators.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(30, 20, random_state=0)
    >>> learner = skmeta.MultiHeadRegressor(max_iter=20, random_state=0)
    >>> model = skmeta.TaskBalancing(learner)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.task_weights_.shape
    (30,)
    >>> model.adapt(tasks.data[:5], tasks.target[:5]).predict(tasks.data[5:8]).shape
    (3,)
    """

    def __init__(self, estimator: Any, *, method: Any = "ntk", n_splits: int = 1) -> None:
        self.estimator = estimator
        self.method = method
        self.n_splits = n_splits

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        check_scalar(self.n_splits, "n_splits", Integral, min_val=1)
        if isinstance(self.method, str) and self.method in _BY_KERNEL:
            return outer.extended(gradient=partial(_BY_KERNEL[self.method], self.n_splits))
        if not callable(self.method) or isinstance(self.method, type):
            raise ValueError(
                f"method={self.method!r} must be 'ntk', 'ntk-sr' or an instance of an Aggregator "
                "of TorchJD."
            )
        return outer.extended(gradient=partial(AggregatedGradient, self.method))

    def _after_fit(self, learner: BaseDeepLearner) -> None:
        gradient = learner.net_.gradient_
        if not isinstance(gradient, DrawnWeights):
            self.__dict__.pop("task_weights_", None)  # of an earlier fit
            return
        total, count = np.zeros((2, len(learner.tasks_)))
        if gradient.drawn:
            tasks, weights = (
                torch.cat(parts).cpu().numpy() for parts in zip(*gradient.drawn, strict=True)
            )
            np.add.at(total, tasks, np.log(weights))
            np.add.at(count, tasks, 1)
        gradient.drawn = []
        unknown = np.full(len(total), np.nan)
        self.task_weights_ = np.exp(np.divide(total, count, out=unknown, where=count > 0))
