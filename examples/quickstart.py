"""
Life expectancy of a country never seen
=======================================

How much do its first surveys help? The gapminder table has 142 countries with 12 surveys each, five
years apart. Whole countries are held out; of each, the first 1 to 8 surveys are known and all later
ones are predicted. Compared are one pooled model that ignores countries, one model per country, and
two meta-learners. Each held-out country counts once.

``python examples/quickstart.py`` or ``make demo`` prints the table and draws the picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

SHOTS = range(1, 9)
N_SURVEYS = 12
PENALTIES = 10.0 ** np.arange(-2, 4)
PICTURE = Path("out/quickstart.png")

Array = NDArray[np.float64]
# Takes the known surveys of some countries and their targets, and the surveys to predict; all of
# shape (countries, surveys, ...), the country's number in the first column.
Predict = Callable[[Array, Array, Array], Array]


def rows(X: Array) -> Array:
    """Return surveys as the rows of one table."""
    return X.reshape(-1, X.shape[-1])


def pooled(X: Array, y: Array) -> Predict:
    """Fit one gradient-boosting model to all countries; it has no use for known surveys."""
    model = HistGradientBoostingRegressor(random_state=0).fit(rows(X)[:, 1:], y.ravel())
    return lambda X_known, y_known, X_later: model.predict(rows(X_later)[:, 1:])


def per_country(X: Array, y: Array) -> Predict:
    """Fit one ridge regression per country, its penalty tuned on the training countries."""
    center, scale = rows(X)[:, 1:].mean(axis=0), rows(X)[:, 1:].std(axis=0)

    def ridges(alpha: float, X_known: Array, y_known: Array, X_later: Array) -> Array:
        known, later = (X_known[..., 1:] - center) / scale, (X_later[..., 1:] - center) / scale
        x_mean, y_mean = known.mean(axis=1, keepdims=True), y_known.mean(axis=1, keepdims=True)
        Z = (known - x_mean).mT
        penalty = alpha * np.eye(known.shape[-1])
        coef = np.linalg.solve(Z @ Z.mT + penalty, Z @ (y_known - y_mean)[..., None])
        return ((later - x_mean) @ coef)[..., 0] + y_mean

    def predict(X_known: Array, y_known: Array, X_later: Array) -> Array:
        k = X_known.shape[1]
        errors = [
            np.mean((ridges(a, X[:, :k], y[:, :k], X[:, k:]) - y[:, k:]) ** 2) for a in PENALTIES
        ]
        return ridges(PENALTIES[int(np.argmin(errors))], X_known, y_known, X_later)

    return predict


def meta(learner: Any) -> Callable[[Array, Array], Predict]:
    """Meta-train once; then adapt to all new countries in one call."""

    def fit(X: Array, y: Array) -> Predict:
        model = make_pipeline(skmeta.Shared(StandardScaler(), task_column=0), learner)
        model.fit(rows(X), y.ravel())
        return lambda X_known, y_known, X_later: skmeta.adapt(
            model, rows(X_known), y_known.ravel()
        ).predict(rows(X_later))

    return fit


LEARNERS = {
    "pooled gradient boosting": pooled,
    "ridge per country, tuned": per_country,
    "EmpiricalBayesRegressor": meta(skmeta.EmpiricalBayesRegressor(task_column=0)),
    "MultiHeadRegressor": meta(skmeta.MultiHeadRegressor(task_column=0, random_state=0)),
}


def compare() -> tuple[dict[str, Array], dict[str, float]]:
    """Return each learner's error by country and number of surveys, and its seconds."""
    data = skmeta.load_gapminder()
    country = np.unique(data.groups, return_inverse=True)[1]
    X = np.column_stack([country, data.data]).reshape(-1, N_SURVEYS, 1 + data.data.shape[1])
    y = data.target.reshape(-1, N_SURVEYS)
    errors = {name: np.empty((len(X), len(SHOTS))) for name in LEARNERS}
    seconds = dict.fromkeys(LEARNERS, 0.0)
    for train, test in skmeta.TaskKFold(5, task_column=0).split(X[:, 0]):
        for name, learner in LEARNERS.items():
            began = time.perf_counter()
            predict = learner(X[train], y[train])
            for column, k in enumerate(SHOTS):
                predicted = predict(X[test, :k], y[test, :k], X[test, k:])
                residual = predicted.reshape(len(test), -1) - y[test, k:]
                errors[name][test, column] = np.sqrt(np.mean(residual**2, axis=1))
            seconds[name] += time.perf_counter() - began
    return errors, seconds


def report(errors: dict[str, Array], seconds: dict[str, float]) -> None:
    """Print mean errors with 95 % intervals over countries, and draw them."""
    n_countries = len(next(iter(errors.values())))
    print(f"Error in years of life expectancy: mean over {n_countries} held-out countries ± 95 %\n")
    shown = (1, 2, 3, 5, 8)
    print(f"{'surveys known':<26}" + "".join(f"{k:>9}     " for k in shown) + f"{'seconds':>9}")
    _, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, error in errors.items():
        mean, half = error.mean(axis=0), 1.96 * error.std(axis=0) / np.sqrt(n_countries)
        cells = "".join(f"{mean[k - 1]:>7.2f} ± {half[k - 1]:.2f}" for k in shown)
        print(f"{name:<26}{cells}{seconds[name]:>9.1f}")
        axis.plot(SHOTS, mean, marker="o", label=name)
        axis.fill_between(SHOTS, mean - half, mean + half, alpha=0.15)
    axis.set(
        xlabel="surveys known of a new country",
        ylabel="error of its later surveys (years)",
        title="Life expectancy of a country never seen",
        ylim=(0, 10),
    )
    axis.legend()
    PICTURE.parent.mkdir(exist_ok=True)
    plt.savefig(PICTURE, dpi=120)
    print(f"\nPicture: {PICTURE}")


if __name__ == "__main__":
    report(*compare())
