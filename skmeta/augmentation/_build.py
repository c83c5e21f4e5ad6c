"""How augmentations put a chain of their own in place of a learner's network, and find it."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from torch import nn

from skmeta.base._deep import BaseDeepLearner
from skmeta.tasks import TaskData

__all__ = ["build_chain", "find_chain"]

Chain = TypeVar("Chain", bound=nn.Module)


def build_chain(kind: type, learner: BaseDeepLearner, data: TaskData, **params: Any) -> Any:
    """Return what makes a chain of the learner's network.

    Parameters
    ----------
    kind : type
        The class of the chain.
    learner : estimator
        The learner.
    data : TaskData
        The training tasks.
    **params
        What is this chain's alone.
    """
    return partial(
        kind,
        n_features=data.X.shape[1],
        width=learner._n_net_inputs(data),
        ends_in_features=not learner._body_has_outputs,
        **params,
    )


def find_chain(kind: type[Chain], module: nn.Module) -> Chain:
    """Return the chain of a kind that a module has."""
    return next(part for part in module.modules() if isinstance(part, kind))
