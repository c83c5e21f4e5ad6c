"""Adapt to 10,000 new tasks of 10 rows and predict 20 rows of each, in one batched call.

The learner is a ridge head on a 64-64 network. Printed are seconds, the memory that adapting and
predicting add to the process, and whether anything kept an autograd graph.

    python benchmarks/adapt_many.py
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

import skmeta

N_FEATURES, N_KNOWN, N_ASKED = 10, 10, 20


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train = skmeta.make_linear_tasks(200, 30, N_FEATURES, random_state=0)
    model = skmeta.RidgeHeadRegressor(hidden_layer_sizes=(64, 64), max_iter=50, random_state=0)
    model.fit(train.data.astype(np.float32), train.target, groups=train.groups)

    n_rows = N_KNOWN + N_ASKED
    new = skmeta.make_linear_tasks(arguments.tasks, n_rows, N_FEATURES, random_state=1)
    X = new.data.astype(np.float32)
    known = np.tile(np.arange(n_rows) < N_KNOWN, arguments.tasks)
    few = known & (new.groups < 100)
    model.adapt(X[few], new.target[few], groups=new.groups[few]).predict(
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
        adapted = model.adapt(X[known], new.target[known], groups=new.groups[known])
        middle = time.perf_counter()
        predicted = adapted.predict(X[~known], groups=new.groups[~known])
        end = time.perf_counter()
    assert predicted.shape == (arguments.tasks * N_ASKED,)
    heads = sum(value.nbytes for value in adapted._state.values()) / 2**20
    print(f"{arguments.tasks} tasks, {arguments.threads} thread(s)")
    print(f"adapt    {middle - start:6.2f} s")
    print(f"predict  {end - middle:6.2f} s")
    print(
        f"memory   {before:6.0f} MiB before, peak {peak_mib():.0f} MiB; the heads take {heads:.1f}"
    )
    print(f"tensors saved for an autograd graph: {graphs}")


if __name__ == "__main__":
    main()
