"""Error bars of new tasks: error, likelihood and coverage of learners that predict a deviation.

Tasks are held out; a held-out task shows k rows and is asked for others. ``nRMSE`` is the root of
the mean over tasks of the task's mean squared error over the standard deviation of the targets;
``NLL`` the mean over tasks of minus the log-likelihood of the rows asked for, targets in units of
that standard deviation; ``covered`` the share of rows inside the 90 % interval. On "drawn", linear
tasks drawn from a Gaussian prior, covered should be 90 %; on real collections, of which two folds
of five are held out, it shows how far the model's assumptions hold. A learner whose cost is cubic
in all rows is fitted to as many whole tasks, drawn at random, as have no more rows altogether than
`MOST_ROWS` says.

Needs ``pip install "skmeta[datasets,gp]"``.

    python benchmarks/uncertainty.py --markdown docs/uncertainty.md
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_collections import draw_episode, row, training_rows
from scipy.stats import norm
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta.datasets import load_collection

Array = NDArray[Any]

COLLECTIONS = ("drawn", "nox", "milk", "exam", "baseball", "gapminder12_forecast")
SHOTS = (1, 5, 10, 20)
FOLDS, HELD_OUT = 5, 2
TEST_TASKS = 60
LEVEL = 0.9
SHARED: dict[str, Any] = {"n_shots": (0, 20), "max_iter": 2000}
MOST_ROWS = {"MultiTaskGaussianProcess": 1400}
LEARNERS: dict[str, Callable[[int], Any]] = {
    "EmpiricalBayes": lambda seed: skmeta.EmpiricalBayesRegressor(),
    "MultiHead, Bayesian head": lambda seed: skmeta.MultiHeadRegressor(random_state=seed),
    "BayesianHead": lambda seed: skmeta.BayesianHeadRegressor(random_state=seed, **SHARED),
    "DeepKernel, rbf": lambda seed: skmeta.DeepKernelRegressor(random_state=seed, **SHARED),
    "DeepKernel, linear": lambda seed: skmeta.DeepKernelRegressor(
        kernel="linear", random_state=seed, **SHARED
    ),
    "ConditionalNeuralProcess": lambda seed: skmeta.ConditionalNeuralProcessRegressor(
        random_state=seed, **SHARED
    ),
    "ConditionalNeuralProcess, attention": lambda seed: skmeta.ConditionalNeuralProcessRegressor(
        attention=True, random_state=seed, **SHARED
    ),
    "MultiTaskGaussianProcess": lambda seed: skmeta.MultiTaskGaussianProcessRegressor(),
}


def table_of(name: str, seed: int) -> tuple[Array, Array, Array, bool]:
    """Return X, y, the task of each row, and whether the rows asked for come after the support."""
    if name == "drawn":
        tasks = skmeta.make_linear_tasks(500, 40, 4, noise=0.5, random_state=seed)
        return tasks.data, tasks.target, tasks.groups, False
    collection = load_collection(name)
    groups = np.unique(collection.groups.astype(str), return_inverse=True)[1]
    return collection.data, collection.target, groups, collection.forecast


def whole_tasks(groups: Array, rows: Array, most: int, seed: int) -> Array:
    """Return the rows of tasks drawn at random, at most so many altogether."""
    tasks, sizes = np.unique(groups[rows], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(tasks))
    return rows[np.isin(groups[rows], tasks[order[sizes[order].cumsum() <= most]])]


def evaluate(name: str, seed: int, learners: list[str]) -> list[dict[str, Any]]:
    """Return one record for each learner and number of shots."""
    X, y, groups, forecast = table_of(name, seed)
    scale = float(y.std())
    parts: dict[tuple[str, int], list[Array]] = {}
    seconds = dict.fromkeys(learners, 0.0)
    splitter = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (train, test) in enumerate(splitter.split(X, groups=groups)):
        if fold == HELD_OUT:
            break
        rng = np.random.default_rng([seed, fold])
        train = training_rows(groups, train, rng)
        Z = StandardScaler().fit(X[train]).transform(X)
        sizes = np.unique(groups[test], return_counts=True)[1]
        shots = [k for k in SHOTS if np.mean(sizes >= k + 2) > 0.5]  # most tasks have rows left
        episodes = {
            k: draw_episode(groups[test], k, rng, forecast=forecast, most=TEST_TASKS) for k in shots
        }
        for key in learners:
            rows = whole_tasks(groups, train, MOST_ROWS.get(key, len(train)), seed)
            start = time.perf_counter()
            model = LEARNERS[key](seed).fit(Z[rows], y[rows], groups=groups[rows])
            seconds[key] += time.perf_counter() - start
            for k, episode in episodes.items():
                s, q = test[episode.support], test[episode.query]
                adapted = model.adapt(Z[s], y[s], groups=groups[s])
                mean, std = adapted.predict(Z[q], groups=groups[q], return_std=True)
                found = np.stack([groups[q], y[q], mean, std])
                parts.setdefault((key, k), []).append(found)
    records = []
    for (key, k), found in parts.items():
        tasks, truth, mean, std = np.concatenate(found, axis=1)
        code = np.unique(tasks, return_inverse=True)[1]
        size = np.bincount(code)

        def over_tasks(values: Array, code: Array = code, size: Array = size) -> float:
            return float((np.bincount(code, values) / size).mean())

        inside = np.abs(truth - mean) < norm.ppf(0.5 + LEVEL / 2) * std
        scores = {
            "nrmse": over_tasks((truth - mean) ** 2) ** 0.5 / scale,
            "nll": -over_tasks(norm.logpdf(truth / scale, mean / scale, std / scale)),
            "covered": over_tasks(inside.astype(float)),
        }
        records.append(
            {"collection": name, "seed": seed, "shots": k, "learner": key}
            | scores
            | {"seconds": seconds[key]}
        )
        print(records[-1], flush=True)
    return records


PAGE = """# Error bars of new tasks

Generated by `python benchmarks/uncertainty.py{options}`; the numbers are in `uncertainty.json`
beside this page, the protocol stands at the head of the script. Seeds {seeds}; deep learners with
{settings} and defaults otherwise.
{fewer}.

{tables}

## Covered on data drawn from the model

Tasks of `drawn` are linear functions with Gaussian coefficients: the model of empirical Bayes and
of Bayesian heads, whose share should be 87 to 93 %. It is not that of the others, which learn from
the same tasks what they can.

{drawn}

Seconds of training, mean over collections and folds: {seconds}.
"""


def drawn(records: list[dict[str, Any]], learners: list[str]) -> str:
    """Return what is covered on `drawn`, at all numbers of shots."""
    lines = [row(["learner", "least", "most", "within 87 to 93 %"]), row(["---"] * 4)]
    for learner in learners:
        shares: dict[int, list[float]] = {}
        for r in records:
            if r["collection"] == "drawn" and r["learner"] == learner:
                shares.setdefault(r["shots"], []).append(r["covered"])
        means = [np.mean(found) for found in shares.values()]
        if means:
            inside = min(means) >= 0.87 and max(means) <= 0.93
            cells = [f"{min(means):.3f}", f"{max(means):.3f}", "yes" if inside else "no"]
            lines.append(row([learner, *cells]))
    return "\n".join(lines)


def page(records: list[dict[str, Any]], options: str) -> str:
    parts = []
    titles = {"nrmse": "nRMSE", "nll": "Negative log-likelihood", "covered": "Covered, of 90 %"}
    places = sorted(
        {(r["collection"], r["shots"]) for r in records},
        key=lambda place: (COLLECTIONS.index(place[0]), place[1]),
    )
    learners = [name for name in LEARNERS if any(r["learner"] == name for r in records)]
    for metric, title in titles.items():
        lines = [row(["collection", "k", *learners]), row(["---"] * (2 + len(learners)))]
        for name, k in places:
            values = [
                np.mean(
                    [
                        r[metric]
                        for r in records
                        if (r["collection"], r["shots"], r["learner"]) == (name, k, learner)
                    ]
                )
                for learner in learners
            ]
            lines.append(row([f"`{name}`", str(k), *(f"{value:.3f}" for value in values)]))
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    seconds = ", ".join(
        f"{name} {np.mean([r['seconds'] for r in records if r['learner'] == name]) / HELD_OUT:.1f}"
        for name in learners
    )
    return PAGE.format(
        drawn=drawn(records, learners),
        options=options,
        seeds=", ".join(map(str, sorted({r["seed"] for r in records}))),
        settings=", ".join(f"`{key}={value}`" for key, value in SHARED.items()),
        fewer=", ".join(
            f"{name} has whole tasks of at most {most} rows altogether to train on"
            for name, most in MOST_ROWS.items()
        ),
        tables="\n\n".join(parts),
        seconds=seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--collection", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--learner", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--markdown", type=Path, help="write the page, and a JSON file beside it")
    parser.add_argument("--keep", action="store_true", help="other learners as that file has them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records: list[dict[str, Any]] = []
    if arguments.keep:
        found = json.loads(arguments.markdown.with_suffix(".json").read_text())
        records = [r for r in found if r["learner"] not in arguments.learner]
    for name in arguments.collection:
        for seed in arguments.seeds:
            records += evaluate(name, seed, arguments.learner)
            if arguments.markdown:  # after each, so that what is done is kept
                lines = ",\n".join(json.dumps(record) for record in records)
                arguments.markdown.with_suffix(".json").write_text(f"[\n{lines}\n]\n")
                options = f" --seeds {' '.join(map(str, arguments.seeds))}"
                arguments.markdown.write_text(page(records, options))


if __name__ == "__main__":
    main()
