"""What the search of AutoMeta finds on real collections, against every candidate by itself.

Tasks are split at random: up to 150 are searched on, up to 100 others held out. Of each of those
as many rows are known as the search tried, and up to 50 others are asked for. The best candidate
is the best on the held-out tasks, which nobody can know before. Errors are means over tasks: the
root mean squared error over the standard deviation of all targets, or the share of wrong classes.

Needs ``pip install "skmeta[datasets]"``.

    python benchmarks/auto.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import skmeta
from skmeta.auto._candidates import default_classifiers, default_regressors

Array = NDArray[Any]

COLLECTIONS = ("gapminder", "nox", "milk", "star", "cracker", "train_choice")
TRAIN_TASKS, TEST_TASKS, MOST_ROWS, QUERIES = 150, 100, 100, 50


def sample(groups: Array, tasks: Array, most: int, rng: np.random.Generator) -> Array:
    """Return at most so many rows of each task, in random order."""
    rows = [rng.permutation(np.flatnonzero(groups == task))[:most] for task in tasks]
    return np.concatenate(rows)


def episodes(
    groups: Array, tasks: Array, shots: Array, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Yield known rows for each number of shots, and those asked for, which are the same."""
    drawn = [sample(groups, [task], int(shots[-1]) + QUERIES, rng) for task in tasks]
    drawn = [rows for rows in drawn if len(rows) > shots[-1]]
    for n_shots in shots:
        yield (
            np.concatenate([rows[:n_shots] for rows in drawn]),
            np.concatenate([rows[shots[-1] :] for rows in drawn]),
        )


def error(model: Any, X: Array, y: Array, groups: Array, drawn: list[Any], scale: float) -> float:
    """Return the mean over numbers of shots and tasks."""
    errors = []
    for known, asked in drawn:
        adapted = skmeta.adapt(model, X[known], y[known], groups[known])
        predicted = adapted.predict(X[asked], groups=groups[asked])
        for task in np.unique(groups[asked]):
            there = groups[asked] == task
            truth, found = y[asked][there], predicted[there]
            wrong = np.sqrt(np.mean((found - truth) ** 2)) / scale if scale else found != truth
            errors.append(np.mean(wrong))
    return float(np.mean(errors))


def run(name: str, time_budget: float, seed: int) -> list[str]:
    data = skmeta.load_gapminder() if name == "gapminder" else skmeta.load_collection(name)
    X, y = np.asarray(data.data), np.asarray(data.target)
    groups = np.unique(np.asarray(data.groups).astype(str), return_inverse=True)[1]
    regression = np.asarray(y).dtype.kind == "f"
    rng = np.random.default_rng(seed)
    tasks = rng.permutation(groups.max() + 1)
    n_train = min(TRAIN_TASKS, round(0.6 * len(tasks)))
    train = sample(groups, tasks[:n_train], MOST_ROWS, rng)
    auto = skmeta.AutoMetaRegressor if regression else skmeta.AutoMetaClassifier
    began = time.perf_counter()
    model = auto(time_budget, random_state=seed).fit(X[train], y[train], groups[train])
    seconds = time.perf_counter() - began
    held_out = tasks[n_train : n_train + TEST_TASKS]
    drawn = list(episodes(groups, held_out, model.shots_, rng))
    scale = float(y.std()) if regression else 0.0
    shots = (int(model.shots_[0]), int(model.shots_[-1]))
    if regression:
        candidates = default_regressors(shots, seed)
    else:
        candidates = default_classifiers(shots, seed, own_label_sets=False)
    found = {}
    for key, candidate in candidates.items():
        learner = candidate.fit(X[train], y[train], groups[train])
        found[key] = error(learner, X, y, groups, drawn, scale)
    best = min(found, key=found.__getitem__)
    skipped = (model.leaderboard_["status"].str.startswith("skipped")).sum() // len(model.shots_)
    return [
        f"`{name}`",
        str(n_train),
        ", ".join(map(str, model.shots_)),
        model.best_name_,
        f"{error(model, X, y, groups, drawn, scale):.3f}",
        best,
        f"{found[best]:.3f}",
        f"{found['pooled boosting']:.3f}",
        f"{seconds:.0f}",
        str(skipped),
    ]


HEADER = (
    *("collection", "tasks", "shots", "chosen", "error", "best candidate", "its error"),
    *("pooled boosting", "seconds", "skipped"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=COLLECTIONS)
    parser.add_argument("--time-budget", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}")
    for name in args.only:
        print(f"| {' | '.join(run(name, args.time_budget, args.seed))} |", flush=True)


if __name__ == "__main__":
    main()
