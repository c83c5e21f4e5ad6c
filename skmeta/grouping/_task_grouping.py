"""TaskGrouping: meta-training within groups of tasks, with their disagreement penalised."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from skmeta.base._deep import BaseDeepLearner
from skmeta.grouping._displacement import DisplacedGradient
from skmeta.grouping._dissimilarity import task_dissimilarity
from skmeta.grouping._embedded import EmbeddedTasks
from skmeta.grouping._group_tasks import group_tasks
from skmeta.tasks import draw_subsets
from skmeta.training import OuterLoop

__all__ = ["TaskGrouping"]

Groups = NDArray[np.int64]

_FEWEST = 2  # tasks that are too few to see kinds of them


class TaskGrouping(EmbeddedTasks):
    """Meta-train any learner on groups of unlike tasks, and keep their gradients together.

    Tasks are embedded and divided into groups; each meta-update takes its tasks from one group.
    With ``g_i`` the meta-gradient of task i and ``ḡ`` their mean, the update follows
    ``mean_i ∇ℓ_i(θ + β (g_i - ḡ))``: each task is differentiated a little uphill along its
    disagreement with the others, which penalises the variance of gradients within the meta-batch,
    ``β/2 tr Cov(g)``. Groups of unlike tasks make that variance large, so the penalty then asks
    for parameters on which even they agree (task groupings regularization).

    Pick it where a collection holds several domains that pull the model in different directions.
    Where meta-updates of a few tasks then are noisy and large, ``group="mixed"`` with ``beta=0``
    lessens the noise at little cost in long fits. The penalty costs two meta-gradients of each
    task by itself in place of one of their mean, some three to six times the time. `labels_` and
    `dissimilarity_` are worth a look on their own.

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on meta-batches of tasks, or another meta-transformer
        around one.
    group : {"dissimilar", "mixed", "similar", "random"}, default="dissimilar"
        What the tasks of a group are, see `group_tasks`: "dissimilar" is the paper's, "similar"
        and "random" are for comparison. "mixed" has unlike tasks too, in groups of one size, and
        is steadier where kinds of tasks are well apart.
    n_groups : int or "auto", default=5
        The number of groups; "auto" finds it from the tasks. Never more than there are tasks.
    embedding : {"fisher", "gradient", "head"}, TaskEmbedding or transformer, default="fisher"
        What describes a task, see `TaskEmbedding`, which is given the features without the task
        column.
    beta : float, default=0.001
        The displacement β; 0 for grouping alone.
    detach : bool, default=True
        Whether displacements are constants in differentiation, as in the paper. False
        differentiates through them, as the authors' code does: the penalty is twice as strong, and
        costs Hessian-vector products. `IMAMLRegressor` and its classifier cannot do that.
    random_state : int, RandomState instance or None, default=None
        Draws the probe of the embedding and the groups. The learner has its own.

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    embedding_ : TaskEmbedding
        The fitted embedding.
    task_embeddings_ : ndarray of shape (n_tasks, n_numbers)
        The embedding of each training task, in the order of `tasks_`.
    dissimilarity_ : ndarray of shape (n_tasks, n_tasks)
        How unlike tasks are, likewise; beyond 1000 tasks, of shape (n_tasks, 1000), see
        `task_dissimilarity`.
    labels_ : ndarray of shape (n_tasks,)
        The group of each task, likewise.
    gradient_variance_ : ndarray of shape (n_measurements,)
        ``tr Cov(g)`` of the meta-batch at the first update of each epoch, a hundredth of training.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    TaskEmbedding : The embedding alone, for any clusterer.
    HeTRoM : Leaves tasks out that are not worth it.

    Notes
    -----
    A group is drawn for each meta-batch with a probability in proportion to its size, so that all
    tasks are drawn alike. Where it has fewer tasks than the meta-batch, they are drawn with
    replacement. The meta-step is not compiled: gradients of single tasks are batched by
    `torch.func.vmap`, after a comparison with a plain loop, which is used where they differ. Heads
    that belong to one task, as in `MultiHeadRegressor`, are not displaced.

    References
    ----------
    .. [1] Y. Wei, Z. Hu, L. Shen, Z. Wang, Y. Li, C. Yuan, D. Tao (2024). Task groupings
       regularization: data-free meta-learning with heterogeneous pre-trained models. ICML;
       arXiv:2405.16560.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(30, 20, random_state=0)
    >>> learner = skmeta.MAMLRegressor(max_iter=20, random_state=0)
    >>> model = skmeta.TaskGrouping(learner, n_groups=3, embedding="head", random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.labels_.shape
    (30,)
    >>> model.adapt(tasks.data[:5], tasks.target[:5]).predict(tasks.data[5:8]).shape
    (3,)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        group: str = "dissimilar",
        n_groups: int | str = 5,
        embedding: Any = "fisher",
        beta: float = 1e-3,
        detach: bool = True,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.group = group
        self.n_groups = n_groups
        self.embedding = embedding
        self.beta = beta
        self.detach = detach
        self.random_state = random_state

    def _before_fit(self, X: Any, y: Any, groups: Any) -> None:
        check_scalar(self.beta, "beta", Real, min_val=0)
        if self.n_groups != "auto":
            check_scalar(self.n_groups, "n_groups", Integral, min_val=1)
        random = check_random_state(self.random_state)
        self._embed(X, y, groups, random.randint(2**31))
        self.dissimilarity_ = task_dissimilarity(self.task_embeddings_, self.embedding_.blocks_)
        n_groups = self.n_groups
        if n_groups == "auto":
            n_groups = 1 if len(self.task_embeddings_) <= _FEWEST else n_groups
        else:
            n_groups = min(n_groups, self.dissimilarity_.shape[1])
        self.labels_ = group_tasks(
            self.dissimilarity_, n_groups, how=self.group, random_state=random
        )

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        return outer.extended(
            choose=partial(_draw_within, self.labels_) if self.labels_.any() else None,
            gradient=partial(
                DisplacedGradient,
                self.beta,
                detach=self.detach,
                measure_every=self._unfitted._updates_per_epoch,
            ),
        )

    def _after_fit(self, learner: BaseDeepLearner) -> None:
        measured = cast(DisplacedGradient, learner.net_.gradient_).variances
        self.gradient_variance_ = np.array([float(value) for value in measured])


def _draw_within(
    groups: Groups, random: np.random.Generator, eligible: Groups, n_batches: int, per_batch: int
) -> Groups:
    """Draw a group for each meta-batch, by its size, and tasks of it."""
    order = np.argsort(groups[eligible], kind="stable")
    _, start, sizes = np.unique(groups[eligible][order], return_index=True, return_counts=True)
    chosen = random.choice(len(sizes), size=n_batches, p=sizes / sizes.sum())
    size = sizes[chosen]
    within = (random.random((n_batches, per_batch)) * size[:, None]).astype(np.int64)
    large = size >= per_batch
    if large.any():
        within[large] = draw_subsets(random, size[large], np.full(large.sum(), per_batch))
    tasks: Groups = eligible[order[start[chosen][:, None] + within]]
    return tasks
