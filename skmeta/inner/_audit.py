"""Whether batched derivatives are right: torch's are silently wrong for some operators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from skmeta.inner._rule import Episode

__all__ = ["few_in_double", "vmap_is_right"]

_TASKS = 2
_TOLERANCE = 1e-6


def few_in_double(episode: Episode) -> Episode:
    """Return the first tasks of an episode in double precision, to compare derivatives on."""
    parts: dict[str, Any] = vars(episode.take(slice(_TASKS)))
    return Episode(
        **{
            name: part.double() if part is not None and part.is_floating_point() else part
            for name, part in parts.items()
        }
    )


def vmap_is_right(compute: Callable[[bool], Sequence[Tensor]]) -> bool:
    """Compare what is batched over tasks with one task after another.

    Parameters
    ----------
    compute : callable
        Returns the tensors to compare, in double precision, given whether to batch.

    Returns
    -------
    right : bool
        Also False where an operator cannot be batched.
    """
    found = []
    for batched in (False, True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # on how fast a missing rule would be
                parts = compute(batched)
        except (RuntimeError, ValueError):
            if not batched:
                raise
            return False
        found.append(torch.cat([part.flatten() for part in parts]))
    reference, together = found
    error = (together - reference).norm()
    return bool(error <= _TOLERANCE * reference.norm().clamp(min=1e-12))
