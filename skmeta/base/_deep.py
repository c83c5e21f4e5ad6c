"""What every learner with a torch network shares, and targets as networks see them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar

from skmeta.base._episodic import BaseDeepLearner
from skmeta.base._params import ClassifierParams, RegressorParams
from skmeta.base._targets import MetaClassifierMixin, MetaRegressorMixin
from skmeta.inner import cross_entropy, squared_error
from skmeta.inner._losses import RowLoss
from skmeta.tasks import TaskData

__all__ = ["BaseDeepLearner", "DeepClassifierMixin", "DeepRegressorMixin"]


class DeepRegressorMixin(RegressorParams, MetaRegressorMixin, BaseDeepLearner):
    """Real targets as a network sees them."""

    @property
    def _row_loss(self) -> RowLoss:
        return squared_error

    @property
    def _n_net_outputs(self) -> int:
        return int(self.n_outputs_)

    def _prepare(self, data: TaskData) -> TaskData:
        self._y_center = np.zeros(data.y.shape[1])
        self._y_scale = np.ones(data.y.shape[1])
        if self.normalize_y:
            self._y_center = data.y.mean(axis=0)
            spread = data.y.std(axis=0)
            self._y_scale = np.where(spread > 0, spread, 1.0)
        return data

    def _query_losses(self, support: TaskData, query: TaskData) -> NDArray[np.float64]:
        predicted = self._adapt_and(self._predict_rows, support, query.X, query.owners)
        errors: NDArray[np.float64] = np.square((predicted - query.y) / self._y_scale)
        return errors.mean(axis=1)

    def _encode(self, data: TaskData) -> NDArray[Any]:
        encoded: NDArray[Any] = (data.y - self._y_center) / self._y_scale
        return encoded

    def _decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        decoded: NDArray[Any] = outputs * self._y_scale + self._y_center
        return decoded


class DeepClassifierMixin(ClassifierParams, MetaClassifierMixin, BaseDeepLearner):
    """Class indicators as a network sees them."""

    _n_slots: int
    _fixed_outputs = False  # whether the network has an output for each class

    @property
    def _class_way(self) -> int | None:  # type: ignore[override]
        return self.n_way

    @property
    def _by_class(self) -> bool:  # type: ignore[override]
        return self.stratify

    @property
    def _row_loss(self) -> RowLoss:
        return cross_entropy

    @property
    def _n_net_outputs(self) -> int:
        return self._n_slots

    def _prepare(self, data: TaskData) -> TaskData:
        if self.n_way is not None:
            check_scalar(self.n_way, "n_way", Integral, min_val=2)
            if self.n_way > len(self.classes_):
                raise ValueError(
                    f"n_way={self.n_way} is above the number of classes, {len(self.classes_)}."
                )
        self._fit_labels(data, self.n_way)
        if self.n_way is not None:
            self._n_slots = self.n_way
            return data
        numbered = self._numbered(data)
        ways = numbered.n_ways
        self._n_slots = len(self.classes_) if ways is None else int(ways.max())
        return numbered

    def _numbered(self, data: TaskData) -> TaskData:
        return self._local(data)[0] if self._own_labels and self.n_way is None else data

    def _query_losses(self, support: TaskData, query: TaskData) -> NDArray[np.float64]:
        proba = self._adapt_and(self._probabilities, support, query.X, query.owners)
        true = proba[np.arange(len(proba)), query.y]
        return -np.log(np.maximum(true, np.finfo(true.dtype).tiny), dtype=np.float64)

    def _encode(self, data: TaskData) -> NDArray[Any]:
        if self.n_way is not None and data.n_ways is None:
            return np.zeros((len(data.y), self._n_slots))  # numbered anew in each episode
        width = self._n_slots if data.n_ways is None else max(int(data.n_ways.max()), 1)
        if self._fixed_outputs:
            if width > self._n_slots:
                raise ValueError(
                    f"A task has {width} classes, but the network was meta-trained with "
                    f"{self._n_slots} outputs; adapt to at most that many."
                )
            width = self._n_slots
        return np.eye(width)[data.y]
