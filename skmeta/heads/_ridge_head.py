"""R2D2: a ridge head, solved in closed form inside each episode."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any, cast

from sklearn.utils.validation import check_scalar

from skmeta.base._compiling import CompilingLearner
from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.inner import PenalisedHead, RidgeSolve
from skmeta.tasks import TaskData

__all__ = ["PenalisedHeadLearner", "RidgeHeadClassifier", "RidgeHeadRegressor"]

_LOGIT_SCALE = 10.0  # outputs near 0 and 1 make logits that a softmax can tell apart


@meta_learner
class PenalisedHeadLearner(EpisodicParams, CompilingLearner):
    """Base of learners whose heads have a ridge penalty."""

    alpha: float = 0.1
    learn_alpha: bool = True

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.alpha, "alpha", Real, min_val=0, include_boundaries="neither")

    @property
    def alpha_(self) -> float:
        """The learned penalty."""
        return cast(PenalisedHead, self._rule).log_alpha.detach().exp().item()


@meta_learner
class _RidgeHead(PenalisedHeadLearner):
    @property
    def _scale(self) -> float | None:
        return None

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            RidgeSolve,
            n_features_in=data.X.shape[1],
            alpha=self.alpha,
            learn_alpha=self.learn_alpha,
            scale=self._scale,
        )


@meta_learner
class RidgeHeadRegressor(DeepRegressorMixin, _RidgeHead):
    """Meta-learned features with a ridge regression for each task (R2D2).

    A network maps rows to features; the head of a task is the ridge regression of its support
    rows on them, in closed form. Meta-training back-propagates the query loss through that
    solution, so the features become those from which a few rows suffice, and learns the penalty.

    Pick it when tasks differ in what a linear read-out of common, nonlinear features can express,
    and there are enough tasks to learn features from. It adapts in one batched solve, needs no
    inner rate or number of steps, and takes any number of support rows.

    Parameters
    ----------
    alpha : float, default=0.1
        The first value of the penalty λ, for each support row: the head minimises
        ``‖y - Fw‖² + n λ ‖w‖²`` on n rows.
    learn_alpha : bool, default=True
        Whether λ is meta-learned.
    {shared}

    Attributes
    ----------
    alpha_ : float
        The learned penalty.
    {attributes}

    Notes
    -----
    The bias is a column of ones beside the features and is penalised as they are, as in the
    paper. With `normalize_y` that shrinks a task towards the mean of the training targets, which
    is what a task without rows is predicted as.
    The solve is in the space of rows (the paper's Woodbury form) where a task has fewer rows than
    features, otherwise in the space of features.

    References
    ----------
    .. [1] L. Bertinetto, J. F. Henriques, P. H. S. Torr, A. Vedaldi (2019). Meta-learning with
       differentiable closed-form solvers. ICLR; arXiv:1805.08136, equations 3 to 6.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.RidgeHeadRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class RidgeHeadClassifier(DeepClassifierMixin, _RidgeHead):
    """Meta-learned features with a ridge classifier for each task (R2D2).

    As `RidgeHeadRegressor`, with class indicators as the targets of the ridge regression and a
    learned factor that makes logits of its outputs. The number of classes may differ from task to
    task, and from training to use.

    Parameters
    ----------
    alpha : float, default=0.1
        The first value of the penalty λ, for each support row.
    learn_alpha : bool, default=True
        Whether λ is meta-learned.
    {shared}

    Attributes
    ----------
    alpha_ : float
        The learned penalty.
    {attributes}

    Notes
    -----
    The paper also learns a bias of the logits; it cancels in the softmax and is left out.

    References
    ----------
    .. [1] L. Bertinetto, J. F. Henriques, P. H. S. Torr, A. Vedaldi (2019). Meta-learning with
       differentiable closed-form solvers. ICLR; arXiv:1805.08136, equations 3 to 7.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.RidgeHeadClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    @property
    def _scale(self) -> float | None:
        return _LOGIT_SCALE
