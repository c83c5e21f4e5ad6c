"""DiverseBatches: meta-training on meta-batches of unlike tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skmeta.grouping._determinantal import DeterminantalBatches
from skmeta.grouping._embedded import EmbeddedTasks
from skmeta.grouping._farthest import FarthestBatches
from skmeta.tasks import TaskChooser
from skmeta.training import OuterLoop

__all__ = ["DiverseBatches"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_METHODS = ("dpp", "farthest")


class DiverseBatches(EmbeddedTasks):
    """Meta-train any learner on meta-batches whose tasks are unlike each other.

    Tasks are embedded, and each meta-batch is a diverse subset of them: tasks that are alike are
    rarely in it together, so that what a meta-update learns from one is not what it has learned
    from the next. Tasks of which there are few of the kind so have more of a say than in a uniform
    draw, and near-duplicates less.

    Pick it where a collection is lopsided: many tasks of one kind, some of others that a new task
    may well be of. Do not expect it to help in general: [3]_ compare samplers of tasks over
    learners and data sets and find that more diversity does not improve them, and may harm. Unlike
    a uniform draw it does not follow the mean loss of the tasks, as rare ones weigh more.

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on meta-batches of tasks, or another meta-transformer
        around one.
    method : {"dpp", "farthest"}, default="dpp"
        How a meta-batch of k tasks is drawn:

        - "dpp": a k-DPP, in which k tasks have a probability in proportion to the determinant of
          their similarities: the squared volume that their embeddings span. It is drawn exactly;
          tasks of the same embedding are never drawn together;
        - "farthest": a task at random, then again and again the one farthest from those drawn. It
          covers all there is, outlying tasks first, which then are in every meta-batch.
    embedding : {"head", "gradient", "fisher"}, TaskEmbedding or transformer, default="head"
        What describes a task, see `TaskEmbedding`, which is given the features without the task
        column.
    random_state : int, RandomState instance or None, default=None
        Draws the probe of the embedding. Meta-batches are drawn by the learner's own.

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    embedding_ : TaskEmbedding
        The fitted embedding.
    task_embeddings_ : ndarray of shape (n_tasks, n_numbers)
        The embedding of each training task, in the order of `tasks_`.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    TaskGrouping : Draws meta-batches from groups of tasks, and penalises their disagreement.
    HeTRoM : Leaves tasks out that are not worth it.

    Notes
    -----
    The similarity of tasks with embeddings z_i and z_j is ``L_ij = (1 + cos(z_i, z_j)) / 2``: 1 for
    tasks alike and 0 for opposite ones. A Fisher information is scaled to length 1 in each
    parameter tensor first, for these differ in scale by far. "farthest" takes the distances that
    belong to L.

    The eigenvectors of L are computed once: for embeddings narrower than the number of tasks in the
    dual form, which serves tens of thousands of tasks, and else at a cost that grows with the cube
    of that number, which serves a few thousand. A meta-batch of 25 tasks then takes a millisecond
    or so, which grows with the number of eigenvectors and not with that of tasks. "farthest" holds
    the distances of all pairs.

    If embeddings have fewer directions than a meta-batch has tasks, the rest of it is drawn
    uniformly, and if there are fewer tasks than that, all of it is, with replacement.

    References
    ----------
    .. [1] arXiv:2312.16612 (2023), for meta-batches that are diverse by a determinantal process;
       the similarities are our choice.
    .. [2] A. Kulesza, B. Taskar (2011). k-DPPs: fixed-size determinantal point processes. ICML;
       algorithms 7 and 8 of their arXiv:1207.6083.
    .. [3] R. Kumar, T. Deleu, Y. Bengio (2023). The effect of diversity in meta-learning. AAAI;
       arXiv:2201.11775.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(30, 20, random_state=0)
    >>> learner = skmeta.RidgeHeadRegressor(max_iter=20, random_state=0)
    >>> model = skmeta.DiverseBatches(learner, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.task_embeddings_.shape
    (30, 65)
    >>> model.adapt(tasks.data[:5], tasks.target[:5]).predict(tasks.data[5:8]).shape
    (3,)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "dpp",
        embedding: Any = "head",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.embedding = embedding
        self.random_state = random_state

    def _before_fit(self, X: Any, y: Any, groups: Any) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"method={self.method!r} must be one of {list(_METHODS)}.")
        self._embed(X, y, groups, check_random_state(self.random_state).randint(2**31))

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        factor = _factor(self.task_embeddings_, self.embedding_.blocks_)
        way = DeterminantalBatches(factor) if self.method == "dpp" else FarthestBatches(factor)
        return outer.extended(choose=partial(_draw, way))


def _factor(E: NDArray[Any], blocks: Sequence[int] | None) -> Array:
    """Return B, whose products of rows are the similarities of tasks."""
    Z = E.astype(np.float64)
    if blocks is not None:
        Z = np.hstack([_unit(part) for part in np.split(Z, np.cumsum(blocks)[:-1], axis=1)])
    return np.column_stack([np.ones(len(Z)), _unit(Z)]) / np.sqrt(2)


def _unit(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Array = rows / np.where(norms > 0, norms, 1)
    return unit


def _draw(
    diverse: TaskChooser,
    random: np.random.Generator,
    eligible: Indices,
    n_batches: int,
    per_batch: int,
) -> Indices:
    """Draw diverse tasks, where there are enough of them."""
    if len(eligible) < per_batch:
        return eligible[random.integers(len(eligible), size=(n_batches, per_batch))]
    return diverse(random, eligible, n_batches, per_batch)
