"""Whether batched derivatives are right: torch's are silently wrong for some operators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.inner._rule import Episode

__all__ = ["few_in_double", "few_of", "shaken", "vmap_is_right"]

_TASKS = 2
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
_SHAKE = 0.3


def few_of(episode: Episode) -> Episode:
    """Return the first tasks of an episode, to compare derivatives on."""
    return episode.take(slice(_TASKS))


def few_in_double(episode: Episode) -> Episode:
    """Return the first tasks of an episode in double precision."""
    parts: dict[str, Any] = vars(few_of(episode))
    return Episode(
        **{
            name: part.double() if part is not None and part.is_floating_point() else part
            for name, part in parts.items()
        }
    )


def shaken(network: nn.Module) -> nn.Module:
    """Move the trained weights of a network to where no derivative vanishes by chance.

    Weights that start at 0 hide the terms that they multiply, whether right or wrong, until
    training has moved them. What a weight moves by shrinks with the number of its inputs, or
    activations of wide layers would saturate.

    Parameters
    ----------
    network : Module
        What to change.

    Returns
    -------
    network : Module
        The same.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
                n_inputs = max(1, weight.shape[1:].numel())
                weight.add_((_SHAKE / n_inputs**0.5 * noise).to(weight))
    return network


def vmap_is_right(compute: Callable[[bool], Sequence[Tensor]]) -> bool:
    """Compare what is batched over tasks with one task after another.

    Parameters
    ----------
    compute : callable
        Returns the tensors to compare, given whether to batch.

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
    tolerance = _TOLERANCE[reference.dtype]
    return bool(error <= tolerance * reference.norm().clamp(min=1e-12))
