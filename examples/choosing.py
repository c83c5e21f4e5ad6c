"""
Does meta-learning help? House prices in Texan cities
=====================================================

From description to diagnosis, the steps of the page on choosing a learner: describe the tasks,
compare learners with baselines on cities never seen, then look at the cities that the chosen one
fails. A row is a month of one of 46 cities, the target the logarithm of the median price, so that
an error of 0.1 is 10 %. Needs ``pip install "skmeta[datasets]"``. Pictures go to the folder given,
or to out/.

``python examples/choosing.py docs`` makes the pictures of that page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

N_SHOTS = 5


def learner(estimator: Any) -> Any:
    """Scale the features in front of a learner, the city being a column."""
    estimator.set_params(task_column="city")
    return make_pipeline(skmeta.Shared(StandardScaler(), task_column="city"), estimator)


def compare(frame: pd.DataFrame, y: pd.Series, folder: Path) -> None:
    """Print and draw the scores of a network beside those of the baselines."""
    network = skmeta.MultiHeadRegressor(max_iter=150, random_state=0)
    table = skmeta.compare_learners(
        {"multi-head network": learner(network)}, frame, y, task_column="city", random_state=0
    )
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    skmeta.AdaptationCurveDisplay.from_comparison(
        table, negate_score=True, score_name="Error in log price", ax=axis
    )
    figure.savefig(folder / "choosing_curve.png", dpi=80)
    table["error"] = [
        f"{-score:.3f} ± {high - score:.3f}{'*' if p < 0.05 else ' '}"
        for score, high, p in zip(table["score"], table["high"], table["p_value"], strict=True)
    ]
    print(table.pivot(index="learner", columns="shots", values="error").to_string())
    print("* differs from pooled boosting on the same cities (Holm-adjusted p < 0.05)\n")


def predict_unseen(model: Any, frame: pd.DataFrame, y: pd.Series) -> Any:
    """Predict each city from five known months; NaN for these months."""
    predicted = np.full(len(frame), np.nan)
    cv = skmeta.EpisodicKFold(5, N_SHOTS, task_column="city", random_state=0)
    for train, test in cv.split(frame):
        predicted[test] = model.fit(frame.iloc[train], y.iloc[train]).predict(frame.iloc[test])
    return predicted


def diagnose(frame: pd.DataFrame, y: pd.Series, folder: Path) -> None:
    """Draw which cities the chosen learner fails, and one of them month by month."""
    model = learner(skmeta.EmpiricalBayesRegressor())
    predicted = predict_unseen(model, frame, y)
    asked = np.isfinite(predicted)
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    errors = skmeta.TaskErrorDisplay.from_predictions(
        y[asked], predicted[asked], frame["city"][asked], n_named=4, ax=axes[0, 0]
    )
    cities = frame.groupby("city").mean()
    skmeta.TaskMapDisplay.from_embedding(
        cities, errors=errors.errors, error_name=errors.error_name, ax=axes[0, 1]
    )
    worst = frame["city"] == errors.tasks[np.argmax(errors.errors)]
    model.fit(frame[~worst], y[~worst])
    known = frame[worst].sample(N_SHOTS, random_state=0).index
    skmeta.PredictionBandDisplay.from_estimator(
        model,
        frame.loc[known],
        y[known],
        "date",
        X_query=frame[worst].drop(known),
        y_query=y[worst].drop(known),
        ax=axes[1, 0],
    )
    network = learner(skmeta.MultiHeadRegressor(max_iter=150, random_state=0)).fit(frame, y)
    skmeta.TrainingHistoryDisplay.from_estimator(network, ax=axes[1, 1])
    figure.savefig(folder / "choosing_tasks.png", dpi=80)


def main(folder: Path) -> None:
    data = skmeta.load_collection("txhousing")
    frame = pd.DataFrame(data.data, columns=data.feature_names).assign(city=data.groups)
    y = pd.Series(data.target, name="log_median")
    folder.mkdir(exist_ok=True)
    print(skmeta.describe_tasks(frame, y, task_column="city", n_shots=10), end="\n\n")
    compare(frame, y, folder)
    diagnose(frame, y, folder)
    print(f"Pictures: {folder}/choosing_curve.png, {folder}/choosing_tasks.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
