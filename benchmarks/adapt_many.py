"""Adapt to 10,000 new tasks of 10 rows and predict 20 rows of each, in one call each.

Networks have two layers of 64 units. Each learner runs in a process of its own. Printed are the
seconds of `adapt` and of `predict`, the memory that they add to the process at its peak, what the
adapted model keeps of the tasks, and whether anything kept an autograd graph.

    python benchmarks/adapt_many.py
    python benchmarks/adapt_many.py --learner RidgeHeadRegressor SVMHeadClassifier --threads 2
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

import numpy as np
import torch

import skmeta

N_FEATURES, N_KNOWN, N_ASKED = 10, 10, 20
LEARNERS = (
    "EmpiricalBayesRegressor",
    "RidgeHeadRegressor",
    "BayesianHeadRegressor",
    "SVMHeadRegressor",
    "DeepKernelRegressor",
    "ConditionalNeuralProcessRegressor",
    "MultiHeadRegressor",
    "CAMELRegressor",
    "MAMLRegressor",
    "ANILRegressor",
    "EmpiricalBayesClassifier",
    "RidgeHeadClassifier",
    "LogisticHeadClassifier",
    "SVMHeadClassifier",
    "PrototypicalClassifier",
    "MatchingClassifier",
    "DeepKernelClassifier",
    "MultiHeadClassifier",
    "GoodEmbeddingClassifier",
)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, n_tasks: int) -> str:
    """Return the row of one learner."""
    classify = name.endswith("Classifier")
    cls = getattr(skmeta, name)
    given = {"max_iter": 50, "random_state": 0} if "Empirical" not in name else {}
    if classify:
        given["label_sets"] = "shared"
    if name == "CAMELRegressor":
        given["n_parameters"] = 3
    train = skmeta.make_linear_tasks(200, 30, N_FEATURES, random_state=0)
    model = cls(**given)
    model.fit(
        train.data.astype(np.float32),
        train.target > 0 if classify else train.target,
        groups=train.groups,
    )

    n_rows = N_KNOWN + N_ASKED
    new = skmeta.make_linear_tasks(n_tasks, n_rows, N_FEATURES, random_state=1)
    X, y = new.data.astype(np.float32), new.target > 0 if classify else new.target
    known = np.tile(np.arange(n_rows) < N_KNOWN, n_tasks)
    few = known & (new.groups < 100)
    model.adapt(X[few], y[few], groups=new.groups[few]).predict(
        X[few], groups=new.groups[few]
    )  # what torch sets up once is not counted

    graphs = 0

    def seen(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal graphs
        graphs += 1
        return tensor

    before = peak_mib()
    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        start = time.perf_counter()
        adapted = model.adapt(X[known], y[known], groups=new.groups[known])
        middle = time.perf_counter()
        predicted = adapted.predict(X[~known], groups=new.groups[~known])
        end = time.perf_counter()
    assert predicted.shape == (n_tasks * N_ASKED,)
    arrays = (adapted._state or {}).values()
    kept = "anew" if adapted._state is None else f"{sum(a.nbytes for a in arrays) / 2**20:.1f}"
    seconds = f"{middle - start:.2f} | {end - middle:.2f}"
    return f"| {name} | {seconds} | {peak_mib() - before:.0f} | {kept} | {graphs} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learner", nargs="+", choices=LEARNERS, default=LEARNERS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.work:
        print(measure(arguments.learner[0], arguments.tasks))
        return
    print(f"{arguments.tasks} tasks, {arguments.threads} thread(s)\n")
    print("| learner | adapt, s | predict, s | memory added, MiB | kept, MiB | graph |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    for name in arguments.learner:
        command = [sys.executable, __file__, "--work", "--learner", name]
        command += ["--tasks", str(arguments.tasks), "--threads", str(arguments.threads)]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
