"""HeTRoM: meta-training on the tasks of a ranked range of losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar

from skmeta.base._deep import BaseDeepLearner
from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.robust._constant_losses import constant_losses
from skmeta.robust._log_normal import LogNormalWindow
from skmeta.robust._ranked_range import RankedRange, ranks
from skmeta.robust._selection import SelectedTasks, Suspects, share
from skmeta.robust._streaming import StreamingThresholds
from skmeta.robust._worst_case import WorstCaseWeights
from skmeta.tasks import TaskData
from skmeta.training import MeanOverTasks, OuterLoop

__all__ = ["HeTRoM"]

Array = NDArray[np.float64]

_GUIDANCE = (None, "lognormal", "streaming", "worst_case")
_TWO_PASSES_PAY = 1 / 3  # a pass without a graph costs what differentiating a third of it does
_EVALUATIONS = 10  # episodes that a task's final loss is the mean of


class HeTRoM(BaseMetaTransformer):
    """Meta-train any learner on the tasks that are worth it: a ranked range of task losses.

    In each meta-update the tasks are ranked by their loss; the hardest, which may be mislabelled or
    of another kind, and the easiest, which teach nothing more, do not count. With
    ``ℓ_[1] >= ... >= ℓ_[n]`` the meta-loss is ``1/(k-m) Σ_{j=m+1..k} ℓ_[j]``, with ``m`` tasks
    dropped at the hard end and ``n - k`` at the easy one.

    Pick it where tasks were collected without anybody looking at each of them, with `drop_hardest`
    a little above the share of tasks that you suspect; or with ``guidance="lognormal"`` if you have
    no idea, which drops about as many as are odd and costs less where none is. `suspect_tasks_`
    then says which they are. Only tasks of high losses (or low ones) can be found: a foreign task
    that is easy for the learner is not among them. To have hard tasks count more instead, drop the
    easy ones: ``drop_hardest=0, drop_easiest=0.7`` is the average of the 30 % highest losses (the
    conditional value at risk).

    Parameters
    ----------
    estimator : estimator
        A learner of skmeta that is trained on meta-batches of tasks (gradient learners, heads,
        multi-head learners), or another meta-transformer around one.
    drop_hardest : float, default=0.2
        The share of tasks dropped at the hard end, in [0, 1). With ``guidance="lognormal"``, the
        share of tasks that would be dropped if none were odd.
    drop_easiest : float, default=0
        Likewise at the easy end.
    guidance : {None, "lognormal", "streaming", "worst_case"}, default=None
        Where the ends of the range are. None drops these shares of each meta-batch. "lognormal"
        (sg-HeTRoM) has thresholds at the quantiles of a log-normal distribution, fitted to the
        losses by median and median absolute deviation, so that the number of dropped tasks is that
        of the odd ones. "streaming" has thresholds that follow the losses by stochastic gradient
        descent, for small meta-batches. "worst_case" drops none: task weights rise where losses
        are high, as in TR-MAML.
    rank_by : {"loss", "relative"}, default="loss"
        What is ranked: losses, or losses relative to that of the task's best constant prediction
        (its target variance, or the entropy of its class frequencies): divided by it, or for
        learners trained on a likelihood what they exceed it by. The latter keeps tasks of a large
        scale from being the hard ones: for closed-form and multi-head learners where scales differ,
        not for gradient learners of few steps, whose loss depends on it less.
    warm_up : float, default=0.1
        The share of meta-updates, the first ones, in which all tasks count: at first every task
        is hard.
    buffer_size : int, default=0
        With ``guidance=None``: rank each loss among this many earlier ones too. For meta-batches of
        fewer than ten tasks or so, of which fractions cannot be dropped exactly.
    decay : float, default=0.99
        Of the moving averages of ``guidance="lognormal"``.
    guidance_lr : float, default=0.02
        Step of "streaming" thresholds, in logarithms of losses, and of "worst_case" weights, in
        uniform weights.
    two_passes : bool or "auto", default="auto"
        Whether to compute all losses first without a graph and to differentiate the tasks that
        count alone, which bounds memory and pays from about a third of dropped tasks on; "auto"
        does so then. It is always done with `chunk_size`, and never with `compile` or where each
        training task has parameters of its own.

    Attributes
    ----------
    estimator_ : estimator
        The trained learner. Its own attributes can be read from this one too.
    m_, k_ : int
        The ranks of the paper, for whole meta-batches: tasks ``m_ + 1`` to ``k_`` count. Only with
        ``guidance=None`` and without a buffer: otherwise their number changes.
    task_losses_ : ndarray of shape (n_tasks,)
        The loss of each training task after training, a mean over ten episodes, in the units that
        the network sees; NaN for tasks too small to be trained on, and for those held out to
        validate on. In the order of `tasks_`.
    task_selection_ : ndarray of shape (n_epochs, n_tasks)
        The share of meta-updates of each epoch (a hundredth of training) in which a task counted,
        of those in which it was drawn; NaN where it was not.
    thresholds_ : ndarray of shape (n_epochs, 2)
        Scores that counted were at or above the first and below the second; means over updates.
    suspect_tasks_ : structured ndarray
        Tasks that were dropped in more than half of the last half of training, with fields
        ``task``, ``reason`` ("hard" or "easy", the end at which they mostly were), ``loss``, and
        ``dropped``, the share of meta-updates. Those dropped most often come first, and of equals
        those farthest from the median score, which is what `rank_by` says. There are none with
        ``guidance="worst_case"``.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.

    See Also
    --------
    TaskGrouping : Draws meta-batches of unlike tasks.

    Notes
    -----
    Ranks and thresholds are constants in differentiation. What belongs to one training task alone,
    such as its head in `MultiHeadRegressor`, is trained whether or not the task counts, so that a
    task can come back; the prior of new heads is learned from the tasks that are not suspect. With
    `n_way` the episodes are ranked, and all that is said of tasks is about what they are drawn
    from.

    References
    ----------
    .. [1] Z. Si, S. Hu, K. Ji, S. Lyu (2024). Meta-learning with heterogeneous tasks.
       arXiv:2410.18894.
    .. [2] S. Hu, Y. Ying, X. Wang, S. Lyu (2022). Sum of ranked range loss for supervised
       learning. JMLR 23; arXiv:2106.03300, theorem 1, for thresholds.
    .. [3] L. Collins, A. Mokhtari, S. Shakkottai (2020). Task-robust model-agnostic meta-learning.
       NeurIPS; arXiv:2002.04766, for "worst_case".

    Examples
    --------
    >>> import numpy as np
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> y = tasks.target.copy()
    >>> noisy = tasks.groups < 10
    >>> y[noisy] = np.random.default_rng(0).normal(scale=5, size=noisy.sum())
    >>> learner = skmeta.RidgeHeadRegressor(max_iter=300, random_state=0)
    >>> model = skmeta.HeTRoM(learner, drop_hardest=0.3).fit(tasks.data, y, groups=tasks.groups)
    >>> bool(np.isin(model.suspect_tasks_["task"], range(10)).mean() > 0.5)
    True
    """

    def __init__(
        self,
        estimator: Any,
        *,
        drop_hardest: float = 0.2,
        drop_easiest: float = 0.0,
        guidance: str | None = None,
        rank_by: str = "loss",
        warm_up: float = 0.1,
        buffer_size: int = 0,
        decay: float = 0.99,
        guidance_lr: float = 0.02,
        two_passes: bool | str = "auto",
    ) -> None:
        self.estimator = estimator
        self.drop_hardest = drop_hardest
        self.drop_easiest = drop_easiest
        self.guidance = guidance
        self.rank_by = rank_by
        self.warm_up = warm_up
        self.buffer_size = buffer_size
        self.decay = decay
        self.guidance_lr = guidance_lr
        self.two_passes = two_passes

    def _check_params(self) -> None:
        for name in ("drop_hardest", "drop_easiest"):
            share = getattr(self, name)
            check_scalar(share, name, Real, min_val=0, max_val=1, include_boundaries="left")
        if self.drop_hardest + self.drop_easiest >= 1:
            raise ValueError(
                f"drop_hardest={self.drop_hardest} and drop_easiest={self.drop_easiest} leave no "
                "task; their sum must be below 1."
            )
        if self.guidance not in _GUIDANCE:
            raise ValueError(f"guidance={self.guidance!r} must be one of {_GUIDANCE}.")
        if self.rank_by not in ("loss", "relative"):
            raise ValueError(f"rank_by={self.rank_by!r} must be 'loss' or 'relative'.")
        if self.two_passes not in (True, False, "auto"):
            raise ValueError(f"two_passes={self.two_passes!r} must be True, False or 'auto'.")
        check_scalar(self.warm_up, "warm_up", Real, min_val=0, max_val=1)
        check_scalar(self.buffer_size, "buffer_size", Integral, min_val=0)
        check_scalar(self.decay, "decay", Real, min_val=0, max_val=1, include_boundaries="left")
        check_scalar(self.guidance_lr, "guidance_lr", Real, min_val=0)

    def _extend(self, outer: OuterLoop) -> OuterLoop:
        self._check_params()
        two_passes = self.two_passes
        if two_passes == "auto":
            two_passes = self.drop_hardest + self.drop_easiest >= _TWO_PASSES_PAY
        objective = partial(_objective, self.get_params(deep=False) | {"estimator": None})
        return outer.extended(objective=objective, two_passes=bool(two_passes))

    def _after_fit(self, learner: BaseDeepLearner) -> None:
        objective: SelectedTasks = learner.net_.criterion_
        records = objective.records
        for name in ("m_", "k_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if isinstance(objective, RankedRange) and not self.buffer_size:
            self.m_, self.k_ = ranks(objective.n_per_update, self.drop_hardest, self.drop_easiest)
        n_tasks = len(learner.tasks_)
        drawn = np.reshape([record.drawn for record in records], (-1, n_tasks))
        kept = np.reshape([record.kept for record in records], (-1, n_tasks))
        self.task_selection_ = share(kept, drawn)
        self.thresholds_ = np.reshape([record.thresholds for record in records], (-1, 2))
        self.task_losses_ = _final_losses(learner)
        losses = torch.from_numpy(self.task_losses_).to(objective.n_seen.device)
        scores = objective.score(losses, torch.arange(n_tasks, device=losses.device))
        self.suspect_tasks_ = _suspects(
            learner.tasks_, self.task_losses_, scores.cpu().numpy(), objective.suspects()
        )


def _objective(
    params: dict[str, Any], learner: BaseDeepLearner, data: TaskData
) -> Callable[..., MeanOverTasks]:
    """Return the class of the meta-loss, its parameters filled in."""
    shared: dict[str, Any] = {
        "n_tasks": data.table.n_tasks,
        "constant": constant_losses(learner, data) if params["rank_by"] == "relative" else None,
        "n_warm": round(params["warm_up"] * learner.max_iter),
        "already_log": learner._loss_is_likelihood,
    }
    shares = {name: params[name] for name in ("drop_hardest", "drop_easiest")}
    match params["guidance"]:
        case "lognormal":
            return partial(LogNormalWindow, decay=params["decay"], **shares, **shared)
        case "streaming":
            return partial(StreamingThresholds, lr=params["guidance_lr"], **shares, **shared)
        case "worst_case":
            return partial(WorstCaseWeights, lr=params["guidance_lr"], **shared)
    return partial(RankedRange, buffer_size=params["buffer_size"], **shares, **shared)


def _final_losses(learner: BaseDeepLearner) -> Array:
    """Return the mean loss of each task over episodes, the meta-parameters being final."""
    data = learner._prepare(learner._support).keep(learner._seen_rows(learner._support))
    sampler = learner._sampler(data, np.random.default_rng(0))
    stream = learner._stream(data, sampler)
    module, objective = learner._rule, learner.net_.criterion_
    n_episodes = _EVALUATIONS * len(sampler.eligible)
    n_batches = -(-n_episodes // stream.n_tasks)
    tasks = np.resize(sampler.eligible, (n_batches, stream.n_tasks))
    total, count = np.zeros(data.table.n_tasks), np.zeros(data.table.n_tasks)
    with torch.no_grad():
        for batch in tasks:
            (episode,) = stream.gather(sampler.of_tasks(batch))
            losses = module.task_losses(episode, objective).double().cpu().numpy()
            np.add.at(total, batch, losses)
            np.add.at(count, batch, 1)
    return share(total, count)


def _suspects(
    labels: NDArray[Any], losses: Array, scores: Array, suspects: Suspects
) -> NDArray[Any]:
    """Return what is known of suspect tasks, those farthest from the median score first."""
    distance = np.abs(scores - np.nanmedian(scores))[suspects.tasks]
    order = np.lexsort((-distance, -suspects.dropped))
    tasks = suspects.tasks[order]
    found = np.empty(
        len(tasks),
        dtype=[("task", labels.dtype), ("reason", "U4"), ("loss", float), ("dropped", float)],
    )
    found["task"], found["loss"] = labels[tasks], losses[tasks]
    found["dropped"] = suspects.dropped[order]
    found["reason"] = np.where(suspects.hard[order], "hard", "easy")
    return found
