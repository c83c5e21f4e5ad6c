"""How far ANIL's predictions of new tasks are from those of multi-task training.

Wang, Zhao and Li (ICML 2021, arXiv:2106.09017) bound the distance by ``O(λτ + 1/L)`` for wide ReLU
networks in the regime of their tangent kernel: λ and τ are the rate and the number of ANIL's inner
steps, L is the depth. Both learners start from the same network and head, train by plain gradient
descent on all tasks at once, and have their head put back to its start and fine-tuned in use.

    python benchmarks/distance_bound.py --json docs/distance_bound.json
    python benchmarks/distance_bound.py --report docs/distance_bound.json \
        --markdown docs/distance_bound.md --picture docs/distance_bound.png

Parts are "depth", "rate", "width" and "updates". With `--json` a run keeps what the file already
has and makes only what it lacks. All of it takes some six minutes on one core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import t
from sklearn.linear_model import Ridge
from skorch.callbacks import Callback
from torch import nn

import skmeta

N_TASKS, N_ROWS, N_FEATURES = 16, 10, 10
N_SHOTS, N_TEST, N_QUERIES = 5, 40, 20
BASE = {"depth": 4, "width": 256, "rate": 0.01, "steps": 1, "updates": 200}
PARTS = {
    "depth": [{"depth": L} for L in (1, 2, 4, 8, 16)],
    "rate": [
        {"rate": rate, "steps": steps}
        for rate, steps in [(0.0, 1), *itertools.product((0.01, 0.04, 0.16), (1, 4, 16))]
    ],
    "width": [
        *({"width": width} for width in (64, 128, 256, 512)),
        *({"depth": 16, "width": width} for width in (64, 128, 256)),
    ],
    "updates": [{"updates": n, "rate": 0.04} for n in (50, 200, 400)],
}
OTHERS = ("width", "rate", "steps", "updates")
FITTED, SAME = "fine-tuned to the end", "fine-tuned by τ steps of rate λ"
EPISODES, TRAINING = "other episodes", "training"
Array = np.ndarray
Rows = list[dict[str, Any]]


class ReLUNetwork(nn.Module):
    """A ReLU network in the parametrisation of the tangent kernel, up to its head.

    Weights are standard normal and products are divided by the root of their length, so that the
    kernel, and a good learning rate, have a limit as the width grows.
    """

    def __init__(self, n_features_in: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = itertools.pairwise([n_features_in] + [width] * depth)
        self.weights = nn.ParameterList(torch.randn(n, m) for n, m in sizes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        for W in self.weights:
            X = math.sqrt(2) * torch.relu(X @ W / math.sqrt(len(W)))
        return X / math.sqrt(X.shape[1])


class StartHeads(Callback):
    """Start the head of ANIL, or those of all tasks, at given weights and no bias."""

    def __init__(self, head: torch.Tensor) -> None:
        self.head = head

    def on_train_begin(self, net: Any, **_: Any) -> None:
        parameters = dict(net.module_.named_parameters())
        with torch.no_grad():
            if "heads" in parameters:
                parameters["heads"].zero_()[:, 1:] = self.head[:, None]
            else:
                parameters["head.network.bias"].zero_()
                parameters["head.network.weight"][:] = self.head


def tasks(n_tasks: int, n_rows: int, seed: int) -> tuple[Array, Array]:
    """Return rows on a sphere and ``sin(w'x)``, where the w of tasks have half in common."""
    random, common = np.random.default_rng(seed), np.random.default_rng(0)
    X = random.standard_normal((n_tasks, n_rows, N_FEATURES))
    X *= math.sqrt(N_FEATURES) / np.linalg.norm(X, axis=2, keepdims=True)
    w = common.standard_normal(N_FEATURES) + random.standard_normal((n_tasks, N_FEATURES))
    y = np.sin(2 * np.einsum("tnd,td->tn", X, w) / math.sqrt(N_FEATURES))
    return X.astype(np.float32), y.astype(np.float32)


def start(depth: int, width: int, seed: int) -> tuple[ReLUNetwork, torch.Tensor]:
    """Return the network and the head that both learners start from."""
    torch.manual_seed(seed)
    return ReLUNetwork(N_FEATURES, width, depth), torch.randn(width)


def representation(learner: Any, depth: int, width: int, updates: int, seed: int) -> Array:
    """Train, and return the features of the rows of the test tasks."""
    body, head = start(depth, width, seed)
    learner.set_params(
        module=body,
        callbacks=[StartHeads(head)],
        optimizer=torch.optim.SGD,
        lr=0.5 / (depth + 2),  # the kernel grows with depth
        max_iter=updates,
        meta_batch_size=N_TASKS,
        n_queries=None,
        normalize_y=False,
    )
    X, y = tasks(N_TASKS, N_ROWS, seed + 1)
    learner.fit(X.reshape(-1, N_FEATURES), y.ravel(), groups=np.repeat(range(N_TASKS), N_ROWS))
    return features(learner.transform, seed)


def features(transform: Any, seed: int) -> Array:
    X, _ = tasks(N_TEST, N_SHOTS + N_QUERIES, seed + 1000)
    F = np.asarray(transform(X.reshape(-1, N_FEATURES)), dtype=np.float64)
    return F.reshape(*X.shape[:2], -1)


@lru_cache(maxsize=1)
def multi_task(depth: int, width: int, updates: int, seed: int) -> Array:
    # Its head is not used: only the features are.
    learner = skmeta.MultiHeadRegressor(head=Ridge(), random_state=seed)
    return representation(learner, depth, width, updates, seed)


def predictions(F: Array, head: Array, seed: int, rate: float, steps: int | None) -> Array:
    """Return predictions of the queries by heads fine-tuned on the support of each test task.

    Gradient descent on the squared error starts at `head`; `steps` is None for its limit.
    """
    y = tasks(N_TEST, N_SHOTS + N_QUERIES, seed + 1000)[1][:, :N_SHOTS, None]
    F = np.concatenate([F, np.ones_like(F[..., :1])], axis=2)  # the bias
    support, query = F[:, :N_SHOTS], F[:, N_SHOTS:]
    w = np.tile(np.append(head, 0.0)[:, None], (len(F), 1, 1))
    if steps is None:
        w += np.linalg.pinv(support) @ (y - support @ w)
    for _ in range(steps or 0):
        w += 2 * rate / N_SHOTS * support.transpose(0, 2, 1) @ (y - support @ w)
    return (query @ w)[..., 0]


def measure(depth: int, width: int, rate: float, steps: int, updates: int, seed: int) -> dict:
    """Return distances of predictions, root mean squares over the queries of all test tasks."""

    def anil(episodes: int) -> Array:
        learner = skmeta.ANILRegressor(
            n_shots=N_SHOTS, inner_lr=rate, n_inner_steps=steps, random_state=episodes
        )
        return representation(learner, depth, width, updates, seed)

    body, head = start(depth, width, seed)
    with torch.no_grad():
        untrained = features(lambda X: body(torch.from_numpy(X)), seed)
    trained = {
        "MTL": multi_task(depth, width, updates, seed),
        "ANIL": anil(seed),
        "untrained": untrained,
    }
    if (width, rate, steps, updates) == tuple(BASE[name] for name in OTHERS):
        trained[EPISODES] = anil(seed + 100)  # what the draw of episodes alone makes
    found = {}
    for name, n_steps in {FITTED: None, SAME: steps}.items():
        p = {k: predictions(F, head.numpy(), seed, rate, n_steps) for k, F in trained.items()}
        found[name] = rms(p["ANIL"] - p["MTL"])
        found[f"{name}, {TRAINING}"] = rms(p["MTL"] - p["untrained"])
        if EPISODES in p:
            found[f"{name}, {EPISODES}"] = rms(p["ANIL"] - p[EPISODES])
    return found


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def interval(values: Any) -> tuple[float, float, float]:
    """Return the mean over seeds and its 95 % interval."""
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(np.mean(values) - half), float(np.mean(values) + half)


def seeds_of(rows: Rows, what: str, **setting: Any) -> list[float]:
    """Return what was measured in one setting, for each seed."""
    wanted = {**BASE, **setting}
    found = [r for r in rows if wanted.items() <= r.items()]
    return [r[what] for r in sorted(found, key=lambda r: r["seed"])]


def distance(rows: Rows, what: str, **setting: Any) -> tuple[float, float, float]:
    """Return the geometric mean over seeds and its interval."""
    low, mean, high = sorted(np.exp(interval(np.log(seeds_of(rows, what, **setting)))))
    return mean, low, high


def change(rows: Rows, what: str, **setting: Any) -> tuple[float, float, float]:
    """Return the ratio of the distance to that at λτ = 0, and its interval."""
    logs = np.log(seeds_of(rows, what, **setting)) - np.log(seeds_of(rows, what, rate=0.0))
    low, mean, high = sorted(np.exp(interval(logs)))
    return mean, low, high


def cell(rows: Rows, what: str, **setting: Any) -> str:
    mean, low, high = distance(rows, what, **setting)
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def exponent(rows: Rows, what: str, depths: list[int]) -> str:
    """Return the slope of the logarithm of the distance by that of the depth."""
    values = np.log([seeds_of(rows, what, depth=L) for L in depths])
    slope, low, high = interval(np.polyfit(np.log(depths), values, 1)[0])
    return f"{slope:.2f} ({low:.2f} to {high:.2f})"


def table(header: list[str], lines: list[list[str]]) -> str:
    ruled = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def page(rows: Rows) -> str:
    """Return the report."""
    columns = [f"head {FITTED}", f"head {SAME}"]
    depths = [c["depth"] for c in PARTS["depth"]]
    by_depth = [
        [
            str(L),
            *(cell(rows, what, depth=L) for what in (FITTED, SAME)),
            *(cell(rows, f"{FITTED}, {what}", depth=L) for what in (EPISODES, TRAINING)),
        ]
        for L in depths
    ]
    rates = sorted(PARTS["rate"], key=lambda c: (c["rate"] * c["steps"], c["steps"]))
    by_rate = [
        [f"{c['rate'] * c['steps']:.2f}", f"{c['rate']}", str(c["steps"])]
        + [cell(rows, what, **c) for what in (FITTED, SAME)]
        + ["{:.2f} ({:.2f} to {:.2f})".format(*change(rows, FITTED, **c)) if c["rate"] else "1"]
        for c in rates
    ]
    widths = sorted({c["width"] for c in PARTS["width"]})
    by_width = [
        [str(n)]
        + [
            cell(rows, FITTED, depth=L, width=n) if seeds_of(rows, FITTED, depth=L, width=n) else ""
            for L in (4, 16)
        ]
        for n in widths
    ]
    by_updates = [
        [str(c["updates"])] + [cell(rows, what, **c) for what in (FITTED, SAME)]
        for c in PARTS["updates"]
    ]
    extra = [f"{EPISODES} (ANIL alone)", "what training changed (multi-task)"]
    return "\n\n".join(
        [
            "# The distance between ANIL and multi-task learning",
            INTRODUCTION,
            "![Distance by depth, and by inner rate times steps](distance_bound.png)",
            f"## Depth L, at λτ = {BASE['rate']}",
            table(["L", *columns, *extra], by_depth),
            "Exponent of L, head fine-tuned to the end: "
            f"{exponent(rows, FITTED, depths[:3])} from 1 to {depths[2]}, "
            f"{exponent(rows, FITTED, depths)} from 1 to {depths[-1]}; the bound has -1.",
            f"## Inner rate and steps, at L = {BASE['depth']}",
            table(["λτ", "λ", "τ", *columns, "first, relative to λτ = 0"], by_rate),
            f"## Width, head {FITTED}",
            table(["width", "L = 4", "L = 16"], by_width),
            f"## Meta-updates, at λ = {PARTS['updates'][0]['rate']}",
            table(["updates", *columns], by_updates),
            CONCLUSIONS,
            "",
        ]
    )


def draw(rows: Rows, path: Path) -> None:
    """Draw the distance by depth and by λτ."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    depths = np.array([c["depth"] for c in PARTS["depth"]])

    def line(axis: Any, x: Any, values: list[tuple[float, float, float]], **style: Any) -> None:
        mean, low, high = np.transpose(values)
        axis.plot(x, mean, marker="o", **style)
        axis.fill_between(x, low, high, alpha=0.15, color=axis.lines[-1].get_color())

    for what, color in ((FITTED, "C0"), (SAME, "C1")):
        values = [distance(rows, what, depth=L) for L in depths]
        line(axes[0], depths, values, color=color, label=f"head {what}")
    values = [distance(rows, f"{FITTED}, {EPISODES}", depth=L) for L in depths]
    line(axes[0], depths, values, color="grey", label="two ANIL, other episodes")
    first, *_ = distance(rows, FITTED, depth=1)
    axes[0].plot(depths, first / depths, "k--", label="1/L")
    axes[0].set(xscale="log", yscale="log", xlabel="depth L", ylabel="distance of predictions")
    axes[0].set_xticks(depths, map(str, depths))
    axes[0].set_title(f"λτ = {BASE['rate']}, width {BASE['width']}")
    cells = [c for c in PARTS["rate"] if c["rate"]]
    for what, color in ((FITTED, "C0"), (SAME, "C1")):
        for n_steps, marker in ((1, "o"), (4, "s"), (16, "^")):
            some = [c for c in cells if c["steps"] == n_steps]
            mean, low, high = np.transpose([change(rows, what, **c) for c in some])
            x = [c["rate"] * n_steps * 1.1 ** (n_steps // 4 % 4) for c in some]  # side by side
            label = f"{what}, τ = {n_steps}"
            axes[1].errorbar(
                x, mean, [mean - low, high - mean],
                color=color, marker=marker, linestyle="", capsize=2, label=label,
            )  # fmt: skip
    axes[1].axhline(1, color="k", linestyle="--")
    axes[1].set(xscale="log", xlabel="inner rate times steps, λτ", yscale="log")
    axes[1].set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    axes[1].minorticks_off()
    axes[1].set(ylabel="distance, relative to λτ = 0")
    axes[1].set_title(f"L = {BASE['depth']}, width {BASE['width']}")
    for axis in axes:
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=100)


INTRODUCTION = f"""\
Question: does ANIL predict new tasks as plain multi-task training does, up to ``O(λτ + 1/L)``, as
Wang, Zhao and Li ([ICML 2021](https://arxiv.org/abs/2106.09017)) show for wide ReLU networks in the
regime of their tangent kernel? λ and τ are the rate and the number of ANIL's inner steps, L is the
number of hidden layers.

`ANILRegressor` and `MultiHeadRegressor` train on {N_TASKS} tasks of {N_ROWS} rows with
{N_FEATURES} features, on all tasks in each meta-update, by plain gradient descent
({BASE["updates"]} updates, rate 0.5 / (L + 2)); {BASE["width"]} units a layer. Networks have the
parametrisation of the tangent kernel. Both learners start from the same weights, and the head of
ANIL and all heads of multi-task training from the same one. ANIL draws {N_SHOTS} rows of each task
as support anew in each update.

In use, the head goes back to its start and is fine-tuned by gradient descent on {N_SHOTS} rows of
each of {N_TEST} new tasks, in the same way on the features of either: until it fits them (the
limit is in closed form), or by τ steps of rate λ as in training. The distance is the root mean
square, over {N_QUERIES} more rows of each, of the difference of predictions; targets have a root
mean square of 0.7. Figures are geometric means over five seeds of weights, tasks and episodes, with
95 % intervals. "Other episodes" are two trainings of ANIL that differ in the draw of supports
alone: no distance can be told from 0 below it."""
CONCLUSIONS = """\
## Conclusions

- 1/L shows: at small λτ the distance halves with each doubling of the depth up to L = 4. Then it
  falls more slowly, towards what the draw of episodes alone makes. How far the trend goes is a
  matter of width: at L = 16 the distance falls fivefold from 64 to 256 units. It is the theorem's
  other term, which vanishes as the width grows.
- Deep networks also move less in as many updates (last column): relative to what training changed,
  the distance falls from 0.4 to 0.2 up to L = 4, and stays there.
- λ and τ act through their product alone: where it is the same, so is the distance.
- O(λτ) holds as a bound, not as a trend. From λτ = 0 on the distance first falls, by a quarter up
  to λτ = 0.16, then rises to about where it was, up to 2.56. Without inner steps ANIL has one head
  for all tasks, where multi-task training has one for each; small steps make its heads heads of
  tasks too. That gap is the 1/L term: the head has one of L + 1 shares of the tangent kernel.
- With a head that takes as few steps in use as in training the distances are larger and vary more
  between seeds, and 1/L does not show. A likely cause is the mean of what the random start
  predicts: multi-task training leaves part of it to the biases of its heads, and a few small steps
  do not make up for that. From λτ = 0.64 on, both ways agree.
- With a head fine-tuned to the end the distance grows with training, as the network leaves its
  start.

The tangent-kernel regime is the theorem's, not that of few-shot practice: there learning rates are
large, networks narrow, and features change."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, help="report earlier runs")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.report or arguments.json
    rows = json.loads(path.read_text()) if path and path.exists() else []
    cells = [{**BASE, **cell} for part in arguments.part for cell in PARTS[part]]
    # Those of one multi-task training lie side by side.
    keys = sorted({(c["depth"], c["width"], c["updates"], c["rate"], c["steps"]) for c in cells})
    for seed, (depth, width, updates, rate, steps) in itertools.product(arguments.seeds, keys):
        setting = {
            "depth": depth, "width": width, "rate": rate, "steps": steps,
            "updates": updates, "seed": seed,
        }  # fmt: skip
        if arguments.report or any(setting.items() <= row.items() for row in rows):
            continue
        rows.append({**setting, **measure(**setting)})
        print(rows[-1], flush=True)
        if arguments.json:
            lines = ",\n".join(json.dumps(row) for row in rows)
            arguments.json.write_text(f"[\n{lines}\n]\n")
    text = page(rows)
    if arguments.markdown:
        arguments.markdown.write_text(text)
    else:
        print(text)
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    main()
