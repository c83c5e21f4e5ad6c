"""Meta-training within groups of tasks, on collections of several domains.

Tasks of one feature from four families (sinusoids, lines, parabolas, steps) are trained on
together: without groups, or with `TaskGrouping` on groups of unlike, mixed, like or random tasks,
with and without the penalty on the variance of gradients. New tasks of all families give 10
support rows each; the error is the mean squared error on 40 other rows, in units of the variance
over all rows.

    python benchmarks/grouping.py --json out/grouping.json --picture out/grouping_variance.png
    python benchmarks/grouping.py --report out/grouping.json

A seed takes some four minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

import skmeta

N_TRAIN, N_TEST, N_SHOTS, N_QUERIES = 25, 100, 10, 40  # tasks of each family; rows
FAMILIES = ("sinusoid", "line", "parabola", "step")
NETWORK = {"hidden_layer_sizes": (40, 40), "meta_batch_size": 8, "n_shots": 10, "n_queries": 10}
LEARNERS: dict[str, Any] = {
    "MAML": skmeta.MAMLRegressor(n_adapt_steps=10, max_iter=1500, **NETWORK),
    "ridge head": skmeta.RidgeHeadRegressor(max_iter=1000, **NETWORK),
}
GROUPS = ("none", "random", "similar", "mixed", "dissimilar")
BETAS = (0.0, 1e-4, 1e-3)


def collection(n_tasks: int, n_rows: int, seed: int) -> tuple[Any, ...]:
    """Return rows of tasks of all families."""
    random = np.random.default_rng(seed)
    family = np.repeat(np.arange(len(FAMILIES)), n_tasks)
    a, b = random.uniform(-1, 1, size=(2, len(family), 1))
    x = random.uniform(-5, 5, size=(len(family), n_rows))
    curves = (
        3 * a * np.sin(x + np.pi * b),
        a * x + 2 * b,
        0.3 * a * x**2 - 3 * b,
        3 * a * np.sign(x - 3 * b) + b,
    )
    y = np.choose(family[:, None], curves) + random.normal(scale=0.1, size=x.shape)
    groups = np.repeat(np.arange(len(family)), n_rows)
    return x.reshape(-1, 1).astype(np.float32), y.ravel(), groups, family


def learner_of(base: Any, group: str, beta: float, seed: int) -> Any:
    base = clone(base).set_params(random_state=seed)
    n_groups = 1 if group == "none" else 5
    how = "random" if group == "none" else group
    return skmeta.TaskGrouping(base, group=how, n_groups=n_groups, beta=beta, random_state=seed)


def errors(model: Any, seed: int) -> np.ndarray:
    """Return the error of each test task."""
    x, y, groups, _ = collection(N_TEST, N_SHOTS + N_QUERIES, 1000 + seed)
    support = np.tile(np.arange(N_SHOTS + N_QUERIES) < N_SHOTS, len(FAMILIES) * N_TEST)
    adapted = model.adapt(x[support], y[support], groups=groups[support])
    predicted = adapted.predict(x[~support], groups=groups[~support])
    error = (predicted - y[~support]) ** 2
    return error.reshape(-1, N_QUERIES).mean(axis=1) / y.var()


def run(seeds: list[int]) -> list[dict[str, Any]]:
    rows = []
    print(
        f"{'learner':<12}{'groups':<12}{'β':>6}{'seed':>6}{'error':>9}{'variance':>10}{'fit s':>7}"
    )
    for seed in seeds:
        x, y, groups, _ = collection(N_TRAIN, 40, seed)
        for name, base in LEARNERS.items():
            for group in GROUPS:
                for beta in BETAS:
                    start = time.perf_counter()
                    model = learner_of(base, group, beta, seed).fit(x, y, groups=groups)
                    seconds = time.perf_counter() - start
                    error = errors(model, seed)
                    variance = model.gradient_variance_
                    row = {
                        "learner": name, "group": group, "beta": beta, "seed": seed,
                        "error": float(error.mean()), "median": float(np.median(error)),
                        "families": error.reshape(len(FAMILIES), -1).mean(axis=1).tolist(),
                        "late_variance": float(np.median(variance[-50:])),
                        "variance": variance.tolist(), "seconds": seconds,
                    }  # fmt: skip
                    rows.append(row)
                    print(
                        f"{name:<12}{group:<12}{beta:>6}{seed:>6}{row['error']:>9.4f}"
                        f"{row['late_variance']:>10.4f}{seconds:>7.1f}",
                        flush=True,
                    )
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """Return tables of errors and of variances, means over seeds ± 95 %."""
    lines = []
    for name in dict.fromkeys(row["learner"] for row in rows):
        for key, title in (("error", "error"), ("late_variance", "variance of gradients")):
            lines += [
                f"\n{name}, {title}\n",
                "| groups |" + "".join(f" β = {b:g} |" for b in BETAS),
                "|---|" + "---|" * len(BETAS),
            ]
            for group in GROUPS:
                cells = []
                for beta in BETAS:
                    found = np.array(
                        [
                            row[key]
                            for row in rows
                            if (row["learner"], row["group"], row["beta"]) == (name, group, beta)
                        ]
                    )
                    half = 1.96 * found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0
                    cells.append(f" {found.mean():.3g} ± {half:.2g} |")
                lines.append(f"| {group} |{''.join(cells)}")
    return "\n".join(lines)


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the variance of gradients over training, with and without the penalty."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["learner"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(10, 3.6), layout="constrained")
    for ax, name in zip(axes, names, strict=True):
        for group, color in (("similar", "C2"), ("dissimilar", "C3")):
            for beta, line in ((0.0, "-"), (1e-3, "--")):
                found = [
                    row["variance"]
                    for row in rows
                    if (row["learner"], row["group"], row["beta"]) == (name, group, beta)
                ]
                curve = np.median(found, axis=0)
                smooth = np.convolve(curve, np.ones(21) / 21, mode="valid")
                step = LEARNERS[name].max_iter / len(curve)
                at = step * (10.5 + np.arange(len(smooth)))  # middles of the windows
                ax.plot(at, smooth, line, color=color, label=f"{group}, β = {beta:g}")
        ax.set(title=name, xlabel="Meta-updates", ylabel="Variance of gradients", yscale="log")
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--report", type=Path, help="print the tables of an earlier run")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", skmeta.DivergenceWarning)
    if arguments.report:
        rows = json.loads(arguments.report.read_text())
    else:
        rows = run(arguments.seeds)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows))
    print(report(rows))
    if arguments.picture:
        picture(rows, arguments.picture)


if __name__ == "__main__":
    main()
