"""Where groups of unlike tasks win: families that pull apart, and large outer steps.

Linear tasks of three features from four families, whose coefficients lie around four opposed
centres; MAML on a linear model, trained by plain gradient descent with an outer rate that is small
or large. Meta-updates are of 4 tasks, and there are 25 groups of about 4 tasks each. New tasks of
all families give 5 support rows; the error is the mean squared error on 25 other rows.

    python benchmarks/opposed_families.py
    python benchmarks/opposed_families.py --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import torch

import skmeta
from skmeta.metrics._interval import mean_over_tasks

N_TRAIN, N_TEST, N_SHOTS, N_ROWS = 25, 100, 5, 30  # tasks of each family; rows
CENTRES = np.array([[8, 0, 0, 3], [-8, 0, 0, -3], [0, 8, 0, 3], [0, -8, 0, -3]])
GROUPS = ("none", "random", "similar", "mixed", "dissimilar")
RATES = (0.1, 0.4, 0.8)


def collection(n_tasks: int, seed: int) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    family = np.repeat(np.arange(len(CENTRES)), n_tasks)
    x = random.uniform(-1, 1, size=(len(family), N_ROWS, 3))
    w = CENTRES[family] + random.normal(scale=0.3, size=(len(family), 4))
    noise = random.normal(scale=0.3, size=x.shape[:2])
    y = np.einsum("trd,td->tr", x, w[:, :3]) + w[:, 3:] + noise
    return x.reshape(-1, 3), y.ravel(), np.repeat(np.arange(len(family)), N_ROWS)


def error(group: str, rate: float, seed: int) -> float:
    learner = skmeta.MAMLRegressor(
        hidden_layer_sizes=(),
        inner_lr=0.1,
        n_inner_steps=2,
        n_shots=N_SHOTS,
        n_queries=10,
        meta_batch_size=4,
        max_iter=100,
        lr=rate,
        optimizer=torch.optim.SGD,
        normalize_y=False,
        random_state=seed,
    )
    model = skmeta.TaskGrouping(
        learner,
        group="random" if group == "none" else group,
        n_groups=1 if group == "none" else 25,
        beta=0.0,
        embedding=skmeta.TaskEmbedding("head", hidden_layer_sizes=(), max_iter=0),
        random_state=seed,
    )
    x, y, groups = collection(N_TRAIN, seed)
    model.fit(x, y, groups=groups)
    x, y, groups = collection(N_TEST, 1000 + seed)
    known = np.tile(np.arange(N_ROWS) < N_SHOTS, len(CENTRES) * N_TEST)
    adapted = model.adapt(x[known], y[known], groups=groups[known])
    predicted = adapted.predict(x[~known], groups=groups[~known])
    return float(((predicted - y[~known]) ** 2).mean())


def interval(values: np.ndarray) -> str:
    mean, half = mean_over_tasks(values)  # here of seeds
    return f"{mean:.3g} ± {half:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore", skmeta.DivergenceWarning)
    print("| groups |" + "".join(f" outer rate {rate} | minus none |" for rate in RATES))
    print("|---|" + "---|---|" * len(RATES))
    alone: dict[float, np.ndarray] = {}
    for group in GROUPS:
        cells = []
        for rate in RATES:
            errors = np.array([error(group, rate, seed) for seed in seeds])
            alone.setdefault(rate, errors)
            difference = "-" if group == "none" else interval(errors - alone[rate])
            cells += [interval(errors), difference]
        print(f"| {group} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
