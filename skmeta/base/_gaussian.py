"""What regressors share that predict a standard deviation too."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmeta.base._deep import DeepRegressorMixin
from skmeta.base._learner import State
from skmeta.inner import GaussianRule, TaskTensors, normal_surprise
from skmeta.tasks import TaskData

__all__ = ["GaussianRegressorMixin"]


class GaussianRegressorMixin(DeepRegressorMixin):
    """Error bars from a `GaussianRule`."""

    _loss_is_likelihood = True

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
            Predictions, in the float type of X.
        std : ndarray of the same shape
            Standard deviations, noise included; only with `return_std`.
        """
        if not return_std:
            return super().predict(X, groups)
        mean, std = np.split(self._by_passes(X, groups, self._moments), 2, axis=1)
        return self._shape(mean), self._shape(std)

    def _query_losses(self, support: TaskData, query: TaskData) -> NDArray[np.float64]:
        found = self._adapt_and(self._moments, support, query.X, query.owners)
        mean, std = np.split(found.astype(np.float64), 2, axis=1)
        scale = self._y_scale
        units = ((query.y - mean) / scale, np.square(std / scale), np.zeros_like(mean))
        error, variance, none = map(torch.from_numpy, units)
        return normal_surprise(error, variance, none).numpy()

    def _moments(self, state: State, X: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return mean and deviation of rows side by side."""
        rule = cast(GaussianRule, self._rule)

        def both(rows: Tensor, mask: Tensor, known: TaskTensors) -> Tensor:
            return torch.cat(rule.moments(rows, known), dim=2)

        mean, variance = np.split(self._run_rule(both, state, X, codes), 2, axis=1)
        std = np.sqrt(variance) * self._y_scale
        return np.hstack([self._decode(mean), std]).astype(X.dtype, copy=False)
