"""Collections to check on, and ways of looking at a learner."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier

from skmeta.exceptions import UnseenTaskWarning

__all__ = [
    "SIZES",
    "Check",
    "Rows",
    "assert_close",
    "assert_raises",
    "copy_of",
    "count_unseen_warnings",
    "fitted_copy",
    "frames_of",
    "outputs_of",
    "own_label_rows",
    "parameter_name",
    "parameter_value",
    "rows_for",
]

Check = Callable[[Any], None]

SIZES = (1, 1, 2, 3, 6, 8, 12, 14, 16, 18, 20, 24)
_RTOL = 1e-6


class Rows(NamedTuple):
    X: NDArray[Any]
    y: NDArray[Any]
    groups: Any

    def take(self, rows: Any) -> Rows:
        return Rows(self.X[rows], self.y[rows], self.groups[rows])


def rows_for(estimator: Any, seed: int = 0) -> Rows:
    """Return the rows of twelve tasks; classes are shared and evenly spread over each task."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(SIZES)), SIZES)
    coefficients = 1.0 + 0.3 * random.normal(size=(len(SIZES), 3))
    X = random.normal(size=(len(groups), 3))
    signal = (X * coefficients[groups]).sum(axis=1) + 0.1 * random.normal(size=len(groups))
    if not is_classifier(estimator):
        return Rows(X, signal, groups)
    y = np.empty(len(groups), dtype=object)
    for task in range(len(SIZES)):
        there = np.flatnonzero(groups == task)
        ranked = there[np.argsort(signal[there])]
        y[ranked] = np.where(np.arange(len(there)) < len(there) / 2, "low", "high")
    return Rows(X, y.astype(str), groups)


def own_label_rows() -> Rows:
    """Return the rows of tasks with two classes each, which no other task has."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), 16)
    half = np.tile(np.repeat([0, 1], 8), 10)
    X = random.normal(size=(len(groups), 3))
    X[:, 0] += 4.0 * half
    return Rows(X, 2 * groups + half, groups)


def parameter_name(estimator: Any, name: str) -> str | None:
    """Return the full name of a parameter, which may belong to a nested estimator."""
    names = estimator.get_params()
    found = [key for key in names if key == name or key.endswith(f"__{name}")]
    # Those of the learner, where a meta-transformer has something else with parameters.
    return min(found, key=lambda key: (not key.startswith("estimator__"), len(key)), default=None)


def parameter_value(estimator: Any, parameter: str) -> Any:
    name = parameter_name(estimator, parameter)
    return None if name is None else estimator.get_params()[name]


def copy_of(estimator: Any, **parameters: Any) -> Any:
    """Return a clone that is deterministic and has some parameters set."""
    parameters = {"random_state": 0, "task_column": None, "unseen": "prior", **parameters}
    full = {parameter_name(estimator, name): value for name, value in parameters.items()}
    copy = clone(estimator)
    copy.set_params(**{name: value for name, value in full.items() if name is not None})
    return copy


def fitted_copy(estimator: Any, rows: Rows | None = None, **parameters: Any) -> Any:
    rows = rows_for(estimator) if rows is None else rows
    return copy_of(estimator, **parameters).fit(rows.X, rows.y, groups=rows.groups)


def outputs_of(model: Any, X: Any, groups: Any = None) -> NDArray[Any]:
    """Return what a learner predicts, as numbers."""
    method = model.predict_proba if is_classifier(model) else model.predict
    given = {} if groups is None else {"groups": groups}
    outputs: NDArray[Any] = method(X, **given)
    return outputs


def assert_close(actual: NDArray[Any], expected: NDArray[Any], rtol: float = _RTOL) -> None:
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


def assert_raises(
    kind: type[Exception], what: str, function: Callable[..., Any], *args: Any, **kwargs: Any
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnseenTaskWarning)
            function(*args, **kwargs)
    except kind:
        return
    raise AssertionError(f"Did not raise {kind.__name__} for {what}.")


def count_unseen_warnings(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return sum(issubclass(entry.category, UnseenTaskWarning) for entry in caught)


def frames_of(rows: Rows) -> Iterator[Any]:
    """Yield data frames that hold the tasks in a column in their middle."""
    columns = {"a": rows.X[:, 0], "task": rows.groups, "b": rows.X[:, 1], "c": rows.X[:, 2]}
    for library in ("pandas", "polars"):
        try:
            module = importlib.import_module(library)
        except ImportError:
            continue
        yield module.DataFrame(columns)
