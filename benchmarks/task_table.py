"""Build the task table of 1,000,000 rows in 100,000 tasks, and draw episodes from it.

python benchmarks/task_table.py
"""

from __future__ import annotations

import time

import numpy as np

from skmeta.tasks import EpisodeSampler, TaskData, TaskTable, as_labels, row_keys

N_ROWS, N_TASKS = 1_000_000, 100_000


def main() -> None:
    rng = np.random.default_rng(0)
    codes, X = rng.integers(N_TASKS, size=N_ROWS), rng.normal(size=(N_ROWS, 10))
    labels = {
        "ints": codes,
        "strings": np.array([f"task {code}" for code in codes], dtype=object),
        "tuples": as_labels([(int(code) % 7, int(code)) for code in codes]),
    }
    for name, given in labels.items():
        start = time.perf_counter()
        table = TaskTable.from_labels(as_labels(given))
        seconds = time.perf_counter() - start
        size = table.order.nbytes / N_ROWS
        print(f"table of {name:<8} {seconds:6.2f} s, {size:.0f} bytes a row")
    start = time.perf_counter()
    TaskTable.from_labels(codes, row_keys(X))
    print(f"in order of content   {time.perf_counter() - start:6.2f} s")

    data = TaskData.from_rows(X, X[:, :1], codes)
    sampler = EpisodeSampler(data, (1, 5), 5, random=rng)
    start = time.perf_counter()
    blocks, n_episodes = sampler.blocks(25), 0
    while n_episodes < 25 * 2000:
        n_episodes += len(next(blocks).support)
    per_batch = 25 * (time.perf_counter() - start) / n_episodes
    print(f"meta-batch of 25 ragged episodes {1e3 * per_batch:6.3f} ms")


if __name__ == "__main__":
    main()
