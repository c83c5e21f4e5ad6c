"""RFS: ordinary supervised pre-training, then a head for each task on the frozen features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn
from torch.nn.functional import one_hot

from skmeta.base._params import meta_learner
from skmeta.inner import Episode, Objective, SharedFeatures, mean_over_rows
from skmeta.multitask._base import FeatureHeadsClassifier, FeatureHeadsRegressor
from skmeta.tasks import EpisodeSampler, TaskData, TaskTable

__all__ = ["GoodEmbeddingClassifier", "GoodEmbeddingRegressor"]


class _Pooled(SharedFeatures):
    """One linear read-out of the features of a body, for the rows of all tasks.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    n_outputs : int
        Targets, or classes of all tasks together.
    unit_norm : bool
        Whether features are scaled to length 1 in use; training takes them as they are.
    """

    def __init__(
        self, body: nn.Module, n_features_in: int, n_outputs: int, *, unit_norm: bool
    ) -> None:
        super().__init__(body, n_features_in, unit_norm=unit_norm)
        self.head = nn.Linear(self.width, n_outputs)

    def forward(self, episode: Episode) -> Tensor:
        """Return the outputs of the query rows."""
        n_tasks, n_rows, _ = episode.query_X.shape
        outputs: Tensor = self.head(self.body(episode.query_X.flatten(0, 1)))
        return outputs.view(n_tasks, n_rows, -1)


class _MergedClasses(_Pooled):
    """The classifier of all classes, which may have a teacher; targets are class numbers.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    n_outputs : int
        Classes of all tasks together.
    unit_norm : bool
        Whether features are scaled to length 1 in use.
    alpha, beta : float
        Weights of the true labels and of the teacher.
    temperature : float
        What divides the logits that teacher and student compare.
    """

    def __init__(
        self,
        body: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        unit_norm: bool,
        alpha: float,
        beta: float,
        temperature: float,
    ) -> None:
        super().__init__(body, n_features_in, n_outputs, unit_norm=unit_norm)
        # Random rows of hundreds of classes would first teach the body to undo their noise.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        # A function, for a module would be trained, saved and switched to training with this one.
        self.teacher: Callable[[Episode], Tensor] | None = None

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return ``L_ce``; with a teacher ``α L_ce + β T² KL(teacher ‖ student)``."""
        logits = self(episode)
        truth = one_hot(episode.query_y[..., 0].long(), logits.shape[-1]).to(logits.dtype)
        cross_entropy = objective.task_losses(logits, replace(episode, query_y=truth))
        if self.teacher is None:
            return cross_entropy
        with torch.no_grad():
            taught = (self.teacher(episode) / self.temperature).log_softmax(dim=-1)
        told = (logits / self.temperature).log_softmax(dim=-1)
        divergence = mean_over_rows((taught.exp() * (taught - told)).sum(-1), episode.query_mask)
        # T² keeps the size of the gradient, which shrinks by 1 / T² as the softmax flattens.
        return self.alpha * cross_entropy + self.beta * self.temperature**2 * divergence


class _TaskOffsets(_Pooled):
    """The regression of all tasks, ``W f(x) + b_t``: one read-out W, an offset for each task.

    Parameters
    ----------
    body : Module
        Maps rows to features.
    n_features_in : int
        The number of features of a row.
    n_outputs : int
        Targets.
    unit_norm : bool
        Whether features are scaled to length 1 in use.
    n_tasks : int
        Training tasks.
    """

    own_parameters = ("offsets",)

    def __init__(
        self,
        body: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        unit_norm: bool,
        n_tasks: int,
    ) -> None:
        super().__init__(body, n_features_in, n_outputs, unit_norm=unit_norm)
        self.offsets = nn.Parameter(torch.zeros(n_tasks, n_outputs))

    def forward(self, episode: Episode) -> Tensor:
        """Return the outputs of the query rows, with the offsets of their tasks."""
        return super().forward(episode) + self.offsets[episode.tasks][:, None]


@meta_learner
class GoodEmbeddingRegressor(FeatureHeadsRegressor):
    """Features of one pooled regression; a new task fits a head on them (RFS for regression).

    A network is pre-trained on the rows of all tasks by ``ŷ = W f(x) + b_t``: one read-out W for
    all, and of each task only an offset, that is a pooled regression which is given the task as
    indicators beside the features. W and the offsets are discarded, and a task fits `head` on
    the features of its rows.

    Pick it as the baseline that learners of features have to beat, and where tasks share most of
    the function and differ in level and details. What tasks do not share is averaged out in
    pre-training: where their functions cancel, as sinusoids of random phases do, the features have
    been trained on noise. `MultiHeadRegressor`, with a whole head for each training task, has no
    such blind spot.

    Parameters
    ----------
    head : scikit-learn regressor, default=None
        What a task fits on the features; None is ``Ridge()``. Tasks without rows are predicted by
        a clone fitted on all rows.
    n_queries : int or None, default=32
        At most this many rows of each task in a minibatch; None for all.
    meta_batch_size : int, default=16
        Tasks in a minibatch.
    max_iter : int, default=1000
        Minibatches.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The paper is on classification; this is its two stages with squared errors. Features are not
    scaled to length 1 as they are for classes: their length says how large the target is.

    References
    ----------
    .. [1] Y. Tian, Y. Wang, D. Krishnan, J. B. Tenenbaum, P. Isola (2020). Rethinking few-shot
       image classification: a good embedding is all you need? ECCV; arXiv:2003.11539, section 3.2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(50, 20, random_state=0)
    >>> model = skmeta.GoodEmbeddingRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_linear_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """

    n_queries: int | None = 32

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            _TaskOffsets,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_net_outputs,
            unit_norm=self._unit_norm,
            n_tasks=data.table.n_tasks,
        )


@meta_learner
class GoodEmbeddingClassifier(FeatureHeadsClassifier):
    """Features of one classifier of all classes; a new task fits a head on them (RFS).

    A network is pre-trained as an ordinary classifier: the rows of all tasks are merged, a class
    of the same name is the same class everywhere, and minibatches are drawn of all rows. Its last
    layer is discarded; a task fits `head` on the features of its rows, scaled to length 1. With
    `n_distillations`, classifiers are trained one after another, each also on what the one before
    says of the rows (born-again networks), and the last one's features are kept.

    Pick it where training shows many classes with names that hold across tasks, and new tasks
    bring new classes: it is the plainest learner for that, and hard to beat. Where the same names
    mean other things in each task, merging contradicts itself; take `MultiHeadClassifier`.

    Parameters
    ----------
    head : "bayes" or scikit-learn classifier, default=None
        What a task fits on the features; None is ``LogisticRegression(C=1)``, fitted for all
        tasks at once where features are normalised. "bayes" learns the covariance of classes, and
        a prior of their means, from training tasks, as in `MultiHeadClassifier`.
    n_queries : int, default=4
        A minibatch has `meta_batch_size` times this many rows, wherever they come from; with
        `stratify` this many of each class.
    meta_batch_size : int, default=16
        See `n_queries`.
    max_iter : int, default=1000
        Minibatches, in each generation.
    n_way : int, default=None
        If given, new tasks have classes of their own, as with ``label_sets="own"``; pre-training
        tells all classes apart whatever it is.
    stratify : bool, default=False
        Whether minibatches are drawn of each class alike.
    n_distillations : int, default=0
        Generations that learn from the one before.
    alpha : float, default=0.5
        The weight α of the true labels in these generations.
    beta : float, default=0.5
        The weight β of the teacher.
    temperature : float, default=4.0
        The temperature T at which student and teacher are compared.
    normalize_features : bool, default=True
        Whether heads see features of length 1; pre-training does not.
    {shared}

    Attributes
    ----------
    bayes_head_ : BayesClasses
        The prior over classes; only with ``head="bayes"``.
    {attributes}

    Notes
    -----
    Generations minimise ``α L_ce + β T² KL(p_teacher ‖ p_student)``, with both softmaxes at
    temperature T; the factor T² and the order of the two are those of the authors' code. A student
    starts from weights of its own. The authors train with SGD, momentum and weight decay on images
    and fit heads on five augmented copies of the support; here the optimizer is Adam, and rows of
    tables are taken as they are. Rows of classes start at 0, all classes equally probable: with
    hundreds of classes the body then learns from the first step on.

    A task of a shared label set whose rows show one class only, or no row at all, is predicted by
    a head fitted on the rows of all training tasks.

    References
    ----------
    .. [1] Y. Tian, Y. Wang, D. Krishnan, J. B. Tenenbaum, P. Isola (2020). Rethinking few-shot
       image classification: a good embedding is all you need? ECCV; arXiv:2003.11539, section 3.2
       for the merged training set and the head, section 3.3 for sequential self-distillation.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.GoodEmbeddingClassifier(max_iter=20, n_way=2, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    n_queries: int | None = 4
    n_distillations: int = 0
    alpha: float = 0.5
    beta: float = 0.5
    temperature: float = 4.0

    _merges_tasks = True

    @property
    def _class_way(self) -> int | None:  # type: ignore[override]
        return None  # a minibatch has all classes

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.n_queries, "n_queries", Integral, min_val=1)
        check_scalar(self.n_distillations, "n_distillations", Integral, min_val=0)
        check_scalar(self.alpha, "alpha", Real, min_val=0)
        check_scalar(self.beta, "beta", Real, min_val=0)
        check_scalar(self.temperature, "temperature", Real, min_val=0, include_boundaries="neither")

    @property
    def _n_fit_parts(self) -> int:
        return self._n_epochs * (1 + self.n_distillations)

    def _prepare(self, data: TaskData) -> TaskData:
        super()._prepare(data)
        return data

    def _encode(self, data: TaskData) -> NDArray[Any]:
        return data.y[:, None]

    def _sampler(self, data: TaskData, random: np.random.Generator) -> EpisodeSampler:
        assert self.n_queries is not None
        n_rows = self.n_queries if self.stratify else self.n_queries * self.meta_batch_size
        merged = replace(data, table=TaskTable.single(len(data.X)))
        return EpisodeSampler(merged, 0, n_rows, stratify=self.stratify, random=random)

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            _MergedClasses,
            n_features_in=data.X.shape[1],
            n_outputs=len(self.classes_),
            unit_norm=self._unit_norm,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
        )

    def _before_training(self, data: TaskData, sampler: EpisodeSampler) -> None:
        """Train the teachers; the net that is left is the last student."""
        for _ in range(self.n_distillations):
            self.net_.partial_fit(self._stream(data, sampler))
            teacher = self.net_.module_.eval()
            self.net_ = self._make_net(data).initialize()
            self._merged.teacher = teacher.forward

    def _fit_prior(self, data: TaskData) -> None:
        super()._fit_prior(data)
        self._merged.teacher = None

    @property
    def _merged(self) -> _MergedClasses:
        return cast(_MergedClasses, self.net_.module_)
