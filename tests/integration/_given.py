"""What the checks of scikit-learn's tools are given: tasks, and learners of several kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose
from sklearn.base import clone

import skmeta

_NET = {"hidden_layer_sizes": (4,), "max_iter": 3, "lr": 0.1, "random_state": 0}
_STEPS = {"n_shots": 2, "n_inner_steps": 2, **_NET}

KINDS: dict[str, tuple[Any, Any]] = {
    "mixed effects": (
        skmeta.EmpiricalBayesRegressor(max_iter=30),
        skmeta.EmpiricalBayesClassifier(max_iter=10),
    ),
    "shared features": (skmeta.MultiHeadRegressor(**_NET), skmeta.MultiHeadClassifier(**_NET)),
    "gradient": (skmeta.MAMLRegressor(**_STEPS), skmeta.MAMLClassifier(**_STEPS)),
}
"""A regressor and a classifier of each kind, cheap ones."""

_TASKS = skmeta.make_linear_tasks(12, (6, 10), 2, noise=0.3, random_state=0)
GROUPS = np.array([f"school {number:02d}" for number in _TASKS.groups])
Y = _TASKS.target
LABELS = np.where(np.median(Y) < Y, "high", "low")
FEATURES = pd.DataFrame(_TASKS.data, columns=["a", "b"])
ALL = np.arange(len(Y))
_EVEN = np.arange(len(Y)) % 2 == 0
FOLDS = [(ALL[_EVEN], ALL[~_EVEN]), (ALL[~_EVEN], ALL[_EVEN])]
"""Rows of every task are in train and in test, and each row is in one test."""


class Given:
    """A kind of learner, and tasks in a column of X or as routed groups.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    routed : bool
        Whether tasks are `groups`, not a column.
    """

    def __init__(self, kind: str, routed: bool) -> None:
        self.kind, self.routed = kind, routed
        self.column = None if routed else "school"
        self.X = FEATURES if routed else FEATURES.assign(school=GROUPS)[["a", "school", "b"]]

    @property
    def regressor(self) -> Any:
        """An unfitted regressor."""
        return clone(KINDS[self.kind][0]).set_params(task_column=self.column)

    @property
    def classifier(self) -> Any:
        """An unfitted classifier."""
        return clone(KINDS[self.kind][1]).set_params(task_column=self.column)

    def groups(self, rows: Any = ALL) -> dict[str, Any]:
        """Return the tasks of rows as a keyword, if they are no column."""
        return {"groups": GROUPS[rows]} if self.routed else {}

    def fit(self, estimator: Any, y: Any = Y, rows: Any = ALL) -> Any:
        """Fit an estimator to some rows."""
        return estimator.fit(self.X.iloc[rows], np.asarray(y)[rows], **self.groups(rows))

    def ask(self, fitted: Any, rows: Any = ALL, method: str = "predict") -> Any:
        """Predict some rows."""
        return getattr(fitted, method)(self.X.iloc[rows], **self.groups(rows))

    def out_of_fold(self, estimator: Any, y: Any = Y, method: str = "predict") -> Any:
        """Predict each row by a clone that has not seen it."""
        parts = []
        for train, test in FOLDS:
            parts.append(self.ask(self.fit(clone(estimator), y, train), test, method))
        values = np.empty((len(Y), *parts[0].shape[1:]), dtype=parts[0].dtype)
        for (_, test), part in zip(FOLDS, parts, strict=True):
            values[test] = part
        return values


def close(actual: Any, expected: Any) -> None:
    """Assert that numbers agree but for rounding."""
    assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
