"""Few-shot prediction on the real collections: learners side by side with classical baselines.

Whole tasks are held out (5 folds). A held-out task shows k rows, three times at random or once as
the first rows in time (T), and is asked for at most 50 others. Every learner is fitted once for
each fold, and adapts to all held-out tasks in one call. Regression is scored by nRMSE, the root of
the mean over tasks of the task's mean squared error, divided by the standard deviation of the
targets; classification by accuracy, AUC and log loss over all query rows.

Needs ``pip install "skmeta[datasets]"``.

    python benchmarks/real_collections.py --markdown docs/real_collections.md
    python benchmarks/real_collections.py --only nox --only cracker --quick
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # collections run side by side

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
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
from sklearn.pipeline import make_pipeline
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
DRAWS = 3
MOST_TASKS, MOST_ROWS = 400, 200  # to train on
TEST_TASKS, QUERIES = 60, 50  # in a fold, of a task
PENALTIES = 10.0 ** np.arange(-3, 4)
TUNING_TASKS = 60

# One setting for all collections, for the pooled model as for the offset.
BOOSTING: dict[str, Any] = {"max_leaf_nodes": 15, "learning_rate": 0.05, "random_state": 0}
MULTI: dict[str, Any] = {"random_state": 0}


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
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X, **groups)[:, 1]
    return model.predict(X, **groups)


def regressors(forecast: bool, quick: bool) -> dict[str, Callable[[], Any]]:
    boosting = partial(HistGradientBoostingRegressor, **BOOSTING)
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
        "MultiHead": lambda: Meta(skmeta.MultiHeadRegressor(**multi)),
    }


def classifiers(forecast: bool, quick: bool) -> dict[str, Callable[[], Any]]:
    boosting = partial(HistGradientBoostingClassifier, **BOOSTING)
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
        "MultiHead": lambda: Meta(skmeta.MultiHeadClassifier(label_sets="shared", **multi)),
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


def folds(collection: Any, n_folds: int) -> Iterator[tuple[Array, Array]]:
    splitter = GroupKFold(FOLDS, shuffle=True, random_state=0)
    for number, (train, test) in enumerate(
        splitter.split(collection.data, groups=collection.codes)
    ):
        if number < n_folds:
            yield train, test


def evaluate(name: str, only: list[str] | None, quick: bool) -> list[dict[str, Any]]:
    """Return one record for each learner and number of shots."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    collection = load_collection(name)
    X, y = collection.data, collection.target
    regression = collection.task_type == "regression"
    groups = np.unique(collection.groups.astype(str), return_inverse=True)[1]
    collection.codes = groups
    shots = {**REGRESSION, **CLASSIFICATION}[name]
    learners = (regressors if regression else classifiers)(collection.forecast, quick)
    learners = {key: make for key, make in learners.items() if not only or key in only}
    n_draws = 1 if collection.forecast or quick else DRAWS
    truth: dict[int, list[Array]] = defaultdict(list)
    found: dict[tuple[str, int], list[Array]] = defaultdict(list)
    fit_seconds: dict[str, float] = defaultdict(float)
    adapt_seconds: dict[tuple[str, int], float] = defaultdict(float)
    for number, (train, test) in enumerate(folds(collection, 1 if quick else FOLDS)):
        rng = np.random.default_rng(number)
        train = training_rows(groups, train, rng)
        Z = StandardScaler().fit(X[train]).transform(X)
        episodes = [
            (k, draw_episode(groups[test], k, rng, forecast=collection.forecast, most=TEST_TASKS))
            for k in shots
            for _ in range(n_draws)
        ]
        for key, make in learners.items():
            start = time.perf_counter()
            learner = make().fit(Z[train], y[train], groups[train])
            fit_seconds[key] += time.perf_counter() - start
            for k, episode in episodes:
                s, q = test[episode.support], test[episode.query]
                start = time.perf_counter()
                predicted = learner.predict(Z[s], y[s], groups[s], Z[q], groups[q])
                adapt_seconds[key, k] += time.perf_counter() - start
                if regression:
                    predicted = task_errors(y[q], predicted, groups[q])
                found[key, k].append(predicted)
        for k, episode in episodes:
            truth[k].append(y[test[episode.query]])
    records = []
    for (key, k), parts in found.items():
        values = np.concatenate(parts)
        if regression:
            scores = {"nrmse": float(np.sqrt(values.mean()) / y.std())}
        else:
            actual = np.concatenate(truth[k])
            scores = {
                "accuracy": float(accuracy_score(actual, values > 0.5)),
                "auc": float(roc_auc_score(actual, values)),
                "log_loss": float(log_loss(actual, np.clip(values, 1e-6, 1 - 1e-6))),
            }
        seconds = {"fit_seconds": fit_seconds[key], "adapt_seconds": adapt_seconds[key, k]}
        records.append({"collection": name, "shots": k, "learner": key, **scores, **seconds})
    return records


COLUMNS = (
    *("support mean", "per-task", "per-task tuned", "pooled linear", "pooled HGB"),
    *("linear+intercept", "HGB+intercept", "EB", "HGB+EB", "MultiHead"),
)
METRICS = {"regression": ("nrmse",), "classification": ("accuracy", "auc", "log_loss")}
LOWER_IS_BETTER = ("nrmse", "log_loss")


def number(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.2f}"


def table(records: list[dict[str, Any]], metric: str) -> list[str]:
    """Return a table of one metric, each row of ours followed by the reference."""
    rows: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for record in records:
        if metric in record:
            rows[record["collection"], record["shots"]][record["learner"]] = record[metric]
    learners = [name for name in COLUMNS if any(name in row for row in rows.values())]
    lines = [
        "| collection | k | | " + " | ".join(learners) + " |",
        "|---|---|---|" + "---|" * len(learners),
    ]
    for (name, k), row in rows.items():
        reference = REFERENCE.get(name, {}).get(str(k), {})
        theirs = {learner: scores.get(metric) for learner, scores in reference.items()}
        for title, values in (("here", row), ("reference", theirs)):
            if any(value is not None for value in values.values()):
                cells = [
                    number(values[learner]) if values.get(learner) is not None else ""
                    for learner in learners
                ]
                lines.append(f"| `{name}` | {k} | {title} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", help="a collection; all by default")
    parser.add_argument("--learner", action="append", help="a column; all by default")
    parser.add_argument("--quick", action="store_true", help="one fold, one draw, few updates")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, help="write the page, and a JSON file beside it")
    arguments = parser.parse_args()
    names = arguments.only or [*REGRESSION, *CLASSIFICATION]
    parts = Parallel(n_jobs=arguments.jobs)(
        delayed(evaluate)(name, arguments.learner, arguments.quick) for name in names
    )
    records = [record for part in parts for record in part]
    for metric in ("nrmse", "accuracy", "auc", "log_loss"):
        if any(metric in record for record in records):
            print(metric, *table(records, metric), sep="\n")
    seconds = defaultdict(float)
    for record in records:
        seconds[record["learner"]] += (
            record["fit_seconds"]
            / len({r["shots"] for r in records if r["collection"] == record["collection"]})
            + record["adapt_seconds"]
        )
    print(dict(seconds))
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
