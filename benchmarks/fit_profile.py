"""Where the time of a meta-update goes, on the CPU and on a GPU when there is one.

A public ``fit`` is timed by its own history; its parts are then repeated on their own: drawing and
gathering episodes, loss and meta-gradient, optimizer. What is left is skorch's bookkeeping.

    python benchmarks/fit_profile.py
    python benchmarks/fit_profile.py --compile --updates 5000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import skmeta
from skmeta.tasks import TaskData
from skmeta.training._adam import AdamKernel

WORKLOADS: dict[str, tuple[int, dict[str, Any]]] = {  # features, parameters
    "sinusoid, 1 step": (
        1,
        {"hidden_layer_sizes": (40, 40), "meta_batch_size": 25, "n_shots": 10, "n_queries": 10},
    ),
    "tabular, 5 steps": (
        32,
        {
            "hidden_layer_sizes": (128, 128),
            "meta_batch_size": 32,
            "n_shots": 20,
            "n_queries": 20,
            "n_inner_steps": 5,
        },
    ),
}


def seconds(function: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the seconds of one call."""
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def profile(device: str, compiled: bool, updates: int) -> None:
    print(f"{device}, {'compiled' if compiled else 'eager'}")
    columns = ("updates/s", "ms each", "drawing", "gradient", "optimizer", "bookkeeping")
    print(f"{'':<20}" + "".join(f"{column:>13}" for column in columns))
    for name, (n_features, params) in WORKLOADS.items():
        n_rows = params["n_shots"] + params["n_queries"]
        tasks = skmeta.make_linear_tasks(1000, n_rows, n_features, random_state=0)
        X, y = tasks.data.astype(np.float32), tasks.target.astype(np.float32)
        model = skmeta.MAMLRegressor(
            max_iter=updates, device=device, compile=compiled, random_state=0, **params
        ).fit(X, y, groups=tasks.groups)
        whole = float(np.median(model.net_.history[:, "dur"])) / model._updates_per_epoch
        data = TaskData.from_rows(X, y[:, None], tasks.groups)
        stream = model._stream(data, model._sampler(data, np.random.default_rng(0)))
        net, draw = model.net_, stream.episodes
        net._set_training(True)
        episode = next(draw)
        if compiled:
            net.compile_gradient(episode)
        repeats = max(20, updates // 5)
        parts = [
            seconds(lambda draw=draw: next(draw), device, repeats),
            seconds(lambda net=net, e=episode: net.train_step_single(e), device, repeats),
            seconds(AdamKernel(net.optimizer_).step, device, repeats),
        ]
        shares = [100 * part / whole for part in parts]
        shares.append(100 - sum(shares))
        print(
            f"{name:<20}{1 / whole:>13.0f}{1e3 * whole:>13.3f}"
            + "".join(f"{share:>11.0f} %" for share in shares)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        profile(device, arguments.compile, arguments.updates)


if __name__ == "__main__":
    main()
