"""An estimator whose predictions are computed once and looked up by row."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.utils.metadata_routing import get_routing_for_object

__all__ = ["RecordedEstimator"]

_RESPONSES = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class RecordedEstimator:
    """Stand in for a fitted estimator before a scorer: X is replaced by row numbers.

    A scorer calls predict once for each task; here the first call predicts all rows, and every
    call looks its rows up. So any scorer can be applied to slices at the price of one batched
    prediction. Everything else is asked of the estimator itself.
    """

    def __init__(self, estimator: Any, X: Any, groups: Any) -> None:
        self._estimator = estimator
        self._X = X
        self._groups = groups
        self._config = get_config()
        self._responses: dict[str, NDArray[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._estimator, name)
        if name not in _RESPONSES:
            return found

        @wraps(found)  # a scorer reads the name of the method
        def look_up(rows: NDArray[Any]) -> Any:
            return self._response(name)[rows]

        return look_up

    def _response(self, method: str) -> NDArray[Any]:
        if method not in self._responses:
            params = {}
            routing = get_routing_for_object(self._estimator)
            if self._groups is not None and routing.consumes(method, ["groups"]):
                params["groups"] = self._groups
            with config_context(**self._config):
                response = getattr(self._estimator, method)(self._X, **params)
            self._responses[method] = np.asarray(response)
        return self._responses[method]
