"""Regressors that predict a normal distribution: means with error bars."""

from __future__ import annotations

import math
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmeta.base._deep import CELLS, DeepRegressorMixin
from skmeta.inner import Episode
from skmeta.tasks import TaskTable

__all__ = ["PredictiveRegressorMixin", "gaussian_nll"]


def gaussian_nll(mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
    """Return minus the log-likelihood of each row under normal predictions, mean over outputs."""
    error = (y - mean).square() / variance
    return 0.5 * (error + variance.log() + math.log(2 * math.pi)).mean(dim=-1)


class _PredictiveRule(Protocol):
    def predictive(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the query given the support, noise included."""
        ...


class PredictiveRegressorMixin(DeepRegressorMixin):
    """`predict` with standard deviations, by the rule's predictive distribution."""

    def predict(self, X: Any, groups: Any = None, return_std: bool = False) -> Any:
        """Predict each row by the model of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        return_std : bool, default=False
            Whether to return the standard deviation of a new observation too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        std : ndarray of the same shape
            Standard deviations, noise included; only with `return_std`.
        """
        if not return_std:
            return super().predict(X, groups)
        features, codes = self._read_queries(X, groups)
        mean, variance = self._predictive(features, codes)
        std = np.sqrt(variance) * self._y_scale
        dtype = features.dtype
        return self._shape(self._decode(mean).astype(dtype)), self._shape(std.astype(dtype))

    def _predictive(
        self, X: NDArray[Any], codes: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return means and variances of rows, from the support of their tasks.

        Covariances are made anew: kept, they would be the largest thing that a task leaves.
        """
        needed, local = np.unique(codes, return_inverse=True)
        data = self._support.take(needed)
        support_X, support_y = self._tensor(data.X), self._tensor(self._encode(data))
        query_X, queries = self._tensor(X), TaskTable.from_labels(local)
        moments = np.empty((2, len(X), self._n_net_outputs))
        with torch.no_grad():
            for tasks in queries.chunks(CELLS, self._tasks_at_once):
                rows, query_mask = queries.padded(tasks)
                rows = queries.order[rows].astype(np.int64)
                support, mask = data.table.padded(queries.labels[tasks])
                there, asked = self._tensor(mask), self._tensor(query_mask)
                episode = Episode(
                    support_X[support],
                    support_y[support] * there[..., None],
                    there,
                    query_X[rows],
                    query_X.new_zeros(*rows.shape, self._n_net_outputs),
                    asked,
                    torch.from_numpy(tasks),
                )
                found = cast(_PredictiveRule, self._rule).predictive(episode)
                for output, values in zip(moments, found, strict=True):
                    output[rows[query_mask]] = values.cpu().numpy()[query_mask]
        return moments[0], moments[1]
