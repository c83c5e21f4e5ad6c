"""AutoMeta on every real collection, beside the classical baselines of `compare_learners`.

Whole tasks are held out, in three folds. A held-out task shows 5 rows, drawn at random or the
first in time (T), or 5 of each class where tasks have classes of their own, and is asked for the
others. AutoMeta searches for at most 120 s in each fold. The error of a task is its root mean
squared error over the standard deviation of all targets, or its share of wrong classes. The best
baseline is the best by these errors, which nobody can know before; the interval is of the
difference to it, in pairs over tasks.

Needs ``pip install "skmeta[datasets]"``.

    python benchmarks/auto.py --markdown docs/auto.md
    python benchmarks/auto.py --only milk cracker --time-budget 20
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

import skmeta
from skmeta.metrics._interval import mean_over_tasks
from skmeta.model_selection import adaptation_curve
from skmeta.model_selection._baselines import make_baselines

Array = NDArray[Any]

IMAGES, LEAVES = "glyphs", "leaf_id_flavia"
COLLECTIONS = (*skmeta.datasets.list_collections(), IMAGES)
FOLDS, SHOTS, FEWER = 3, 5, {"egsingle_child": 3}  # which has at most 6 rows of a task
MOST_TASKS, MOST_ROWS = 300, 100
WAYS, IMAGE_TASKS = 5, 60
LAST_DIGIT = 5e-4  # of differences, as the table shows them
POOLED = ("pooled linear", "pooled boosting")  # they know nothing of new classes


class _Chosen:
    """Remember what was chosen: `adaptation_curve` fits clones."""

    names: list[str] = []

    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        super().fit(X, y, groups)  # type: ignore[misc]
        self.names.append(self.best_name_)  # type: ignore[attr-defined]
        return self


class Regressor(_Chosen, skmeta.AutoMetaRegressor):
    pass


class Classifier(_Chosen, skmeta.AutoMetaClassifier):
    pass


def load(name: str) -> Bunch:
    """Return `data`, `target`, `groups`, `forecast`, and whether tasks have their `own_classes`."""
    if name == IMAGES:
        found = skmeta.load_glyphs("all")
        script, letter = found.groups, found.target
    else:
        found = skmeta.load_collection(name)
        script, letter = np.zeros(len(found.target)), found.target
    found.own_classes = name in (IMAGES, LEAVES)
    rng = np.random.default_rng(0)
    if found.own_classes:
        found.groups = few_classes(letter, script, rng)
    rows = sample(found.groups, rng, ordered=found.forecast or found.own_classes)
    return Bunch(
        data=found.data[rows],
        target=found.target[rows],
        groups=found.groups[rows].astype(str),
        forecast=found.forecast,
        regression=found.task_type == "regression",
        own_classes=found.own_classes,
    )


def few_classes(letter: Array, script: Array, rng: np.random.Generator) -> Array:
    """Return a task for each row, five classes of one script each, -1 for rows left out."""
    task, n_tasks = np.full(len(letter), -1), 0
    for one in np.unique(script):
        shuffled = rng.permutation(np.unique(letter[script == one]))
        for start in range(0, len(shuffled) - WAYS + 1, WAYS):
            task[np.isin(letter, shuffled[start : start + WAYS])] = n_tasks
            n_tasks += 1
    return np.where(np.isin(task, rng.permutation(n_tasks)[:IMAGE_TASKS]), task, -1)


def sample(groups: Array, rng: np.random.Generator, *, ordered: bool) -> Array:
    """Return rows: of at most so many tasks, and of each so many, all in their order."""
    labels = [label for label in np.unique(groups.astype(str)) if label != "-1"]
    kept = []
    for label in rng.permutation(labels)[:MOST_TASKS]:
        rows = np.flatnonzero(groups.astype(str) == label)
        kept.append(rows if ordered else rng.permutation(rows)[:MOST_ROWS])
    return np.sort(np.concatenate(kept))


def run(name: str, time_budget: float, seed: int) -> dict[str, Any]:
    """Return the numbers of one collection."""
    tasks = load(name)
    shots = FEWER.get(name, SHOTS)
    support = "first" if tasks.forecast else "random"
    auto = Regressor if tasks.regression else Classifier
    learners = make_baselines(None, support=support, classification=not tasks.regression)
    if tasks.own_classes:
        learners = {key: value for key, value in learners.items() if key not in POOLED}
    learners["auto"] = auto(time_budget, shots=shots, support=support, random_state=seed)
    _Chosen.names.clear()
    curves = {
        key: adaptation_curve(
            learner,
            tasks.data,
            tasks.target,
            groups=tasks.groups,
            shots=(shots,),
            n_splits=FOLDS,
            support=support,
            stratify=tasks.own_classes,
            random_state=seed,
        )
        for key, learner in learners.items()
    }
    scale = float(tasks.target.std()) if tasks.regression else 1.0
    errors = {
        key: -curve.scores[0] / scale if tasks.regression else 1 - curve.scores[0]
        for key, curve in curves.items()
    }
    found = errors.pop("auto")
    best = min(errors, key=lambda key: float(errors[key].mean()))
    difference, half = mean_over_tasks(found - errors[best])
    return {
        "name": f"`{name}`" + (" (T)" if tasks.forecast else ""),
        "tasks": len(found),
        "shots": f"{shots} of each class" if tasks.own_classes else str(shots),
        "chosen": ", ".join(
            f"{key} ({n})" if n > 1 else key for key, n in Counter(_Chosen.names).most_common()
        ),
        "error": float(found.mean()),
        "errors": {key: float(value.mean()) for key, value in errors.items()},
        "best": best,
        "difference": float(difference),
        "half": float(half),
        "seconds": float(curves["auto"].fit_times.max()),
    }


HEADER = (
    *("collection", "tasks", "rows known", "chosen (folds)", "error", "best baseline"),
    *("its error", "difference", "verdict", "best of pooled and per-task", "longest fit, s"),
)


def verdict(row: dict[str, Any]) -> str:
    half = max(row["half"], LAST_DIGIT)
    if row["difference"] > half:
        return "**worse**"
    return "better" if row["difference"] < -half else "same"


def without_mixed(row: dict[str, Any]) -> float:
    """Return the error of the best baseline that is no meta-learner."""
    return min(error for key, error in row["errors"].items() if key != "mixed effects")


def line(row: dict[str, Any]) -> str:
    cells = (
        *(row["name"], str(row["tasks"]), row["shots"], row["chosen"], f"{row['error']:.3f}"),
        *(row["best"], f"{row['errors'][row['best']]:.3f}"),
        *(f"{row['difference']:+.3f} ± {row['half']:.3f}", verdict(row)),
        *(f"{without_mixed(row):.3f}", f"{row['seconds']:.0f}"),
    )
    return f"| {' | '.join(cells)} |"


PAGE = """\
# What AutoMeta chooses on real collections

Made by

    python benchmarks/auto.py {command}

Whole tasks are held out, in {folds} folds; of a collection at most {tasks} tasks are used, and of
a task {rows} rows. A held-out task shows 5 rows (3 where it has at most 6), drawn at random, or the
first in time where (T) stands, and is asked for its others. `leaf_id_flavia` and `glyphs` are tasks
of five classes of their own, of each of which 5 rows are known. `AutoMetaRegressor` and
`AutoMetaClassifier` search with `time_budget={budget:g}` in each fold, on one thread, and know
nothing of the held-out tasks.

The error of a task is its root mean squared error over the standard deviation of all targets, or
its share of wrong classes. The baselines are those of
[`compare_learners`](api.rst): pooled linear, pooled boosting, per-task linear with a tuned penalty,
and mixed effects. The best of them is the best by the errors in this table, which nobody can know
before. The difference is AutoMeta's error minus its error, below zero where AutoMeta is better,
with a 95 % interval in pairs over tasks. "Same": the interval covers zero, or the difference
is below the last digit shown.

{table}

{summary}
"""


def summary(rows: list[dict[str, Any]]) -> str:
    verdicts = Counter(map(verdict, rows))
    lower, higher = (
        sum(sign * row["difference"] > 0.01 * row["errors"][row["best"]] for row in rows)
        for sign in (-1, 1)
    )
    below = sum(row["error"] < 0.99 * without_mixed(row) for row in rows)
    return (
        f"Of {len(rows)} collections AutoMeta is better than the best baseline beyond the interval "
        f"on {verdicts['better']}, the same on {verdicts['same']} and worse on "
        f"{verdicts['**worse**']}; its error is lower by more than 1 % on {lower} and higher by "
        f"more than 1 % on {higher}. Beside pooled models and models per task, without mixed "
        f"effects, which are meta-learning too, it is lower by more than 1 % on {below}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=COLLECTIONS, choices=COLLECTIONS)
    parser.add_argument("--time-budget", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    head = f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}"
    print(head, flush=True)
    rows = []
    for name in args.only:
        rows.append(run(name, args.time_budget, args.seed))
        print(line(rows[-1]), flush=True)
    print(f"\n{summary(rows)}")
    if args.markdown:
        text = PAGE.format(
            command=" ".join(sys.argv[1:]),
            folds=FOLDS,
            tasks=MOST_TASKS,
            rows=MOST_ROWS,
            budget=args.time_budget,
            table="\n".join([head, *map(line, rows)]),
            summary=summary(rows),
        )
        args.markdown.write_text(text)


if __name__ == "__main__":
    main()
