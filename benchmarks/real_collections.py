"""Few-shot prediction on the real collections: learners side by side with classical baselines.

Whole tasks are held out (5 folds). A held-out task shows k rows, three times at random or once as
the first rows in time (T), and is asked for at most 50 others. Every learner is fitted once for
each fold, and adapts to all held-out tasks in one call. The seeds of folds, draws and learners
are 0, 1 and 2, and more where a collection has few tasks, so that 300 are met; scores are means
over them. Regression is scored by nRMSE, the root of
the mean over tasks of the task's mean squared error, divided by the standard deviation of the
targets; classification by accuracy, AUC and log loss, all tasks counting alike.

Needs ``pip install "skmeta[datasets]"``.

    python benchmarks/real_collections.py --markdown docs/real_collections.md
    python benchmarks/real_collections.py --markdown docs/real_collections.md --reuse
    python benchmarks/real_collections.py --only nox --only cracker --quick
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # collections run side by side

import argparse
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta.datasets import load_collection

Array = NDArray[Any]

REGRESSION = {  # the numbers of support rows to try
    "txhousing": (5, 10),
    "wagepan": (5,),
    "mathpnl": (5,),
    "nox": (5, 10),
    "milk": (5, 10),
    "baseball": (5, 10),
    "gapminder12_forecast": (3, 5, 10),
    "egsingle_child": (3,),
    "oxboys": (5,),
    "exam": (5, 10),
    "star": (5, 10),
    "sleepstudy": (5,),
}
CLASSIFICATION = {
    "cracker": (5, 10),
    "train_choice": (5, 10),
    "verbagg": (5, 10),
    "prenatal": (5, 10),
    "tv16": (5, 10),
}
REFERENCE = json.loads(Path(__file__).with_name("real_collections_reference.json").read_text())

FOLDS = 5
LEAST_SEEDS = 3
LEAST_TASKS = 300  # held out in all, so that the draw of supports weighs little
DRAWS = 3
MOST_TASKS, MOST_ROWS = 400, 200  # to train on
TEST_TASKS, QUERIES = 60, 50  # in a fold, of a task
PENALTIES = 10.0 ** np.arange(-3, 4)
TUNING_TASKS = 60
RESAMPLES = 100  # of the bootstrap

# One setting for all collections, for the pooled model as for the offset.
BOOSTING: dict[str, Any] = {"max_leaf_nodes": 15, "learning_rate": 0.05}
MULTI: dict[str, Any] = {}


@dataclass
class Episode:
    """Rows of the held-out tasks of one fold, sorted by task."""

    support: Array
    query: Array


class PerTask:
    """A model of its own for each task, fitted on its support alone.

    Parameters
    ----------
    make : callable
        Returns a model from a penalty.
    penalty : float or None
        None chooses it, for each number of shots, on episodes made of the training tasks.
    forecast : bool
        Whether these episodes have the first rows as support.
    """

    def __init__(
        self, make: Callable[[float], Any], penalty: float | None, forecast: bool = False
    ) -> None:
        self.make, self.penalty, self.forecast = make, penalty, forecast
        self.chosen: dict[int, float] = {}

    def fit(self, X: Array, y: Array, groups: Array) -> PerTask:
        self.train = X, y, groups
        return self

    def predict(self, Xs: Array, ys: Array, gs: Array, Xq: Array, gq: Array) -> Array:
        penalty = self.penalty
        if penalty is None:
            n_shots = round(len(gs) / len(np.unique(gs)))
            if n_shots not in self.chosen:
                self.chosen[n_shots] = self._choose(n_shots)
            penalty = self.chosen[n_shots]
        return self._predict(penalty, Xs, ys, gs, Xq, gq)

    def _predict(
        self, penalty: float, Xs: Array, ys: Array, gs: Array, Xq: Array, gq: Array
    ) -> Array:
        predicted = np.empty(len(Xq))
        for task in np.unique(gq):
            support, query = gs == task, gq == task
            y = ys[support]
            if y.dtype.kind == "f":
                predicted[query] = self.make(penalty).fit(Xs[support], y).predict(Xq[query])
            elif (y == y[0]).all():
                predicted[query] = (y.sum() + 1) / (len(y) + 2)  # Laplace's rule of succession
            else:
                model = self.make(penalty).fit(Xs[support], y)
                predicted[query] = model.predict_proba(Xq[query])[:, 1]
        return predicted

    def _choose(self, n_shots: int) -> float:
        X, y, groups = self.train
        rng = np.random.default_rng(1)
        episode = draw_episode(groups, n_shots, rng, forecast=self.forecast, most=TUNING_TASKS)
        s, q = episode.support, episode.query
        losses = []
        for penalty in PENALTIES:
            predicted = self._predict(penalty, X[s], y[s], groups[s], X[q], groups[q])
            if y.dtype.kind == "f":
                losses.append(task_errors(y[q], predicted, groups[q]).mean())
            else:
                losses.append(log_loss(y[q], predicted, labels=[0, 1]))
        return float(PENALTIES[int(np.argmin(losses))])


class SupportMean:
    """The mean of the support."""

    def fit(self, X: Array, y: Array, groups: Array) -> SupportMean:
        return self

    def predict(self, Xs: Array, ys: Array, gs: Array, Xq: Array, gq: Array) -> Array:
        labels, code = np.unique(gs, return_inverse=True)
        mean = np.bincount(code, ys) / np.bincount(code)
        return mean[np.searchsorted(labels, gq)]


class Pooled:
    """One model for all tasks, which learns nothing from the support."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Array, y: Array, groups: Array) -> Pooled:
        self.model.fit(X, y)
        return self

    def predict(self, Xs: Array, ys: Array, gs: Array, Xq: Array, gq: Array) -> Array:
        return outputs(self.model, Xq)


class Meta:
    """A meta-learner: adapt to all supports at once, then predict."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Array, y: Array, groups: Array) -> Meta:
        self.model.fit(X, y, groups=groups)
        return self

    def predict(self, Xs: Array, ys: Array, gs: Array, Xq: Array, gq: Array) -> Array:
        return outputs(self.model.adapt(Xs, ys, groups=gs), Xq, groups=gq)


def outputs(model: Any, X: Array, **groups: Array) -> Array:
    """Return predictions, of a classifier the probability of class 1."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X, **groups)[:, 1]
    return model.predict(X, **groups)


def regressors(forecast: bool, quick: bool, seed: int) -> dict[str, Callable[[], Any]]:
    boosting = partial(HistGradientBoostingRegressor, **BOOSTING, random_state=seed)
    bayes = skmeta.EmpiricalBayesRegressor
    multi = {**MULTI, "max_iter": 100} if quick else MULTI

    def ridge(penalty: float) -> Any:
        return Ridge(alpha=penalty)

    return {
        "support mean": SupportMean,
        "per-task": lambda: PerTask(ridge, 1.0),
        "per-task tuned": lambda: PerTask(ridge, None, forecast),
        "pooled linear": lambda: Pooled(Ridge(alpha=1.0)),
        "pooled HGB": lambda: Pooled(boosting()),
        "linear+intercept": lambda: Meta(bayes("intercept")),
        "HGB+intercept": lambda: Meta(bayes("intercept", offset=boosting())),
        "EB": lambda: Meta(bayes()),
        "HGB+EB": lambda: Meta(bayes(offset=boosting())),
        "MultiHead": lambda: Meta(skmeta.MultiHeadRegressor(random_state=seed, **multi)),
    }


def classifiers(forecast: bool, quick: bool, seed: int) -> dict[str, Callable[[], Any]]:
    boosting = partial(HistGradientBoostingClassifier, **BOOSTING, random_state=seed)
    bayes = partial(skmeta.EmpiricalBayesClassifier, label_sets="shared")
    multi = {**MULTI, "max_iter": 100} if quick else MULTI

    def logistic(penalty: float) -> Any:
        return LogisticRegression(C=1 / penalty, max_iter=1000)

    return {
        "per-task": lambda: PerTask(logistic, 1.0),
        "per-task tuned": lambda: PerTask(logistic, None, forecast),
        "pooled linear": lambda: Pooled(LogisticRegression(max_iter=1000)),
        "pooled HGB": lambda: Pooled(boosting()),
        "linear+intercept": lambda: Meta(bayes("intercept")),
        "HGB+intercept": lambda: Meta(bayes("intercept", offset=boosting())),
        "EB": lambda: Meta(bayes()),
        "HGB+EB": lambda: Meta(bayes(offset=boosting())),
        "MultiHead": lambda: Meta(
            skmeta.MultiHeadClassifier(label_sets="shared", random_state=seed, **multi)
        ),
    }


BASELINES = ("support mean", "per-task", "per-task tuned", "pooled linear", "pooled HGB")


def draw_episode(
    groups: Array, n_shots: int, rng: np.random.Generator, *, forecast: bool, most: int
) -> Episode:
    """Choose tasks, and the support and query rows of each; rows of a task are in time order."""
    support, query = [], []
    labels, counts = np.unique(groups, return_counts=True)
    enough = labels[counts >= n_shots + 2]  # two queries at least
    chosen = np.sort(rng.permutation(len(enough))[:most])
    for task in enough[chosen]:
        rows = np.flatnonzero(groups == task)
        if not forecast:
            rows = rng.permutation(rows)
        support.append(rows[:n_shots])
        query.append(rng.permutation(rows[n_shots:])[:QUERIES])
    return Episode(np.concatenate(support), np.concatenate(query))


def training_rows(groups: Array, rows: Array, rng: np.random.Generator) -> Array:
    """Keep at most so many tasks, and rows of each."""
    kept = []
    for task in rng.permutation(np.unique(groups[rows]))[:MOST_TASKS]:
        mine = rows[groups[rows] == task]
        kept.append(np.sort(rng.permutation(mine)[:MOST_ROWS]))
    return np.sort(np.concatenate(kept))


def task_errors(y: Array, predicted: Array, groups: Array) -> Array:
    """Return the mean squared error of each task."""
    _, code = np.unique(groups, return_inverse=True)
    return np.bincount(code, (y - predicted) ** 2) / np.bincount(code)


def scores(truth: Array, predicted: Array, tasks: Array, scale: float) -> dict[str, float]:
    """Score predictions; with a `scale` they are of a regression."""
    if scale:
        return {"nrmse": float(np.sqrt(task_errors(truth, predicted, tasks).mean()) / scale)}
    _, task, n_rows = np.unique(tasks, return_inverse=True, return_counts=True)
    weight = 1.0 / n_rows[task]
    clipped = np.clip(predicted, 1e-6, 1 - 1e-6)
    return {
        "accuracy": float(accuracy_score(truth, predicted > 0.5, sample_weight=weight)),
        "auc": float(roc_auc_score(truth, predicted, sample_weight=weight)),
        "log_loss": float(log_loss(truth, clipped, sample_weight=weight)),
    }


def standard_errors(
    truth: Array, predicted: Array, episodes: Array, tasks: Array, scale: float
) -> dict[str, float]:
    """Return how much scores vary with the tasks that are drawn, by the bootstrap over tasks."""
    rng = np.random.default_rng(0)
    order = np.argsort(tasks, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(tasks[order])) + 1)
    found = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(parts), size=len(parts))
        rows = np.concatenate([parts[task] for task in chosen])
        copy = np.repeat(np.arange(len(parts)), [len(parts[task]) for task in chosen])
        again = copy * (episodes.max() + 1) + episodes[rows]
        found.append(scores(truth[rows], predicted[rows], again, scale))
    return {f"{metric}_error": float(np.std([f[metric] for f in found])) for metric in found[0]}


def evaluate(name: str, only: list[str] | None, quick: bool, seed: int) -> list[dict[str, Any]]:
    """Return one record for each learner and number of shots."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    collection = load_collection(name)
    X, y = collection.data, collection.target
    regression = collection.task_type == "regression"
    scale = float(y.std()) if regression else 0.0
    groups = np.unique(collection.groups.astype(str), return_inverse=True)[1]
    make = (regressors if regression else classifiers)(collection.forecast, quick, seed)
    make = {key: value for key, value in make.items() if not only or key in only}
    n_draws = 1 if collection.forecast or quick else DRAWS
    parts: dict[int, list[Array]] = defaultdict(list)
    found: dict[tuple[str, int], list[Array]] = defaultdict(list)
    fit_seconds: dict[str, float] = defaultdict(float)
    adapt_seconds: dict[tuple[str, int], float] = defaultdict(float)
    splitter = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    folds = list(splitter.split(X, groups=groups))
    for fold, (train, test) in enumerate(folds[:1] if quick else folds):
        rng = np.random.default_rng([seed, fold])
        train = training_rows(groups, train, rng)
        Z = StandardScaler().fit(X[train]).transform(X)
        episodes = []
        for k in {**REGRESSION, **CLASSIFICATION}[name]:
            for draw in range(n_draws):
                episode = draw_episode(
                    groups[test], k, rng, forecast=collection.forecast, most=TEST_TASKS
                )
                support, query = test[episode.support], test[episode.query]
                episodes.append((k, support, query))
                parts[k].append(np.stack([query, groups[query] * DRAWS + draw]))
        for key in make:
            start = time.perf_counter()
            learner = make[key]().fit(Z[train], y[train], groups[train])
            fit_seconds[key] += time.perf_counter() - start
            for k, s, q in episodes:
                start = time.perf_counter()
                predicted = learner.predict(Z[s], y[s], groups[s], Z[q], groups[q])
                adapt_seconds[key, k] += time.perf_counter() - start
                found[key, k].append(predicted)
    records = []
    for (key, k), values in found.items():
        predicted = np.concatenate(values)
        query, tasks = np.concatenate(parts[k], axis=1)
        record = {"collection": name, "seed": seed, "shots": k, "learner": key}
        record |= scores(y[query], predicted, tasks, scale)
        if key == "EB":
            record |= standard_errors(y[query], predicted, tasks, groups[query], scale)
        records.append(
            record | {"fit_seconds": fit_seconds[key], "adapt_seconds": adapt_seconds[key, k]}
        )
    return records


Scores = dict[tuple[str, int], dict[str, dict[str, float]]]

COLUMNS = (
    *BASELINES,
    *("linear+intercept", "HGB+intercept", "EB", "HGB+EB", "MultiHead"),
)
WITH_REFERENCE = {  # our column: the pooled model that it starts from
    "linear+intercept": "pooled linear",
    "HGB+intercept": "pooled HGB",
    "EB": "pooled linear",
    "HGB+EB": "pooled HGB",
}
METRICS = {"nrmse": "nRMSE", "accuracy": "accuracy", "auc": "AUC", "log_loss": "log loss"}
LOWER_IS_BETTER = ("nrmse", "log_loss")


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.2f}"


def percent(value: float) -> str:
    return f"{100 * value:+.1f} %"


def shortfall(metric: str, value: float, target: float) -> float:
    """Return how much worse `value` is than `target`, relative to it."""
    worse = value - target if metric in LOWER_IS_BETTER else target - value
    return worse / target


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def score_table(scored: Scores, metric: str) -> list[str]:
    """Return the table of one metric; under each row of ours, the reference."""
    columns = [
        name for name in COLUMNS if any(metric in found.get(name, {}) for found in scored.values())
    ]
    lines = [row(["collection", "k", "", *columns]), row(["---"] * (3 + len(columns)))]
    for (name, k), found in scored.items():
        values = {key: found[key].get(metric) for key in columns if key in found}
        known = [value for value in values.values() if value is not None]
        if not known:
            continue
        best = min(known) if metric in LOWER_IS_BETTER else max(known)
        cells = [
            f"**{number(values[key])}**" if values.get(key) == best else number(values.get(key))
            for key in columns
        ]
        lines.append(row([f"`{name}`", str(k), "here", *cells]))
        reference = REFERENCE.get(name, {}).get(str(k), {})
        cells = [number(reference.get(key, {}).get(metric)) for key in columns]
        if any(cells):
            lines.append(row(["", "", "reference", *cells]))
    return lines


def verdicts(scored: Scores) -> tuple[list[str], list[str]]:
    """Return the tables of verdicts: against the reference, and against the best baseline."""
    against = [
        row(["collection", "k", "metric", "s.e.", *WITH_REFERENCE, "verdict"]),
        row(["---"] * (5 + len(WITH_REFERENCE))),
    ]
    versus = [
        row(["collection", "k", "metric", "best baseline", "best of ours", "worse by", "verdict"]),
        row(["---"] * 7),
    ]
    for (name, k), found in scored.items():
        reference = REFERENCE.get(name, {}).get(str(k), {})
        for metric, title in METRICS.items():
            values = {key: scores[metric] for key, scores in found.items() if metric in scores}
            if not values:
                continue
            start = [f"`{name}`", str(k), title]
            cells, verdict = compare(metric, values, reference)
            if any(cells):
                error = found.get("EB", {}).get(f"{metric}_error", 0.0) / values.get("EB", 1.0)
                against.append(row([*start, f"{100 * error:.1f} %", *cells, verdict]))
            choose = min if metric in LOWER_IS_BETTER else max
            theirs = {key: value for key, value in values.items() if key in BASELINES}
            ours = {key: value for key, value in values.items() if key not in BASELINES}
            if theirs and ours:
                one, other = choose(theirs, key=theirs.get), choose(ours, key=ours.get)
                worse = shortfall(metric, ours[other], theirs[one])
                cells = [f"{number(theirs[one])} {one}", f"{number(ours[other])} {other}"]
                verdict = "ok" if worse <= 0.01 else "**short**"
                versus.append(row([*start, *cells, percent(worse), verdict]))
    return against, versus


def compare(
    metric: str, values: dict[str, float], reference: dict[str, dict[str, float]]
) -> tuple[list[str], str]:
    """Return how much worse than the reference each of our columns is, and the verdict."""
    cells, states = [], []
    for key, pooled in WITH_REFERENCE.items():
        target = reference.get(key, {}).get(metric)
        if target is None or key not in values:
            cells.append("")
            continue
        worse = shortfall(metric, values[key], target)
        cells.append(percent(worse))
        if worse <= 0.02:
            states.append("ok")
        elif pooled in values and metric in reference.get(pooled, {}):
            base = reference[pooled][metric]
            by_gap = shortfall(metric, values[key] / values[pooled], target / base)
            cells[-1] += f" ({percent(by_gap)} by gap)"
            states.append("ok by gap" if by_gap <= 0.02 else "**short**")
        else:
            states.append("**short**")
    order = ("**short**", "ok by gap", "ok")
    return cells, min(states, key=order.index) if states else ""


def seconds_table(records: list[dict[str, Any]]) -> list[str]:
    fits: dict[str, dict[str, float]] = defaultdict(dict)
    adapts: dict[str, float] = defaultdict(float)
    for record in records:
        fits[record["learner"]][record["collection"]] = record["fit_seconds"]
        adapts[record["learner"]] += record["adapt_seconds"]
    lines = [row(["learner", "fit", "adapt and predict", "slowest fit"]), row(["---"] * 4)]
    for key in (name for name in COLUMNS if name in fits):
        slowest = max(fits[key], key=fits[key].get)
        lines.append(
            row(
                [
                    key,
                    f"{sum(fits[key].values()):.1f}",
                    f"{adapts[key]:.1f}",
                    f"`{slowest}` {fits[key][slowest]:.1f}",
                ]
            )
        )
    return lines


PAGE = """# Real collections of tasks

Generated by `python benchmarks/real_collections.py --markdown docs/real_collections.md`; the
numbers are in `real_collections.json` beside this page.

Twelve collections of regression tasks and five of classification tasks
(`skmeta.datasets.load_collection`). Whole tasks are held out, in five folds. A held-out task shows
k rows, drawn at random (three draws) or, in `wagepan`, `gapminder12_forecast` and
`egsingle_child`, the first in time, and is asked for at most 50 others. At most 400 tasks of 200
rows are trained on, at most 60 tested in a fold. Features are standardised over the training
rows. Every learner has one setting for all collections. Scores and seconds are means over
{seeds} seeds, each with folds, draws and initial weights of its own, and over more where a
collection is so small that they would not meet {least} tasks:
{more}.

- **nRMSE**: root of the mean over tasks of the mean squared error in the task, divided by the
  standard deviation of the targets. Accuracy, AUC and log loss weight rows so that all tasks
  count alike.
- **per-task**: ridge or logistic regression on the support alone, with penalty 1; **tuned**: with
  the penalty that is best on episodes made of the training tasks.
- **pooled linear** (ridge or logistic) and **pooled HGB** (`HistGradientBoosting*` with {boosting})
  learn nothing from the support. The setting of the boosting, the same as baseline and as offset,
  was chosen among eleven by the error of the pooled model on these collections; with
  scikit-learn's defaults the pooled model is mostly worse.
- **linear+intercept**, **EB**: `EmpiricalBayes*` with `effects="intercept"` and with its defaults;
  **HGB+intercept**, **HGB+EB**: the same with the boosting as `offset`.
- **MultiHead**: `MultiHead*` with {multi}.
- **reference**: an independent implementation of the same protocol, with its own draw of tasks.

## Regression: nRMSE

{nrmse}

## Classification: accuracy

{accuracy}

## Classification: AUC

{auc}

## Classification: log loss

{log_loss}

## Against the reference

How much worse (+) or better (-) than the reference each variant of empirical Bayes is. Up to 2 %
is "ok". Where it is more, "by gap" compares what is gained over the pooled model, since an easier
or harder draw of test tasks moves both; "s.e." is the standard error of EB's own score over the
drawing of tasks, to which the reference adds one like it.

{against}

## Against the best baseline

Both sides are the best on the test tasks. Up to 1 % worse is "ok".

{versus}

## Seconds

Over all collections and folds, one thread.

{seconds}
"""


def settings(params: dict[str, Any]) -> str:
    given = [f"`{key}={value!r}`" for key, value in params.items()]
    return ", ".join(given) or "its defaults"


def seeds_needed(name: str) -> range:
    """Return seeds enough to meet `LEAST_TASKS` tasks, each of which a seed holds out once."""
    n_tasks = len(np.unique(load_collection(name).groups.astype(str)))
    return range(max(LEAST_SEEDS, -(-LEAST_TASKS // n_tasks)))


def over_seeds(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records with the numbers averaged over the seeds."""
    same: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        same[record["collection"], record["shots"], record["learner"]].append(record)
    return [
        group[0]
        | {
            key: float(np.mean([record[key] for record in group]))
            for key, value in group[0].items()
            if isinstance(value, float)
        }
        for group in same.values()
    ]


def page(records: list[dict[str, Any]]) -> str:
    """Return the result page."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for record in records:
        seeds[record["collection"]].add(record["seed"])
    records = over_seeds(records)
    scored: Scores = defaultdict(dict)
    for record in records:
        scored[record["collection"], record["shots"]][record["learner"]] = record
    against, versus = verdicts(scored)
    parts = {metric: score_table(scored, metric) for metric in METRICS}
    parts |= {"against": against, "versus": versus, "seconds": seconds_table(records)}
    return PAGE.format(
        seeds=min(map(len, seeds.values())),
        more=", ".join(
            f"`{name}` {len(found)}" for name, found in seeds.items() if len(found) > LEAST_SEEDS
        ),
        least=LEAST_TASKS,
        boosting=settings(BOOSTING),
        multi=settings(MULTI),
        **{name: "\n".join(lines) for name, lines in parts.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", help="a collection; all by default")
    parser.add_argument("--learner", action="append", help="a column; all by default")
    parser.add_argument("--quick", action="store_true", help="one fold, one draw, few updates")
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="of folds, draws and learners; by default as needed"
    )
    parser.add_argument("--jobs", type=int, default=2, help="collections at a time")
    parser.add_argument("--markdown", type=Path, help="write the page, and a JSON file beside it")
    parser.add_argument("--reuse", action="store_true", help="make the page from that JSON file")
    arguments = parser.parse_args()
    if arguments.reuse:
        records = json.loads(arguments.markdown.with_suffix(".json").read_text())
    else:
        names = arguments.only or [*REGRESSION, *CLASSIFICATION]
        start = time.perf_counter()
        parts = Parallel(n_jobs=arguments.jobs)(
            delayed(evaluate)(name, arguments.learner, arguments.quick, seed)
            for name in names
            for seed in arguments.seeds or seeds_needed(name)
        )
        records = [record for part in parts for record in part]
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    text = page(records)
    if arguments.markdown:
        lines = ",\n".join(json.dumps(record) for record in records)
        arguments.markdown.with_suffix(".json").write_text(f"[\n{lines}\n]\n")
        arguments.markdown.write_text(text)
    print(text.partition("## ")[2])


if __name__ == "__main__":
    main()
