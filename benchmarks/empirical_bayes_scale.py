"""Empirical Bayes on many tasks: seconds to fit, adapt and predict, and the memory it takes.

python benchmarks/empirical_bayes_scale.py
python benchmarks/empirical_bayes_scale.py --tasks 100000 --effects diagonal
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import skmeta


def peak() -> float:
    """Return the most memory that this process has held, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measure(what: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    print(f"{what:<24}{time.perf_counter() - start:>8.2f} s{peak():>8.0f} MiB", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--effects", default="full")
    arguments = parser.parse_args()
    make = skmeta.make_linear_tasks
    size = arguments.tasks, arguments.rows, arguments.features
    tasks = make(*size, noise=0.5, random_state=0)
    codes = np.repeat(np.arange(arguments.tasks), arguments.rows)
    label = (np.random.default_rng(0).random(len(codes)) < 1 / (1 + np.exp(-tasks.target))) * 1
    print(f"{'before':<24}{'':>10}{peak():>8.0f} MiB   (tasks, rows, features) = {size}")
    for name, model, y in (
        ("regression", skmeta.EmpiricalBayesRegressor(arguments.effects), tasks.target),
        ("classification", skmeta.EmpiricalBayesClassifier(arguments.effects), label),
    ):
        fitted = measure(f"{name}: fit", lambda: model.fit(tasks.data, y, groups=codes))  # noqa: B023
        print(f"{'':<24}{fitted.n_iter_:>8} EM steps")
        adapted = measure("  adapt", lambda: fitted.adapt(tasks.data, y, groups=codes))  # noqa: B023
        measure("  predict", lambda: adapted.predict(tasks.data, groups=codes))  # noqa: B023


if __name__ == "__main__":
    main()
