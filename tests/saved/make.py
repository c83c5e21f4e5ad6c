"""Make the files beside this one: `python tests/saved/make.py`.

They stand for files that users have. A file is made once, by the version that brings its estimator
or a new format, and never again: that old files can be read is what they test.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

FOLDER = Path(__file__).parent
_NET = {"hidden_layer_sizes": (3,), "max_iter": 4, "random_state": 0}
ESTIMATORS = {
    "empirical_bayes": skmeta.EmpiricalBayesRegressor(),
    "maml": skmeta.MAMLRegressor(n_shots=2, **_NET),
    "prototypical": skmeta.PrototypicalClassifier(n_shots=1, **_NET),
    "multi_head": skmeta.MultiHeadRegressor(head=Ridge(), **_NET),
    "pipeline": make_pipeline(
        skmeta.Shared(StandardScaler(), task_column=0),
        skmeta.HeTRoM(skmeta.RidgeHeadRegressor(task_column=0, n_shots=2, **_NET)),
    ),
}


def rows() -> np.ndarray:
    """Return rows of two features, the task in the first column."""
    place = np.arange(24)
    return np.column_stack([place // 4, np.sin(place), np.cos(3 * place)])


def targets(name: str) -> np.ndarray:
    """Return what the estimator of a file learned from them."""
    X = rows()
    y = X[:, 1] * (1 + X[:, 0]) - X[:, 2]
    return (y > 0).astype(int) if name == "prototypical" else y


def given(name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the rows as an estimator takes them: with the task column or with groups."""
    X = rows()
    return (X, {}) if name == "pipeline" else (X[:, 1:], {"groups": X[:, 0].astype(int)})


def predictions(name: str, model: object) -> dict[str, list[float]]:
    """Return what a model says of tasks that it knows, and after adapting to one."""
    X, groups = given(name)
    method = "predict_proba" if name == "prototypical" else "predict"
    known = getattr(model, method)(X, **groups)[:8]
    adapted = skmeta.adapt(model, X[4:8], targets(name)[4:8])
    new = getattr(adapted, method)(X[4:8])
    return {"known": known.tolist(), "adapted": new.tolist()}


if __name__ == "__main__":
    recorded = FOLDER / "predictions.json"
    expected = json.loads(recorded.read_text()) if recorded.exists() else {}
    for name, estimator in ESTIMATORS.items():
        path = FOLDER / f"{name}-{skmeta.__version__}.safetensors"
        if path.exists():
            continue
        X, groups = given(name)
        model = estimator.fit(X, targets(name), **groups)
        skmeta.save(model, path)
        expected[path.stem] = predictions(name, model)
    recorded.write_text(json.dumps(expected, indent=1) + "\n")
