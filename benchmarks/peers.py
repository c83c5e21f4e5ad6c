"""Milliseconds of a meta-update: skmeta's estimators beside other ways to train the same learner.

    python benchmarks/peers.py --workload W1-1 W3 --contender skmeta torch.func
    python benchmarks/peers.py --jax-python PATH --learn2learn PATH --markdown docs/speed.md
    python benchmarks/peers.py --workload W3 --threads 2 --markdown docs/speed_threads.md

JAX may live in an environment of its own, made by ``python -m venv DIR`` and
``DIR/bin/pip install jax``: ``--jax-python`` is its interpreter. learn2learn has no release that
builds on a current Python: ``--learn2learn`` is the root of a checkout, of which only
``learn2learn.algorithms`` is imported. What is not there is skipped with a line.

Each contender runs in a process of its own. One at a time trains for a block of some tenths of a
second, in a new random order each round, so that drifts of the machine hit all alike.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Batch = tuple[Array, Array, Array, Array]  # support X and y, query X and y; tasks first
Row = dict[str, Any]

CONTENDERS = {
    "skmeta": "the estimator as it is",
    "skmeta-compile": "the estimator with `compile=True`",
    "torch-loop": "a Python loop over the tasks, with `torch.autograd.grad`",
    "learn2learn": "its `MAML` wrapper, cloned and adapted for each task, or its `SVClassifier`, "
    "which needs qpth",
    "torch.func": "`grad` and `vmap` by hand, not compiled",
    "jax": "`grad` and `vmap` under `jit`, Adam included",
}
REFERENCE = "float64"  # the loop in double precision, which the others' gradients are compared with
TOLERANCE = 1e-3  # of that comparison


@dataclass(frozen=True)
class Workload:
    """What is learned: "maml" adapts all layers, "anil" the last, the others a head behind them."""

    rule: str
    title: str
    tasks: int
    support: int
    query: int
    layers: tuple[int, ...]
    steps: int = 1
    inner_lr: float = 0.01
    first_order: bool = False
    only_adapt: bool = False
    ways: int = 0  # of images
    classes: int = 0  # of rows
    batches: int = 40
    seed: int = 1

    @property
    def n_shared(self) -> int:
        """How many of the weight arrays, two for each layer, are the same for all tasks."""
        adapted = {"maml": len(self.layers) - 1, "anil": 1}
        return 2 * (len(self.layers) - 1 - adapted.get(self.rule, 0))


SINE: dict[str, Any] = {"tasks": 25, "support": 10, "query": 10, "layers": (1, 40, 40, 1)}
WIDE: dict[str, Any] = {"tasks": 32, "support": 20, "query": 20, "layers": (32, 128, 128, 1)}
MANY: dict[str, Any] = {"tasks": 1000, "batches": 2, "steps": 5, "only_adapt": True}
WORKLOADS = {
    "W1-1": Workload("maml", "MAML, 1 step", **SINE),
    "W1-5": Workload("maml", "MAML, 5 steps", steps=5, **SINE),
    "W2-1": Workload("maml", "first-order MAML, 1 step", first_order=True, **SINE),
    "W2-5": Workload("maml", "first-order MAML, 5 steps", steps=5, first_order=True, **SINE),
    "W3": Workload("maml", "MAML, 5 steps", steps=5, **WIDE),
    "W4": Workload("anil", "ANIL, 5 steps", steps=5, **WIDE),
    "W5": Workload("ridge", "ridge head", **{**WIDE, "layers": (32, 128, 128)}),
    "W5-bayes": Workload("bayesian", "Bayesian head", **{**WIDE, "layers": (32, 128, 128)}),
    "W5-svm": Workload(
        "svm", "SVM head, 5 classes", classes=5, **{**WIDE, "layers": (32, 128, 128)}
    ),
    "W6-sine": Workload("maml", "adapt by 5 steps and predict", **{**SINE, **MANY}),
    "W6-tab": Workload("maml", "adapt by 5 steps and predict", **{**WIDE, **MANY}),
    # The first batch of this seed is far from kinks, so that single precision can be checked.
    "W7": Workload("maml", "MAML, 1 step, on 5-way 5-shot images, 4 convolutions of 32 filters", 4,
                   25, 75, layers=(32, 5), inner_lr=0.1, ways=5, batches=8, seed=2),
}  # fmt: skip


# ---- data: NumPy alone, so that torch and JAX start from the same numbers ----


def meta_batches(spec: Workload) -> list[Batch]:
    rng = np.random.default_rng(spec.seed)
    return [(_images if spec.ways else _rows)(rng, spec) for _ in range(spec.batches)]


def _rows(rng: np.random.Generator, spec: Workload) -> Batch:
    """Draw sinusoids where there is one feature, else linear functions under a tanh."""
    n_tasks, n_rows, width = spec.tasks, spec.support + spec.query, spec.layers[0]
    if width == 1:
        amplitude = rng.uniform(0.1, 5.0, (n_tasks, 1, 1))
        phase = rng.uniform(0.0, np.pi, (n_tasks, 1, 1))
        X = rng.uniform(-5.0, 5.0, (n_tasks, n_rows, 1))
        y = amplitude * np.sin(X - phase)
    else:
        X = rng.standard_normal((n_tasks, n_rows, width))
        direction = rng.standard_normal((n_tasks, width, 1)) / np.sqrt(width)
        y = np.tanh(X @ direction) + 0.1 * rng.standard_normal((n_tasks, n_rows, 1))
    if spec.classes:
        y = np.tile(np.arange(n_rows) % spec.classes, (n_tasks, 1))
    X, y, k = X.astype(np.float32), y.astype(np.int64 if spec.classes else np.float32), spec.support
    return X[:, :k].copy(), y[:, :k].copy(), X[:, k:].copy(), y[:, k:].copy()


def _images(rng: np.random.Generator, spec: Workload) -> Batch:
    centre = rng.standard_normal((spec.tasks, spec.ways, 1, 28 * 28))
    parts: list[Array] = []
    for n_rows in (spec.support, spec.query):
        each = n_rows // spec.ways
        images = centre + 0.5 * rng.standard_normal((spec.tasks, spec.ways, each, 28 * 28))
        parts.append(images.reshape(spec.tasks, n_rows, -1).astype(np.float32))
        parts.append(np.tile(np.repeat(np.arange(spec.ways), each), (spec.tasks, 1)))
    return parts[0], parts[1], parts[2], parts[3]


def initial_weights(spec: Workload) -> list[Array]:
    """Return the arrays of each layer, weights of shape (out, in), drawn as torch draws them."""
    rng = np.random.default_rng(0)

    def layer(*shape: int) -> list[Array]:
        bound = np.prod(shape[1:]) ** -0.5
        return [rng.uniform(-bound, bound, s).astype(np.float32) for s in (shape, shape[:1])]

    weights: list[Array] = []
    for n_in in (1, 32, 32, 32) if spec.ways else ():
        weights += [*layer(32, n_in, 3, 3), np.ones(32, np.float32), np.zeros(32, np.float32)]
    for n_in, n_out in pairwise(spec.layers):
        weights += layer(n_out, n_in)
    if (
        spec.rule == "bayesian"
    ):  # mean of the head, factor of its covariance, logarithm of the noise
        size = spec.layers[-1] + 1
        weights += [np.zeros((size, 1)), 10 * np.eye(size), np.log([0.1])]
    return [w.astype(np.float32) for w in weights]


# ---- a worker: one contender, trained in blocks as the runner asks for them ----


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reply(**fields: Any) -> None:
    print(json.dumps(fields), file=sys.__stdout__, flush=True)


def blocks(start: float, imports: float, versions: dict[str, str]) -> Iterator[None]:
    """Yield before each update, time those of a block, and end when the runner asks for no more."""
    yield
    yield
    reply(ready=time.perf_counter() - start, versions=versions)
    for line in sys.stdin:
        yield  # one update to have the caches back
        begin, wall, n_updates = time.perf_counter(), 0.0, 0
        while wall < float(line):
            yield
            n_updates += 1
            wall = time.perf_counter() - begin
        reply(ms=1e3 * wall / n_updates, peak=peak_mib() - imports)


def work(name: str, workload: str, options: argparse.Namespace) -> None:
    sys.stdout = sys.stderr  # what libraries print must not mix with the replies
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    spec = WORKLOADS[workload]
    try:
        module = importlib.import_module("_peers_jax" if name == "jax" else "_peers_torch")
        imports = peak_mib()
        batches, weights = meta_batches(spec), initial_weights(spec)
        start = time.perf_counter()
        contender = module.make(name, spec, weights, options.learn2learn)
        result = contender.check(batches[0])
        if result is not None:
            np.save(check_file(options.scratch, workload, name), result)
        contender.train(batches, blocks(start, imports, contender.versions))
    except Exception as error:
        reply(skipped=f"{type(error).__name__}: {error}".splitlines()[0])


def check_file(scratch: str, workload: str, name: str) -> Path:
    return Path(scratch, f"{workload}-{name}.npy")


# ---- the runner ----


class Worker:
    """A contender in its own process: ready to train, or with a reason why not in its row."""

    def __init__(self, name: str, workload: str, options: argparse.Namespace, scratch: str) -> None:
        self.row: Row = {"workload": workload, "contender": name}
        self.times: list[float] = []
        self.check = check_file(scratch, workload, name)
        threads = str(options.threads)
        command = [options.jax_python if name == "jax" else sys.executable, __file__, "--work"]
        command += ["--workload", workload, "--contender", name, "--threads", threads]
        command += ["--scratch", scratch, "--learn2learn", options.learn2learn]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "PYTHONWARNINGS": "ignore",
            "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor",  # so that each run compiles anew
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={str(options.threads > 1).lower()}",
        }
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._read()

    def _read(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.row |= json.loads(line) if line else {"skipped": "the process ended"}

    def block(self, seconds: float) -> None:
        if "skipped" in self.row:
            return
        assert self.process.stdin is not None
        print(seconds, file=self.process.stdin, flush=True)
        self._read()
        self.times.append(self.row.get("ms", np.nan))

    def finish(self, reference: Array) -> Row:
        """End the process and return what was measured."""
        self.process.communicate()
        if "skipped" in self.row:
            return {key: self.row[key] for key in ("workload", "contender", "skipped")}
        median = statistics.median(self.times)
        self.row |= {"ms": median, "blocks": self.times}
        self.row["spread"] = (max(self.times) - min(self.times)) / median
        if self.check.exists():
            error = np.linalg.norm(np.load(self.check) - reference)
            self.row["error"] = float(error / np.linalg.norm(reference))
        return self.row


def measure(workload: str, options: argparse.Namespace, scratch: str) -> list[Row]:
    """Run the contenders of one workload in turns."""
    reference = Worker(REFERENCE, workload, options, scratch)
    reference.process.communicate()
    workers = [Worker(name, workload, options, scratch) for name in options.contender]
    for n_done in range(options.rounds + 1):
        for worker in random.sample(workers, len(workers)):
            worker.block(options.seconds)
            if not n_done:
                worker.times.clear()  # the first block only warms up
    known = np.load(reference.check) if reference.check.exists() else np.array(np.nan)
    rows = [worker.finish(known) for worker in workers]
    ms = {row["contender"]: row["ms"] for row in rows if "ms" in row}
    for row in rows:
        head = f"{workload:<9}{row['contender']:<16}"
        if "skipped" in row:
            print(f"{head}skipped: {row['skipped']}", flush=True)
            continue
        row |= {f"x {peer}": ms[peer] / row["ms"] for peer in ("learn2learn", "jax") if peer in ms}
        wrong = row.get("error", 0.0) > TOLERANCE
        row["cell"] = f"{row['ms']:.3g}{' (wrong gradient)' if wrong else ''}"
        print(
            f"{head}{row['ms']:>9.4g} ms, spread {row['spread']:>4.0%}, "
            f"x learn2learn {row.get('x learn2learn', np.nan):>5.3g}, "
            f"x JAX {row.get('x jax', np.nan):>5.2g}, {row['peak']:>5.0f} MiB, "
            f"ready in {row['ready']:>4.1f} s, error {row.get('error', np.nan):.0e}",
            flush=True,
        )
    return rows


# ---- the page ----

PAGE = """\
# {title}

Milliseconds of a meta-update (W6: of adapting 1,000 tasks and predicting) on {cpu},
{threads} thread(s), Python {python}, {versions}. Made by

    {command}

Each contender trains in a process of its own on the same core(s); one at a time, for blocks of
{seconds} s in a new random order each round. A number is the median of {rounds} blocks; their range
is {spread:.0%} of it (median over the cells). skmeta is timed inside public calls, `fit` or `adapt`
and `predict`; in `fit`, drawing and gathering episodes, skorch and Adam count, set-up does not. The
others find their meta-batches ready in memory, which favours them. All use Adam (torch: fused).
Before timing, the meta-gradient of each of the others was compared with a loop in double
precision; the relative error is below {tolerance:g} where not marked.

Contenders:

{contenders}

Workloads:

{workloads}"""
TABLES = (
    ("Milliseconds", "cell", ""),
    ("Times faster than learn2learn", "x learn2learn", ".3g"),
    ("Times faster than JAX", "x jax", ".2g"),
    ("Peak memory above the imports, MiB", "peak", ".0f"),
    ("Set-up until two updates are done, s; compilers start without a cache", "ready", ".1f"),
)


def page(rows: list[Row], options: argparse.Namespace) -> str:
    given = sys.argv[1:]
    for option in {"--jax-python", "--learn2learn"} & set(given):
        given[given.index(option) + 1] = "PATH"  # where they lie means nothing elsewhere
    cpu = [li for li in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in li]
    versions = {name: v for row in rows for name, v in row.get("versions", {}).items()}
    used = {row["workload"]: WORKLOADS[row["workload"]] for row in rows}
    parts = [
        PAGE.format(
            title="Speed" if options.threads == 1 else f"Speed on {options.threads} threads",
            cpu=cpu[0].partition(":")[2].strip() if cpu else "a CPU",
            threads=options.threads,
            python=sys.version.split()[0],
            versions=", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
            command=f"python benchmarks/peers.py {' '.join(given)}".strip(),
            seconds=options.seconds,
            rounds=options.rounds,
            spread=statistics.median([row["spread"] for row in rows if "spread" in row] or [0]),
            tolerance=TOLERANCE,
            contenders="\n".join(f"- {name}: {text}." for name, text in CONTENDERS.items()),
            workloads="\n".join(
                f"- {name}: {w.title}; {w.tasks} tasks of {w.support} + {w.query} rows"
                + ("." if w.ways else f", layers {'-'.join(map(str, w.layers))}.")
                for name, w in used.items()
            ),
        )
    ]
    for title, key, style in TABLES:
        parts.append(f"## {title}\n\n| | {' | '.join(used)} |\n|---|{'---:|' * len(used)}")
        for name in dict.fromkeys(row["contender"] for row in rows if "ms" in row):
            mine = {row["workload"]: row for row in rows if row["contender"] == name}
            cells = (format(mine[w][key], style) if key in mine[w] else "-" for w in used)
            parts[-1] += f"\n| {name} | {' | '.join(cells)} |"
    skipped = [row for row in rows if "skipped" in row]
    if skipped:
        lines = (f"- {row['contender']} on {row['workload']}: {row['skipped']}" for row in skipped)
        parts.append("## Not measured\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--contender", nargs="+", default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a block")
    parser.add_argument("--jax-python", default=sys.executable, help="an interpreter with JAX")
    parser.add_argument("--learn2learn", default="", help="root of a checkout")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.contender[0], options.workload[0], options)
        return
    unknown = set(options.contender) - set(CONTENDERS)
    if unknown:
        parser.error(
            f"--contender {' '.join(sorted(unknown))}: choose from {', '.join(CONTENDERS)}"
        )
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for name in options.workload for row in measure(name, options, scratch)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.markdown:
        options.markdown.write_text(page(rows, options))


if __name__ == "__main__":
    main()
