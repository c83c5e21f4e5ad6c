"""Peak memory of meta-training against inner steps, order and chunks of tasks.

Each line is a ``fit`` in a process of its own: MLP 32-256-256-1, 64 tasks of 20 + 20 rows in a
meta-update. MiB above what the imports and the data take.

    python benchmarks/gradient_memory.py
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import torch

import skmeta

SETTINGS: list[dict[str, Any]] = [
    *({"n_inner_steps": steps} for steps in (1, 2, 4, 8)),
    *({"n_inner_steps": steps, "first_order": True} for steps in (1, 8)),
    *({"n_inner_steps": 8, "chunk_size": size} for size in (32, 16, 8)),
]


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(params: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    tasks = skmeta.make_linear_tasks(64, 40, 32, random_state=0)
    learner = skmeta.MAMLRegressor(
        hidden_layer_sizes=(256, 256), n_shots=20, n_queries=20, meta_batch_size=64, random_state=0
    )
    X = tasks.data.astype(np.float32)
    learner.set_params(max_iter=1, n_inner_steps=0).fit(X, tasks.target, groups=tasks.groups)
    before = peak()
    learner.set_params(max_iter=5, **params).fit(X, tasks.target, groups=tasks.groups)
    print(peak() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(json.loads(arguments.work))
        return
    for params in SETTINGS:
        command = [sys.executable, __file__, "--work", json.dumps(params)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        label = ", ".join(f"{name}={value}" for name, value in params.items())
        print(f"{label:<40}{float(found):8.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
