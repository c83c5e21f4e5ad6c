"""Meta-batches as tensors on the device, drawn without a data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skmeta.inner import Episode
from skmeta.tasks import Episodes, EpisodeSampler
from skmeta.training._outer import Augmentation

__all__ = ["EpisodeStream"]

_BLOCK_CELLS = 1 << 20  # numbers gathered at once


class EpisodeStream:
    """Iterate over the meta-batches of one epoch after another.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        All rows, on the device.
    y : Tensor of shape (n_samples, n_outputs)
        Real targets or class indicators, likewise.
    sampler : EpisodeSampler
        Draws row numbers.
    n_tasks : int
        Tasks in a meta-batch.
    n_updates : int
        Meta-batches altogether.
    per_epoch : int
        Meta-batches of an epoch; the last epoch may be shorter.
    augment : Augmentation, default=None
        What each meta-batch passes through as it is drawn.
    validate : callable, default=None
        Returns the loss on tasks that are not trained on.
    """

    def __init__(
        self,
        X: Tensor,
        y: Tensor,
        sampler: EpisodeSampler,
        *,
        n_tasks: int,
        n_updates: int,
        per_epoch: int,
        augment: Augmentation | None = None,
        validate: Callable[[], float] | None = None,
    ) -> None:
        self.X = X
        self.y = y
        self.sampler = sampler
        self.n_tasks = n_tasks
        self.left = n_updates
        self.per_epoch = per_epoch
        self.augment = augment
        self.validate = validate
        self.episodes = self._draw(n_updates)

    def __len__(self) -> int:
        return min(self.per_epoch, self.left)

    def __iter__(self) -> Iterator[Episode]:
        for _ in range(len(self)):
            self.left -= 1
            episode = next(self.episodes)
            yield episode if self.augment is None else self.augment(episode)

    def _draw(self, n_updates: int) -> Iterator[Episode]:
        """Yield meta-batches without end, gathered many at a time: it is the calls that cost."""
        for drawn in self.sampler.blocks(self.n_tasks):
            rows = self.n_tasks * (drawn.support.shape[1] + drawn.query.shape[1])
            at_once = max(1, min(n_updates, _BLOCK_CELLS // max(rows * self.X.shape[1], 1)))
            at_once *= self.n_tasks
            for start in range(0, len(drawn.tasks), at_once):
                yield from self.gather(drawn[start : start + at_once])

    def gather(self, drawn: Episodes) -> Iterator[Episode]:
        """Yield the meta-batches of drawn episodes."""
        support_mask, query_mask = self._mask(drawn.support_mask), self._mask(drawn.query_mask)
        support, query = self._index(drawn.support), self._index(drawn.query)
        classes = there = None
        if drawn.classes is not None:
            classes = self._index(drawn.classes)
        if drawn.n_ways is not None:
            there = self._mask(np.arange(self.y.shape[1]) < drawn.n_ways[:, None])
        parts = (
            functional.embedding(support, self.X),  # several times as fast as to index
            self._targets(support, drawn.support_slots) * support_mask[..., None],
            support_mask,
            functional.embedding(query, self.X),
            self._targets(query, drawn.query_slots) * query_mask[..., None],
            query_mask,
            self._index(drawn.tasks),
            classes,
            there,
        )
        n_batches = len(drawn.tasks) // self.n_tasks
        batches = (
            repeat(None) if p is None else p.view(n_batches, self.n_tasks, *p.shape[1:]).unbind()
            for p in parts
        )
        return (Episode(*batch) for batch in zip(*batches, strict=False))

    def _targets(self, rows: Tensor, slots: NDArray[np.int64] | None) -> Tensor:
        if slots is None:
            return functional.embedding(rows, self.y)
        numbers = torch.arange(self.y.shape[1], device=self.y.device)
        return (self._index(slots)[..., None] == numbers).to(self.y.dtype)

    def _mask(self, mask: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(mask).to(self.X.device, self.X.dtype)

    def _index(self, index: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(index)).to(self.X.device)
