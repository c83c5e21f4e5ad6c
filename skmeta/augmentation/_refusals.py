"""What augmented tasks cannot be combined with."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from skmeta.inner import EpisodeModule, InnerRule
from skmeta.training import OuterLoop

__all__ = ["layers_of", "reject_kept_tasks", "reject_two_augmentations"]


def reject_kept_tasks(module: EpisodeModule) -> None:
    """Raise where something is kept of training tasks, which a new task would not have."""
    if module.own_parameters or not isinstance(module, InnerRule):
        raise ValueError(
            "Augmented tasks need a learner that learns each training task from a support; one "
            "that keeps a head for each, or for each class, has none for a new one."
        )


def reject_two_augmentations(outer: OuterLoop) -> None:
    """Raise where tasks are augmented already."""
    if outer.augment is not None:
        raise ValueError(
            "A TaskInterpolation, IntervalInterpolation or TaskModulation inside of another has no "
            "effect; use one of them."
        )


def layers_of(network: nn.Module, need: str, instead: str = "") -> OrderedDict[str, nn.Module]:
    """Return the layers of a plain `Sequential`; raise for others, saying what needs one."""
    if not isinstance(network, nn.Sequential) or (
        type(network).forward is not nn.Sequential.forward
    ):
        raise ValueError(
            f"{need} a module that is a plain torch.nn.Sequential, such as an MLP, got "
            f"{type(network).__name__}{instead}."
        )
    return OrderedDict(network._modules)
