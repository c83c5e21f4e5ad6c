"""Meta-batches of tasks interpolated between pairs of tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.augmentation._mixing_chain import MixingChain
from skmeta.inner import Episode

__all__ = ["Interpolation", "mix_tasks", "pair_classes", "pair_rows"]

_SIDES = ("support", "query")


class Interpolation:
    """Replace each task of a meta-batch by a mixture with another.

    Parameters
    ----------
    alpha : float
        ``λ ~ Beta(α, α)``; 0 leaves tasks as they are.
    random : numpy.random.Generator
        The source of randomness.
    chain : MixingChain, default=None
        The network that is to mix rows behind one of its layers; None mixes the rows themselves.
    """

    def __init__(
        self, alpha: float, random: np.random.Generator, chain: MixingChain | None = None
    ) -> None:
        self.alpha = alpha
        self.random = random
        self.chain = chain

    def __call__(self, episode: Episode) -> Episode:
        """Return the mixed tasks, one for each."""
        n_tasks, there = len(episode.tasks), episode.there
        alone = np.arange(n_tasks)
        weight = self.random.beta(self.alpha, self.alpha, n_tasks) if self.alpha else 0 * alone
        # (i, j, λ) is (j, i, 1 - λ): the larger part gives the mixture its number and its size.
        share = torch.from_numpy(np.minimum(weight, 1 - weight)).to(episode.support_X)
        shift = self.random.integers(1, n_tasks, size=n_tasks) if n_tasks > 1 else 0
        partner = self._index(episode, (alone + shift) % n_tasks)
        if there is None:
            # With itself, a task would make one that is not of its kind.
            share = share if n_tasks > 1 else 0 * share
            cells = torch.zeros_like(partner)[:, None]
        else:
            within = self._uniform(episode.tasks) < 0.5
            partner = torch.where(within, self._index(episode, alone), partner)
            cells = pair_classes(there, partner, within, self._uniform(there))
        if self.chain is not None:
            self.chain.depth = int(self.random.choice(self.chain.depths))
        keys = {side: self._uniform(getattr(episode, f"{side}_mask")) for side in _SIDES}
        mix = torch.lerp if self.chain is None else _side_by_side
        return mix_tasks(episode, partner, share, cells, keys, mix)

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.from_numpy(self.random.random(like.shape)).to(like.device)

    @staticmethod
    def _index(episode: Episode, index: Any) -> Tensor:
        return torch.from_numpy(index).to(episode.tasks.device)


def _side_by_side(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return rows that a `MixingChain` mixes."""
    return torch.cat([one, other, share], dim=-1)


def mix_tasks(
    episode: Episode,
    partner: Tensor,
    share: Tensor,
    cells: Tensor,
    keys: dict[str, Tensor],
    mix: Callable[[Tensor, Tensor, Tensor], Tensor] = torch.lerp,
) -> Episode:
    """Mix each task with a partner, row by row.

    Classes of tasks with label sets of their own are mixed with classes, and keep their numbers;
    of others, rows are mixed with any, and so are targets. Where the partner has no rows to mix
    with, in support or query, rows stay as they are in both.

    Parameters
    ----------
    episode : Episode
        The tasks.
    partner : Tensor of shape (n_tasks,)
        The place of each task's partner among them.
    share : Tensor of shape (n_tasks,)
        ``1 - λ``, what the partner has in the mixture.
    cells : Tensor of shape (n_tasks, n_classes) or (n_tasks, 1)
        The partner's class that each class is mixed with; 0, one for all rows, where label sets are
        shared.
    keys : dict of Tensor
        For "support" and "query", random numbers in [0, 1) of the shape of its mask.
    mix : callable
        Mixes rows of features, and their partners by their shares.

    Returns
    -------
    mixed : Episode
        Of the same masks, tasks and classes.
    """
    own = episode.there is not None
    belongs, rows, found = {}, {}, []
    for side in _SIDES:
        mask = getattr(episode, f"{side}_mask")[..., None]
        belongs[side] = getattr(episode, f"{side}_y") if own else mask
        rows[side], n_theirs = pair_rows(belongs[side], partner, cells, keys[side])
        found.append((n_theirs > 0) | (belongs[side].sum(dim=1) == 0))
    of_cells = share[:, None] * (found[0] & found[1])
    parts: dict[str, Tensor] = {}
    for side in _SIDES:
        of_rows = (belongs[side] * of_cells[:, None]).sum(dim=2, keepdim=True)
        at = partner[:, None], rows[side]
        X, y = getattr(episode, f"{side}_X"), getattr(episode, f"{side}_y")
        parts[f"{side}_X"] = mix(X, X[at], of_rows)
        parts[f"{side}_y"] = y if own else torch.lerp(y, y[at], of_rows)
    return dataclasses.replace(episode, **parts)


def pair_rows(
    belongs: Tensor, partner: Tensor, cells: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor]:
    """Pair rows with the partner's, one to one as far as it has enough, and over again beyond.

    Parameters
    ----------
    belongs : Tensor of shape (n_tasks, n_rows, n_cells)
        1 where a row is in a cell; padded rows are in none.
    partner : Tensor of shape (n_tasks,)
        The place of each task's partner.
    cells : Tensor of shape (n_tasks, n_cells)
        The partner's cell that each cell is paired with.
    keys : Tensor of shape (n_tasks, n_rows)
        Rows of a partner's cell are taken in the order of these.

    Returns
    -------
    rows : Tensor of shape (n_tasks, n_rows)
        The place of a row's mate in the partner; any for a row without one.
    n_theirs : Tensor of shape (n_tasks, n_cells)
        How many rows the cell has that a cell is paired with.
    """
    theirs = belongs[partner].gather(2, cells[:, None].expand(-1, belongs.shape[1], -1))
    order = (keys[partner][..., None] + (theirs == 0)).argsort(dim=1)
    n_theirs = theirs.sum(dim=1).long()
    inside = belongs.long()
    number = (inside.cumsum(dim=1) - 1).clamp(min=0) % n_theirs.clamp(min=1)[:, None]
    return (order.gather(1, number) * inside).sum(dim=2), n_theirs


def pair_classes(there: Tensor, partner: Tensor, within: Tensor, keys: Tensor) -> Tensor:
    """Pair classes with the partner's at random, within a task each with another.

    Parameters
    ----------
    there : Tensor of shape (n_tasks, n_classes)
        1 for a class that the task has; those come first.
    partner : Tensor of shape (n_tasks,)
        The place of each task's partner.
    within : Tensor of shape (n_tasks,)
        Whether that is the task itself.
    keys : Tensor of shape (n_tasks, n_classes)
        Random numbers in [0, 1).

    Returns
    -------
    cells : Tensor of shape (n_tasks, n_classes)
        The partner's class that each class is paired with. Classes of a task with more of them
        than its partner share some.
    """
    theirs = there[partner]
    order = (keys + (theirs == 0)).argsort(dim=1)
    n_theirs = theirs.sum(dim=1, keepdim=True).long()
    number = torch.arange(there.shape[1], device=there.device)
    across = order.gather(1, number % n_theirs)
    # In a random circle of its classes, each is paired with the next.
    circle = torch.zeros_like(order).scatter(1, order, order.gather(1, (number + 1) % n_theirs))
    return torch.where(within[:, None], circle, across)
