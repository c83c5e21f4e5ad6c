"""What of an object a file keeps."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator
from skorch import NeuralNet
from skorch.history import History
from torch import nn

from skmeta.base._deep import BaseDeepLearner
from skmeta.training import EpisodeNet

__all__ = ["arguments_of", "set_state", "state_of"]

_KEPT_OF_NET = (
    "_modules",
    "chunk_size",
    "cuda_dependent_attributes_",
    "device",
    "dtype",
    "initialized_",
    "lr",
    "max_epochs",
    "module_",
    "n_updates_",
    "prefixes_",
    "verbose",
)
_OF_TRAINING = ("_outer", "_skl_callbacks")


def state_of(instance: Any) -> Any:
    """Return the attributes to keep; what only training needs is not among them."""
    if isinstance(instance, dict):
        return dict(instance)
    if isinstance(instance, EpisodeNet):
        kept = {name: vars(instance)[name] for name in _KEPT_OF_NET if name in vars(instance)}
        return {**kept, "history_": _plain(instance.history)}
    state = instance.__getstate__() or {}
    if isinstance(instance, BaseEstimator):
        state = {name: value for name, value in state.items() if name not in _OF_TRAINING}
    if isinstance(instance, BaseDeepLearner):
        state["callbacks"] = None
    if isinstance(instance, nn.Module):
        # They are for load_state_dict alone, and gpytorch's are methods.
        state = {**state, "_load_state_dict_pre_hooks": OrderedDict()}
    return state


def arguments_of(made: Any) -> tuple[Any, list[Any]]:
    """Return what to make an object of, None for nothing at all, and its state if it has one."""
    if isinstance(made, BSpline):
        return (made.t, made.c, made.k, made.extrapolate, made.axis), []
    made_by, arguments, *state = made.__reduce__()
    return arguments if made_by is type(made) else None, state


def set_state(instance: Any, state: Any) -> None:
    """Give an object of no attributes those that were kept."""
    if isinstance(instance, dict):
        instance.update(state)
    elif isinstance(instance, NeuralNet) or not hasattr(instance, "__setstate__"):
        vars(instance).update(state)  # what skorch defines for this would unpickle bytes
    else:
        instance.__setstate__(state)


def _plain(history: History) -> History:
    """Return a history that JSON can hold; an empty one if callbacks wrote other things to it."""
    try:
        return History(json.loads(json.dumps(history)))
    except TypeError:
        return History()
