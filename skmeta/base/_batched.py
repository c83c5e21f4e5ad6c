"""Adaptation and prediction by an inner rule, batched over tasks in chunks bounded by memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmeta.base._learner import BaseMetaLearner, State
from skmeta.inner import InnerRule, TaskTensors
from skmeta.tasks import TaskData, TaskTable
from skmeta.training import EpisodeNet

__all__ = ["BatchedLearner"]

_CELLS = 1 << 15  # padded rows adapted or predicted at once
_CHUNK_BYTES = 2 << 20  # of per-task weights at once: what a cache holds is also the fastest
_LEAST_TASKS = 8
_MOST_BYTES = 64 << 20  # of per-task weights, and of what layers hold of rows, at once
_STATE_BYTES = 256 << 20  # of adapted tasks held at once; more are adapted again when asked for


class BatchedLearner(BaseMetaLearner):
    """Base of learners that adapt and predict by the inner rule that their net has trained."""

    device: str
    net_: EpisodeNet
    _activation_bytes = 1  # what layers hold of a row

    @abstractmethod
    def _encode(self, data: TaskData) -> NDArray[Any]:
        """Return targets as the network sees them, shape (n_samples, n_outputs)."""

    @property
    def _rule(self) -> InnerRule:
        return cast(InnerRule, self.net_.module_)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.tensor(array, dtype=self.net_.dtype, device=self.device)

    def _view(self, array: NDArray[Any]) -> Tensor:
        """Return a tensor to read from, without a copy where there need be none."""
        if not array.flags.writeable:  # of which torch warns
            return self._tensor(array)
        return torch.as_tensor(array, dtype=self.net_.dtype, device=self.device)

    @property
    def _task_bytes(self) -> int:
        """Size of what is kept of a task: states of tasks are padded to the largest."""
        largest = int(self._support.sizes.max(initial=0))
        return max(1, self._rule.bytes_per_task + largest * self._rule.bytes_per_row)

    @property
    def _tasks_at_once(self) -> int:
        fitting = max(1, _MOST_BYTES // self._task_bytes)
        return min(fitting, max(_LEAST_TASKS, _CHUNK_BYTES // self._task_bytes))

    @property
    def _cells_at_once(self) -> int:
        return max(1, min(_CELLS, _MOST_BYTES // self._activation_bytes))

    @property
    def _tasks_per_pass(self) -> int:
        return max(1, _STATE_BYTES // self._task_bytes)

    def _adapt_tasks(self, data: TaskData) -> State:
        X, y = self._tensor(data.X), self._tensor(self._encode(data))
        order: list[NDArray[np.int64]] = []
        parts: list[dict[str, NDArray[Any]]] = []
        with torch.no_grad():
            for tasks in data.table.chunks(self._cells_at_once, self._tasks_at_once):
                rows, mask = data.table.padded(tasks)
                there = self._tensor(mask)
                state = self._rule.adapt(X[rows], y[rows] * there[..., None], there)
                parts.append({name: v.contiguous().cpu().numpy() for name, v in state.items()})
                order.append(tasks)
        place = np.argsort(np.concatenate(order), kind="stable")
        whole = parts[0]
        if len(parts) > 1:
            whole = {name: _stacked([p[name] for p in parts]) for name in whole}
        return {name: _take(values, place) for name, values in whole.items()}

    def _predict_rows(
        self, state: State, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> NDArray[Any]:
        outputs = self._run_rule(self._predict_padded, state, X, codes)
        return self._decode(outputs).astype(X.dtype, copy=False)

    def _predict_padded(self, X: Tensor, mask: Tensor, state: TaskTensors) -> Tensor:
        """Predict all rows that are asked for of some tasks; `mask` is 0 for padding."""
        return self._rule.predict(X, state)

    def _run_rule(
        self,
        predict: Callable[[Tensor, Tensor, TaskTensors], Tensor],
        state: State,
        X: NDArray[Any],
        codes: NDArray[np.int64],
    ) -> NDArray[Any]:
        """Return what a rule predicts of rows, in the units of the network."""
        table = TaskTable.from_labels(codes)
        inputs = self._tensor(X)
        names = [name for name in state if name != "ways"]
        outputs: NDArray[Any] | None = None
        with torch.no_grad():
            for tasks in table.chunks(self._cells_at_once, self._tasks_at_once):
                positions, mask = table.padded(tasks)
                rows = table.order[positions]
                which = table.labels[tasks]
                known = {name: self._view(_take(state[name], which)) for name in names}
                predicted = predict(inputs[rows], self._tensor(mask), known).cpu().numpy()
                if outputs is None:
                    outputs = np.empty((len(X), predicted.shape[2]), dtype=predicted.dtype)
                outputs[rows[mask]] = predicted[mask]
        assert outputs is not None
        return outputs

    def _decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return outputs

    def _represent(self, X: NDArray[Any]) -> NDArray[Any]:
        step = max(2, self._cells_at_once)
        with torch.no_grad():
            parts = [
                self._rule.represent(self._tensor(X[start : start + step])).cpu().numpy()
                for start in range(0, len(X), step)
            ]
        return np.concatenate(parts).astype(X.dtype, copy=False)


def _stacked(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate chunks of tasks; what runs over rows is padded with 0 to the largest task."""
    width = np.max([part.shape[1:] for part in parts], axis=0)
    padded = (
        np.pad(part, [(0, 0), *((0, int(n)) for n in width - part.shape[1:])])
        if part.shape[1:] != tuple(width)
        else part
        for part in parts
    )
    return np.concatenate(list(padded))


def _take(values: NDArray[Any], which: NDArray[np.int64]) -> NDArray[Any]:
    """Index the first dimension, without a copy where what is taken lies side by side."""
    start, stop = (which[0], which[0] + len(which)) if len(which) else (0, 0)
    if start >= 0 and (which == np.arange(start, stop)).all():  # -1 is the last one
        return values[start:stop]
    taken: NDArray[Any] = values[which]
    return taken
