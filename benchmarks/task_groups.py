"""Groups of tasks: seconds, what landmarks lose, and how unlike the tasks of a group are.

The tasks are linear regressions on ten features, 20 rows each, of four families that differ in
their coefficients and in the scales of their features. The probe has two layers of 64 units.

    python benchmarks/task_groups.py
    python benchmarks/task_groups.py --seconds 10000
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.metrics import adjusted_rand_score

import skmeta

N_FAMILIES, N_FEATURES, N_ROWS = 4, 10, 20
KINDS = ("fisher", "gradient", "head")


def draw(n_tasks, seed=0, dtype=np.float64):
    """Return rows, targets and tasks of four families, and the family of each task."""
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.arange(n_tasks) % N_FAMILIES)
    scales = np.exp(rng.normal(size=(N_FAMILIES, 1, N_FEATURES)))
    W = rng.normal(size=(N_FAMILIES, N_FEATURES))
    X = rng.normal(size=(n_tasks, N_ROWS, N_FEATURES)) * scales[family]
    y = np.einsum("trf,tf->tr", X, W[family]) + 0.3 * rng.normal(size=(n_tasks, N_ROWS))
    groups = np.repeat(np.arange(n_tasks), N_ROWS)
    return X.reshape(-1, N_FEATURES).astype(dtype), y.ravel(), groups, family


def timed(function, *args, **options):
    start = time.perf_counter()
    result = function(*args, **options)
    return result, time.perf_counter() - start


def report_seconds(sizes):
    print("| tasks | float | compared with | fit | transform | dissimilarity | groups |")
    print("|---|---|---|---|---|---|---|")
    for n_tasks in sizes:
        for dtype in ("float64", "float32"):
            X, y, groups, _ = draw(n_tasks, dtype=dtype)
            model = skmeta.TaskEmbedding(random_state=0)
            _, fit = timed(model.fit, X, y, groups=groups)
            E, transform = timed(model.transform, X, y, groups=groups)
            for n_landmarks in (500, 1000) if n_tasks > 1000 else (1000,):
                D, pairs = timed(
                    skmeta.task_dissimilarity, E, model.blocks_, n_landmarks=n_landmarks
                )
                _, found = timed(skmeta.group_tasks, D, random_state=0)
                print(
                    f"| {n_tasks} | {dtype} | {D.shape[1]} | {fit:.1f} | {transform:.2f} | "
                    f"{pairs:.1f} | {found:.2f} |"
                )


def unlikeness(D, groups):
    """Return the mean dissimilarity of two tasks of a group, as a ratio to that of any two."""
    together = (groups[:, None] == groups) & ~np.eye(len(D), dtype=bool)
    return D[together].mean() / D[~np.eye(len(D), dtype=bool)].mean()


def report_groups(n_tasks, n_groups, seeds):
    print("\n| embedding | how | compared with | unlike within | smallest | families | all pairs |")
    print("|---|---|---|---|---|---|---|")
    collections = [draw(n_tasks, seed) for seed in seeds]
    for kind in KINDS:
        cells = {}
        for X, y, groups, family in collections:
            model = skmeta.TaskEmbedding(kind, max_iter=300, random_state=0)
            E = model.fit_transform(X, y, groups=groups)
            D = skmeta.task_dissimilarity(E, model.blocks_)
            for how in ("similar", "mixed", "dissimilar", "random"):
                exact = skmeta.group_tasks(D, n_groups, how=how, random_state=0)
                for compared in (n_tasks, n_tasks // 2, n_tasks // 5, n_tasks // 10):
                    if how == "random" and compared < n_tasks:
                        continue
                    columns = np.linspace(0, n_tasks - 1, compared).astype(int)
                    found = skmeta.group_tasks(D[:, columns], n_groups, how=how, random_state=0)
                    row = (
                        unlikeness(D, found),
                        np.bincount(found, minlength=n_groups).min() / n_tasks,
                        adjusted_rand_score(family, found),
                        adjusted_rand_score(exact, found),
                    )
                    cells.setdefault((how, compared), []).append(row)
        for (how, compared), rows in cells.items():
            mean = " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0))
            print(f"| {kind} | {how} | {compared} | {mean} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="*", default=[1000])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    report_seconds(args.seconds)
    report_groups(500, N_FAMILIES, args.seeds)
