"""Few training tasks: learners alone, and trained on augmented tasks.

Fifteen tasks of a collection are trained on, twenty rows of each; up to 200 others are adapted to
with 10 rows each, and asked for the rest of theirs (at most 50). The error is the root of the mean
over tasks of the mean squared error, divided by the standard deviation of the training targets, or
the share of wrong labels. Another seed draws other tasks and rows, and starts learners anew. The
difference to the learner alone has a 95 % interval by Student's t over the seeds.

    python benchmarks/task_augmentation.py
    python benchmarks/task_augmentation.py --how interval
    python benchmarks/task_augmentation.py --how modulation
    python benchmarks/task_augmentation.py --collections milk --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from scipy import stats
from sklearn.base import clone

import skmeta

N_TASKS, N_ROWS, N_SHOTS, N_TEST, N_ASKED = 15, 20, 10, 200, 50
NET = {"hidden_layer_sizes": (40, 40), "max_iter": 600, "meta_batch_size": N_TASKS}
EPISODES = {**NET, "n_shots": N_SHOTS}
STEPS = {"inner_lr": 0.1}
HOW = {
    "input": lambda learner: skmeta.TaskInterpolation(learner),
    "hidden": lambda learner: skmeta.TaskInterpolation(learner, layers="hidden"),
    "interval": lambda learner: skmeta.IntervalInterpolation(learner),
    "modulation": lambda learner: skmeta.TaskModulation(learner),
}


def load(name, seed):
    """Return the rows of a collection, its targets and its tasks."""
    if name == "sinusoid":
        tasks = skmeta.make_sinusoid_tasks(N_TASKS + N_TEST, 60, random_state=seed)
        return tasks.data, tasks.target, tasks.groups
    tasks = skmeta.load_collection(name)
    _, groups = np.unique(np.asarray(tasks.groups), return_inverse=True)
    return np.asarray(tasks.data, dtype=float), np.asarray(tasks.target), groups


def split(groups, random):
    """Return rows to train on, to adapt to and to ask for."""
    order = random.permutation(len(groups))
    number = np.empty(len(groups), dtype=int)  # of a row in its task, at random
    for task in np.unique(groups):
        rows = order[groups[order] == task]
        number[rows] = np.arange(len(rows))
    large = np.flatnonzero(np.bincount(groups) > N_SHOTS)
    tasks = random.permutation(large)[: N_TASKS + N_TEST]
    train, test = (np.isin(groups, part) for part in (tasks[:N_TASKS], tasks[N_TASKS:]))
    asked = (number >= N_SHOTS) & (number < N_SHOTS + N_ASKED)
    return train & (number < N_ROWS), test & (number < N_SHOTS), test & asked


def error(predicted, y, groups, scale):
    """Return the error, all tasks counting alike."""
    wrong = predicted != y if scale is None else np.square(predicted - y)
    present = np.bincount(groups) > 0
    means = np.bincount(groups, wrong)[present] / np.bincount(groups)[present]
    return means.mean() if scale is None else np.sqrt(means.mean()) / scale


def measure(name, seed, how):
    """Return the error of each learner, alone and with each augmentation."""
    X, y, groups = load(name, seed)
    random = np.random.default_rng(seed)
    train, support, query = split(groups, random)
    spread = X[train].std(axis=0)
    X = ((X - X[train].mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
    classes = y.dtype.kind != "f"
    kind, scale = ("Classifier", None) if classes else ("Regressor", y[train].std())
    errors = {}
    for family, params in (("RidgeHead", EPISODES), ("MAML", {**EPISODES, **STEPS})):
        learner = getattr(skmeta, family + kind)(**params, random_state=seed)
        if classes:
            learner.set_params(label_sets="shared")
        for label in ("alone", *how):
            model = clone(learner) if label == "alone" else HOW[label](learner)
            model.fit(X[train], y[train], groups=groups[train])
            adapted = model.adapt(X[support], y[support], groups=groups[support])
            predicted = adapted.predict(X[query], groups=groups[query])
            errors[family, label] = error(predicted, y[query], groups[query], scale)
    return errors


def report(names, seeds, how):
    """Print a table."""
    print("| collection | learner | alone |", " | ".join(f"{h} | difference" for h in how), "|")
    print("|---|---|---|" + "---|---|" * len(how))
    for name in names:
        found = [measure(name, seed, how) for seed in seeds]
        for family in ("RidgeHead", "MAML"):
            alone = np.array([errors[family, "alone"] for errors in found])
            cells = [f"{alone.mean():.3f}"]
            for label in how:
                values = np.array([errors[family, label] for errors in found])
                width = stats.t.ppf(0.975, len(seeds) - 1) * stats.sem(values - alone)
                cells.append(f"{values.mean():.3f}")
                cells.append(f"{(values - alone).mean():+.3f} ± {width:.3f}")
            print(f"| {name} | {family} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", nargs="*", default=["sinusoid", "milk", "cracker"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--how", nargs="*", choices=list(HOW), default=["input", "hidden"])
    args = parser.parse_args()
    warnings.simplefilter("ignore", skmeta.DivergenceWarning)
    start = time.perf_counter()
    report(args.collections, args.seeds, args.how)
    print(f"\n{time.perf_counter() - start:.0f} seconds")
