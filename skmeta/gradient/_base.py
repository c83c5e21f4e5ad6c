"""What learners that adapt by gradient steps share: steps in use, and the way networks run."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor

from skmeta.base import State
from skmeta.base._compiling import CompilingLearner
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.exceptions import DivergenceWarning
from skmeta.inner import Episode, GradientSteps, InnerRule, mean_over_rows
from skmeta.inner._audit import few_in_double, few_of, shaken, vmap_is_right
from skmeta.tasks import EpisodeSampler, TaskData

__all__ = ["DifferentiatedLearner", "GradientLearner"]


@meta_learner
class GradientLearner(EpisodicParams, CompilingLearner):
    """Base of learners that adapt by gradient steps."""

    inner_lr: Any = 0.01
    n_inner_steps: int = 1
    n_adapt_steps: int | None = None
    max_inner_norm: float | None = None
    chunk_size: int | None = None

    _body_has_outputs = True
    _rule_class: ClassVar[type[InnerRule]] = GradientSteps

    @property
    def _rule_params(self) -> dict[str, Any]:
        """Return what the rule is given beside what those of all learners are."""
        return {}

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            self._rule_class,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_net_outputs,
            loss=self._row_loss,
            lr=self.inner_lr,
            n_steps=self.n_inner_steps,
            max_norm=self.max_inner_norm,
            **self._rule_params,
        )

    @property
    def _steps(self) -> GradientSteps:
        """Return the rule that takes the steps."""
        return cast(GradientSteps, self._rule)

    def _check_params(self) -> None:
        super()._check_params()
        if not self._inner_rates:
            raise ValueError(f"inner_lr={self.inner_lr!r} has no rate.")
        for rate in self._inner_rates:
            check_scalar(rate, "inner_lr", Real, min_val=0)
            if not math.isfinite(rate):
                raise ValueError(f"inner_lr={self.inner_lr!r} must be finite.")
        check_scalar(self.n_inner_steps, "n_inner_steps", Integral, min_val=0)
        if self.max_inner_norm is not None:
            check_scalar(
                self.max_inner_norm, "max_inner_norm", Real, min_val=0, include_boundaries="neither"
            )
        if self.chunk_size is not None:
            check_scalar(self.chunk_size, "chunk_size", Integral, min_val=1)

    @property
    def _inner_rates(self) -> Collection[Any]:
        """Return the numbers that `inner_lr` has."""
        return self.inner_lr.values() if isinstance(self.inner_lr, Mapping) else [self.inner_lr]

    def _adapt_tasks(self, data: TaskData) -> State:
        n_steps = self.n_inner_steps
        if self.n_adapt_steps is not None:
            check_scalar(self.n_adapt_steps, "n_adapt_steps", Integral, min_val=0)
            n_steps = self.n_adapt_steps
        self._steps.n_adapt_steps = n_steps
        state = super()._adapt_tasks(data)
        n_diverged = int((state["n_steps"] < n_steps).sum())
        if n_diverged:
            warnings.warn(
                f"{n_steps} inner steps diverged on {n_diverged} task(s), which "
                "took fewer: up to where the loss on their support was lowest. A smaller "
                "inner_lr or n_adapt_steps, or max_inner_norm, avoids it.",
                DivergenceWarning,
                stacklevel=2,
            )
        return state

    def _before_training(self, data: TaskData, sampler: EpisodeSampler) -> None:
        self.net_.chunk_size = self.chunk_size
        episode = next(iter(self._stream(data, sampler)), None)
        if episode is None:
            return
        if self._steps.engine == "vmap":
            self._audit(episode)
        if self._compiles:
            self._compile(episode)
            self._steps.compiled = self.net_.compiled_ is not None

    @property
    def _obstacle(self) -> str | None:
        if self._steps.engine == "loop":  # each task would be a part of the graph
            return "tasks take turns."
        if self.chunk_size is not None:
            return "chunk_size splits it."
        return super()._obstacle

    def _audit(self, episode: Episode) -> None:
        if not _vmap_is_right(self._steps, episode):
            _check_loop(self._steps, episode)
            warnings.warn(
                f"torch's batched derivative of {type(self._steps.network).__name__} is wrong "
                "or missing; tasks are adapted one after another, which is slower. A "
                "normalisation layer without affine parameters avoids it.",
                RuntimeWarning,
                stacklevel=2,
            )
            self._steps.use("loop")


@meta_learner
class DifferentiatedLearner(GradientLearner):
    """Base of learners that differentiate the query loss through their steps, as MAML does."""

    first_order: bool = False
    learn_inner_lr: bool = False

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {
            "first_order": self.first_order,
            "learn_lr": "layer" if self.learn_inner_lr else None,
        }


def _vmap_is_right(rule: GradientSteps, episode: Episode) -> bool:
    """Compare the batched meta-gradient with the plain loop's, and try the batched training."""
    try:
        right = _gradients_agree(rule, few_in_double(episode))
    except (RuntimeError, ValueError):
        right = False
        if episode.query_X.dtype != torch.float64:  # constants of a module may have its type
            with suppress(RuntimeError, ValueError):
                right = _gradients_agree(rule, few_of(episode))
    return right and _trains_batched(rule, few_of(episode))


def _gradients_agree(rule: GradientSteps, few: Episode) -> bool:
    probe = copy.deepcopy(rule).to(few.query_X.dtype).eval()
    shaken(probe.network)

    def gradient(batched: bool) -> Sequence[Tensor]:
        probe.use("vmap" if batched else "loop")
        return _meta_gradient(probe, few)

    return vmap_is_right(gradient)


def _trains_batched(rule: GradientSteps, few: Episode) -> bool:
    """Return whether layers that act in training alone, to draw or to count, run batched."""
    probe = copy.deepcopy(rule).train()
    probe.use("vmap")
    before = dict(probe.named_buffers())
    try:
        _meta_gradient(probe, few)
    except (RuntimeError, ValueError):
        return False
    return all(buffer is before[name] for name, buffer in probe.named_buffers())


def _check_loop(rule: GradientSteps, episode: Episode) -> None:
    """Raise if tasks cannot take turns either, update after update."""
    probe = copy.deepcopy(rule).train()
    probe.use("loop")
    try:
        for _ in range(2):
            _meta_gradient(probe, few_of(episode))
    except (RuntimeError, ValueError) as failure:
        reason, _, _ = str(failure).partition("\n")
        raise ValueError(
            f"module {type(rule.network).__name__} cannot be trained through its inner steps, "
            f"neither batched over tasks nor task by task: {reason}"
        ) from failure


def _meta_gradient(rule: GradientSteps, episode: Episode) -> Sequence[Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on how fast a missing rule would be
        loss = mean_over_rows(rule.loss(rule(episode), episode.query_y), episode.query_mask).mean()
        trained = [p for p in rule.parameters() if p.requires_grad]
        return torch.autograd.grad(loss, trained, materialize_grads=True)
