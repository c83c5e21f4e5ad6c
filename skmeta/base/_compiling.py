"""Learners whose meta-step can be compiled."""

from __future__ import annotations

import copy
import time
from itertools import islice

from skmeta.base._deep import BaseDeepLearner
from skmeta.base._params import meta_learner
from skmeta.inner import Episode
from skmeta.inner._compile import warn_uncompiled, without_torch_warnings
from skmeta.tasks import EpisodeSampler, TaskData
from skmeta.training import MeanGradient

__all__ = ["CompilingLearner"]

_PAYS_AFTER = 5000  # meta-updates that save what compilation costs


@meta_learner
class CompilingLearner(BaseDeepLearner):
    """Base of learners whose meta-step can be one compiled graph."""

    compile: bool | str = False

    def _check_params(self) -> None:
        super()._check_params()
        if self.compile not in (False, True, "auto"):
            raise ValueError(f"compile={self.compile!r} must be True, False or 'auto'.")

    def _before_training(self, data: TaskData, sampler: EpisodeSampler) -> None:
        if self._compiles:
            trial = copy.copy(sampler)
            trial.random = copy.deepcopy(sampler.random)  # training sees the same with a graph
            for episode in islice(self._stream(data, trial), 1):
                self._compile(episode)

    @property
    def _compiles(self) -> bool:
        pays = self.max_iter >= _PAYS_AFTER and self._obstacle is None
        return self.compile is True or (self.compile == "auto" and pays)

    @property
    def _obstacle(self) -> str | None:
        """Why the meta-step is no graph, if it is none."""
        if self._outer.gradient is not MeanGradient:
            return "its gradient is not that of a mean."
        if self._outer.network is not None:
            return "its network changes with each update."
        return None

    def _compile(self, episode: Episode) -> None:
        start = time.perf_counter()
        if self._obstacle is not None:
            warn_uncompiled("The meta-step", ValueError(self._obstacle))
            return
        try:
            with without_torch_warnings():
                self.net_.compile_gradient(episode)
        except Exception as failure:  # of the many kinds that a compiler has
            warn_uncompiled("The meta-step", failure)
        if self.verbose:
            print(f"compiled the meta-step in {time.perf_counter() - start:.1f} s")
