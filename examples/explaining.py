"""
How do tasks differ?
====================

Maths pass rates in Michigan districts, explained by fitted models, step by step: what share of the
variance lies between districts, in what they differ, and which of them are unlike the others. A row
is a year of one of 550 districts, the target the percentage of fourth-graders who pass in maths.
Needs ``pip install "skmeta[datasets]"``. The picture goes to the folder given, or to out/.

``python examples/explaining.py docs`` makes the picture of the page on explaining.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

COLUMN = "district"
NAMES = {
    "lunch": "free lunch, %",
    "lenrol": "log enrolment",
    "lrexpp": "log spending",
    "year": "year",
}


def compare_shares(model: skmeta.EmpiricalBayesRegressor, frame: pd.DataFrame, y: Any) -> None:
    """Print the components of the variance as three models see them."""
    network = make_pipeline(
        skmeta.Shared(StandardScaler(), task_column=COLUMN),
        skmeta.MultiHeadRegressor(task_column=COLUMN, max_iter=50, random_state=0),
    )
    levels = skmeta.EmpiricalBayesRegressor("intercept", task_column=COLUMN)
    models = {
        "levels alone": levels.fit(frame, y),
        "levels and slopes": model,
        "multi-head network": network.fit(frame, y),
    }
    tables = {name: skmeta.explain_tasks(fitted).variance for name, fitted in models.items()}
    table = pd.concat(tables).droplevel(1)
    columns = ["shared", "level", "slopes", "noise", "icc", "r2_marginal", "r2_conditional"]
    print(table[columns].round(2).to_string(), end="\n\n")


def follow_a_district(model: skmeta.EmpiricalBayesRegressor, frame: pd.DataFrame) -> None:
    """Print how much the first rows of the largest district determine, year after year."""
    label = frame[COLUMN].value_counts(sort=True).index[0]
    rows = frame[frame[COLUMN] == label].sort_values("year")
    found = [
        skmeta.explain_tasks(
            model.adapt(rows[:n].drop(columns="target"), rows["target"][:n])
        ).tasks.assign(rows=n)
        for n in (1, 2, 4, 7)
    ]
    print(pd.concat(found).round(2).to_string(index=False))


def main(folder: Path) -> None:
    data = skmeta.load_collection("mathpnl")
    frame = pd.DataFrame(data.data, columns=[NAMES[name] for name in data.feature_names])
    frame[COLUMN] = data.groups
    y = pd.Series(data.target)
    folder.mkdir(exist_ok=True)

    model = skmeta.EmpiricalBayesRegressor(task_column=COLUMN).fit(frame, y)
    found = skmeta.explain_tasks(model)
    print(found, end="\n\n")
    print(found.features.round(2).to_string(index=False), end="\n\n")
    print(found.tasks.head(5).round(2).to_string(index=False), end="\n\n")
    unlike = (found.tasks["distance"] ** 2 / found.tasks["learned"]).to_numpy()
    print(f"distance² / learned: mean {unlike.mean():.2f}, largest {np.max(unlike):.1f}\n")
    display = skmeta.TaskVariationDisplay.from_estimator(model)
    display.figure_.savefig(folder / "explaining.png", dpi=80)

    compare_shares(model, frame, y)
    follow_a_district(model, frame.assign(target=y))
    print(f"\nPicture: {folder}/explaining.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
