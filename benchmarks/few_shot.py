"""The multi-task route against the meta-learning route: five letters of a script never seen.

5-way 1-shot and 5-way 5-shot classification of `skmeta.load_glyphs`. All learners have the body
`Conv4`, train on the letters of Latin and Greek and meet the same 600 test episodes of Armenian,
Georgian and Lao letters. Each meta-update sees 120 images, whatever the learner.

    python benchmarks/few_shot.py --seeds 0 1 2 --json docs/few_shot.json
    python benchmarks/few_shot.py --report docs/few_shot.json --markdown docs/few_shot.md \
        --picture docs/few_shot.png

Settings were chosen on the Cyrillic letters, such as

    python benchmarks/few_shot.py --validation --learner "ridge head" --set lr=0.003

How accuracy grows with the budget shows

    python benchmarks/few_shot.py --updates 350 1400 2800 --json docs/few_shot.json \
        --learner "multi-head, B" --learner "RFS, B" --learner SVM --learner proto

`--report` then draws it too (`--picture docs/few_shot.png`).

A run of 700 updates takes some twelve minutes for each seed on one core, five of them MAML's;
`--learner` takes those whose names start so. With `--json` a run keeps what the file already has of
other learners, seeds and budgets, and is written after each training; several files merge in
`--report`.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

import skmeta
from skmeta.modules import Conv4
from skmeta.tasks import EpisodeSampler, TaskData

N_WAY = 5
SHOTS = (1, 5)
N_TEST = 600
N_VALIDATION = 300
AT_ONCE = 30  # episodes adapted in one call: those of 600 have gigabytes of activations
N_QUERIES = 5  # of each class; no more are left of a class of 8 drawings than 3
UPDATES = 700
PEAK = 0.03  # of the rate of Adam
CHANNELS = 16
IMAGES = 120  # of a meta-update
# Four episodes of 5 x (1 + 5) images, three of 5 x (5 + 3): no class is too small for them.
EPISODES = {
    1: {"n_shots": 1, "n_queries": 5, "meta_batch_size": 4},
    5: {"n_shots": 5, "n_queries": 3, "meta_batch_size": 3},
}
MULTI, SVM, UNTRAINED = "multi-head", "SVM head", "untrained Conv4, logistic head"
BAYES, MIXED = ", Bayesian head", ", episodes across scripts"


def learners() -> dict[str, tuple[Any, bool]]:
    """Return the learners by name, and whether they train by episodes of few shots."""
    wide = {"n_way": IMAGES, "n_queries": 1, "meta_batch_size": 1}  # of all scripts
    multi = skmeta.MultiHeadClassifier(**wide, normalize_features=False, lr=PEAK)
    merged = {"n_way": N_WAY, "n_queries": 4, "meta_batch_size": 30, "lr": PEAK}  # of all classes
    rfs = skmeta.GoodEmbeddingClassifier(**merged)
    episodes = {"n_way": N_WAY, "lr": PEAK}
    steps = {"n_way": N_WAY, "lr": 0.01}
    anil = skmeta.ANILClassifier(**steps, n_inner_steps=5, inner_lr=0.1)
    svm = skmeta.SVMHeadClassifier(**episodes)
    ridge = skmeta.RidgeHeadClassifier(**episodes)
    prototypes = skmeta.PrototypicalClassifier(**episodes)
    maml = skmeta.MAMLClassifier(**steps, n_inner_steps=3, inner_lr=0.4, learn_inner_lr=True)
    return {
        UNTRAINED: (multi, False),
        MULTI: (multi, False),
        MULTI + BAYES: (clone(multi).set_params(head="bayes"), False),
        "RFS": (rfs, False),
        "RFS" + BAYES: (clone(rfs).set_params(head="bayes"), False),
        "distilled RFS": (clone(rfs).set_params(n_distillations=1), False),
        SVM: (svm, True),
        "ridge head": (ridge, True),
        "prototypes": (prototypes, True),
        SVM + MIXED: (clone(svm), True),
        "ridge head" + MIXED: (clone(ridge), True),
        "prototypes" + MIXED: (clone(prototypes), True),
        "ANIL": (anil, True),
        "MAML": (maml, True),
    }


class Test:
    """The test episodes: the same for every learner and seed.

    Parameters
    ----------
    subset : str
        Of the letters.
    n_episodes : int
        How many, a multiple of `AT_ONCE`.
    """

    def __init__(self, subset: str, n_episodes: int = N_TEST) -> None:
        self.n_episodes = n_episodes
        glyphs = skmeta.load_glyphs(subset)
        letters, classes = np.unique(glyphs.target, return_inverse=True)
        data = TaskData.from_rows(glyphs.data, classes, glyphs.groups)
        random = np.random.default_rng(0)
        sampler = EpisodeSampler(data, max(SHOTS), N_QUERIES, n_way=N_WAY, random=random)
        drawn = sampler.draw(n_episodes, per_batch=data.table.n_tasks)  # each script equally often
        self.X, self.y = data.X, letters[data.y]
        self.support = drawn.support.reshape(n_episodes, N_WAY, max(SHOTS))
        self.query, self.owner = drawn.query[drawn.query_mask], np.nonzero(drawn.query_mask)[0]
        self.n_queries = np.bincount(self.owner)

    def rows(self, n_shots: int) -> np.ndarray:
        """Return the support rows of each episode; fewer shots are the first of more."""
        return self.support[:, :, :n_shots].reshape(self.n_episodes, -1)

    def accuracy(self, hits: list[int]) -> float:
        return float(np.mean(np.divide(hits, self.n_queries)))

    def hits(self, predicted: np.ndarray) -> list[int]:
        """Return how many query rows of each episode are right."""
        right = self.owner[predicted == self.y[self.query]]
        return np.bincount(right, minlength=self.n_episodes).tolist()

    def learner(self, model: Any, n_shots: int) -> list[int]:
        """Adapt a meta-learner to all episodes, so many at a time that activations stay small."""
        predicted = np.empty(len(self.query), dtype=self.y.dtype)
        episodes = np.arange(self.n_episodes).reshape(-1, AT_ONCE)
        for some, support in zip(episodes, self.rows(n_shots)[episodes], strict=True):
            groups = np.repeat(some, support.shape[1])
            support = support.ravel()
            adapted = model.adapt(self.X[support], self.y[support], groups=groups)
            mine = np.isin(self.owner, some)
            predicted[mine] = adapted.predict(self.X[self.query[mine]], groups=self.owner[mine])
        return self.hits(predicted)

    def classifier(self, model: Any, n_shots: int) -> list[int]:
        """Fit a scikit-learn classifier to the pixels of each episode."""
        predicted = np.empty(len(self.query), dtype=self.y.dtype)
        for episode, support in enumerate(self.rows(n_shots)):
            model.fit(self.X[support], self.y[support])
            mine = self.owner == episode
            predicted[mine] = model.predict(self.X[self.query[mine]])
        return self.hits(predicted)


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def fitted(model: Any, glyphs: Any, groups: Any = None) -> tuple[Any, dict[str, Any]]:
    """Return a fitted learner, and the seconds it took: of the clock and of the processor."""
    n_steps = model.max_iter + 1  # the rate after the last update counts
    rate: Any = partial(LRScheduler, OneCycleLR, max_lr=model.lr, total_steps=n_steps)
    if isinstance(model, skmeta.MAMLClassifier):  # which bears no such peak
        rate = partial(LRScheduler, CosineAnnealingLR, T_max=n_steps)
    model.set_params(module=Conv4, callbacks=[("rate", rate(step_every="batch"))])
    began = _now()
    model.fit(glyphs.data, glyphs.target, groups=groups)
    seconds, cpu = (_now() - began).tolist()
    return model, {"seconds": seconds, "cpu": cpu}


def body_alone(glyphs: Any, n_channels: int, updates: int) -> tuple[float, float]:
    """Return the seconds that the body takes, forward and backward, on the images of a fit."""
    body, images = Conv4(784, n_channels=n_channels), torch.tensor(glyphs.data[:IMAGES])
    n = min(updates, 100)
    for warm in (5, n):
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(warm):
            body(images).sum().backward()
    scale = updates / n
    return (time.perf_counter() - clock) * scale, (time.process_time() - processor) * scale


def summary(rows: list[dict[str, Any]], name: str, n_shots: int) -> dict[str, Any] | None:
    """Return accuracies of a learner: of each episode in the mean over seeds, and of each seed."""
    same = [r for r in rows if (r["learner"], r["shots"]) == (name, n_shots)]
    if not same:
        return None
    episodes = np.mean([np.divide(r["hits"], r["asked"]) for r in same], axis=0) * 100
    return {
        "episodes": episodes,
        "mean": episodes.mean(),
        "seeds": [100 * np.mean(np.divide(r["hits"], r["asked"])) for r in same],
        "cpu": np.mean([r["cpu"] for r in same]),
        "valid": np.mean([r["valid"] for r in same]),
    }


def half_width(values: np.ndarray) -> float:
    return float(1.96 * values.std() / np.sqrt(len(values)))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table of all learners, means over the seeds."""
    names = list(dict.fromkeys(row["learner"] for row in rows))
    seeds = sorted({row["seed"] for row in rows})
    cells = {(name, k): summary(rows, name, k) for name in names for k in SHOTS}
    episodic = {name for name, (_, by_episodes) in learners().items() if by_episodes}
    best = {
        k: max(
            (name for name in names if name in episodic and cells[name, k]),
            key=lambda name, k=k: cells[name, k]["mean"],
            default=None,
        )
        for k in SHOTS
    }

    def both(name: str) -> float | None:
        """Return the seconds of training for both shots."""
        own = [cells[name, k]["cpu"] for k in SHOTS if cells.get((name, k))]
        if len(own) < len(SHOTS):
            return None
        return sum(own) if name in episodic else own[0]

    heads = " | ".join(f"{k}-shot, % | to best" for k in SHOTS)
    times = " | ".join(f"fit {k}-shot, s" for k in SHOTS)
    lines = [
        f"| learner | {heads} | {times} | both, s | SVM head's / own |",
        "|---|" + "---|" * (3 * len(SHOTS) + 2),
    ]
    for name in names:
        own = sorted({r["seed"] for r in rows if r["learner"] == name})
        trained = not name.startswith("raw pixels")
        label = name if own == seeds or not trained else f"{name} (seeds {own})"
        accuracy, seconds = [], []
        for k in SHOTS:
            cell = cells[name, k]
            if cell is None:
                accuracy += ["", ""]
                seconds += [""]
                continue
            low, high = min(cell["seeds"]), max(cell["seeds"])
            spread = f" ({low:.1f} to {high:.1f})" if len(cell["seeds"]) > 1 else ""
            accuracy.append(f"{cell['mean']:.1f} ± {half_width(cell['episodes']):.1f}{spread}")
            if best[k] is None:
                accuracy.append("")
            elif best[k] == name:
                accuracy.append("best")
            else:
                alike = [r for r in rows if r["seed"] in own or not trained]
                gap = cell["episodes"] - summary(alike, best[k], k)["episodes"]
                accuracy.append(f"{gap.mean():+.1f} ± {half_width(gap):.1f}")
            seconds.append(f"{cell['cpu']:.0f}" if cell["cpu"] else "-")
        total, reference = both(name), both(SVM)
        seconds.append(f"{total:.0f}" if total else "-")
        seconds.append(f"{reference / total:.1f}" if total and total > 1 and reference else "-")
        lines.append(f"| {label} | {' | '.join(accuracy + seconds)} |")
    return "\n".join(lines)


def swept(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of learners with several budgets, of the seeds that all of them have."""
    budgets: dict[str, set[int]] = {}
    for row in rows:
        budgets.setdefault(row["learner"], set()).add(row["updates"])
    rows = [row for row in rows if len(budgets[row["learner"]]) > 1]
    cells: dict[tuple[str, int], set[int]] = {}
    for row in rows:
        cells.setdefault((row["learner"], row["updates"]), set()).add(row["seed"])
    common = set.intersection(*cells.values())
    return [row for row in rows if row["seed"] in common]


def curves(rows: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return by learner and budget the accuracies and seconds, of learners with several budgets.

    They are of the seeds that all of these have. Seconds are those of the trainings for both shots.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    rows = swept(rows)
    for name in dict.fromkeys(r["learner"] for r in rows):
        own = [r for r in rows if r["learner"] == name]
        by_episodes = learners()[name][1]
        found[name] = {}
        for budget in sorted({r["updates"] for r in own}):
            cells = [summary([r for r in own if r["updates"] == budget], name, k) for k in SHOTS]
            found[name][budget] = {
                "accuracy": [cell["episodes"] for cell in cells],
                "seconds": sum(cell["cpu"] for cell in cells) if by_episodes else cells[0]["cpu"],
                "valid": np.mean([cell["valid"] for cell in cells]),
            }
    return found


def budgets_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of accuracy and seconds by budget."""
    heads = " | ".join(f"{k}-shot, %" for k in SHOTS)
    lines = [
        f"| learner | updates | {heads} | both, s | validation, % |",
        "|---|---|" + "---|" * (len(SHOTS) + 2),
    ]
    for name, cells in curves(rows).items():
        for budget, cell in cells.items():
            accuracy = [f"{e.mean():.1f} ± {half_width(e):.1f}" for e in cell["accuracy"]]
            end = f"{cell['seconds']:.0f} | {100 * cell['valid']:.1f}"
            lines.append(f"| {name} | {budget} | {' | '.join(accuracy)} | {end} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy by seconds of training."""
    figure, axes = plt.subplots(1, len(SHOTS), figsize=(10, 4.8), sharex=True, layout="constrained")
    for name, cells in curves(rows).items():
        seconds = [cell["seconds"] for cell in cells.values()]
        for k, axis in enumerate(axes):
            accuracy = [cell["accuracy"][k] for cell in cells.values()]
            mean = np.mean(accuracy, axis=1)
            error = [half_width(episodes) for episodes in accuracy]
            axis.errorbar(seconds, mean, error, marker="o", capsize=2, label=name)
    for shots, axis in zip(SHOTS, axes, strict=True):
        axis.set(xscale="log", xlabel="training for both shots, s", ylabel="accuracy, %")
        axis.set_xticks([15, 30, 60, 120, 240], ["15", "30", "60", "120", "240"])
        axis.minorticks_off()
        axis.set_title(f"5-way {shots}-shot")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=100)


def page(rows: list[dict[str, Any]]) -> str:
    usual = [row for row in rows if row["updates"] == UPDATES]
    trained = [row for row in usual if row["cpu"]]
    seeds = sorted({row["seed"] for row in trained})
    alone = np.mean([row["body"] for row in trained])
    title = (
        f"seeds {seeds}, {UPDATES} meta-updates of {IMAGES} images, "
        f"{trained[0]['channels']} channels"
    )
    return (
        f"# Few-shot letters\n\n{INTRODUCTION}\n\n## Results, {title}\n\n{table(usual)}\n\n"
        f"The body alone, forward and backward on as many images: {alone:.0f} s.\n\n"
        f"## Accuracy by budget, seeds {sorted({row['seed'] for row in swept(rows)})}\n\n"
        f"{BUDGETS}\n\n{budgets_table(rows)}\n\n{CONCLUSIONS}\n"
    )


INTRODUCTION = """\
Question: does plain multi-task training (`MultiHeadClassifier`; RFS is `GoodEmbeddingClassifier`)
come within one point of the best meta-learner, in a tenth of the training time of the SVM head?

`load_glyphs`: 751 letters of Latin and Greek to train on, and 600 test episodes of five letters
of one script each, as many Armenian as Georgian and Lao ones. Support of one or five drawings a
letter; queries are at most five others of each letter (three where it has only eight drawings),
the same for both shots and for all learners. Every learner has `Conv4`, trained on one thread
by Adam in one cycle of its rate, up to 0.03 (ANIL 0.01) and down to next to nothing, and a
meta-update has 120 images: four episodes of 5 x (1 + 5), three of 5 x (5 + 3), 120 letters for the
multi-head learner, 120 drawings of all letters for RFS. So all see equally many images; the
distilled RFS is two such trainings, and the inner steps of MAML pass its support again. Multi-head
and RFS train once for both shots, with a logistic regression as head in use, or the Bayesian one
that learns from the letters of training how drawings of a letter scatter; the others train for
each. Their episodes lie inside one script, as those of the test, or, where the row says so, in
all letters, as those of the multi-head learner do. ANIL takes five steps of rate 0.1; MAML is of
second order and takes three, whose rates start at 0.4 and are learned, and its own rate falls from
0.01 along a cosine.

Settings were chosen on the Cyrillic letters, for one seed and 200 to 700 meta-updates: rates of
Adam from 0.003 to 0.06 that fall along a cosine or go through a cycle, inner rates from 0.1 to 1,
MAML of first and second order and with one and three steps, and for the multi-head learner the
letters of an episode (5 to 120), of one script or of all, and features of length 1 or not. Not all
combinations were tried, and multi-head training was tuned a little more than its rivals, which
keep to episodes of five letters. All else is the default.

± is the 95 % interval over the test episodes, of the accuracy of each in the mean over seeds, and
of its difference to the best learner that trains by episodes of few shots; in brackets the lowest
and the highest seed. Seconds are those of the processor in `fit`. The last column compares the
training for both shots with that of the SVM head. MAML's row is of an earlier run, on a processor
some 1.5 times as fast. Commands: the head of `benchmarks/few_shot.py`."""
BUDGETS = f"""\
The cycle is as long as the budget. Validation is the mean accuracy of both shots on {N_VALIDATION}
episodes of Cyrillic letters.

![Accuracy on both shots by seconds of training](few_shot.png)"""
CONCLUSIONS = """\
## Conclusions

Multi-task training is level with the best meta-learner in half of its time. A tenth of the time of
the SVM head is missed.

- One shot: with the Bayesian head, RFS and the multi-head learner are 0.1 points before and 0.6
  behind the best that trains by episodes, prototypes; five shots: 0.7 and 0.2 points before. With a
  logistic regression they are 2.3 and 1.5 points behind with one shot, for what the letters of
  training tell of the scatter of drawings is what a single drawing lacks.
- Two things brought them there, besides that head. Rows of classes start at 0, where random ones
  would first teach the body to undo their noise; and they contrast letters of all scripts at once,
  120 of them in an update of the multi-head learner. Episodes across scripts help prototypes and
  the SVM head too, by about a point with one shot.
- Time: for one number of shots they take about as long as their rivals, 15 to 25 % less than the
  SVM head; for both, since they train once, 2.5 times less. A tenth is out of reach at equal
  numbers of images: the body alone, forward and backward, is more than a third of the SVM head's
  seconds for both shots. At equal accuracy it is nearly a fifth (seed 0): the multi-head learner
  is within a point of the SVM head's 276 s in 56 s, and RFS in 30 s a point below its 139 s with
  one shot, above them with five.
- With 2800 updates RFS is within half a point of the best of each number of shots, the SVM head.
  Nobody has converged there: twice as many updates still bring half a point of validation or more.

MAML needs learned rates to be level with ANIL: with one step of 0.1 it hardly began to learn, and
it did not bear the cycle. It adapts all layers by second derivatives, on a processor."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--learner", action="append", help="names that start so; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and episodes")
    parser.add_argument(
        "--updates", type=int, nargs="+", default=[UPDATES], help="meta-updates of 120 images"
    )
    parser.add_argument("--channels", type=int, default=CHANNELS, help="of each convolution")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--validation", action="store_true", help="test on the Cyrillic letters")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of learners"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, nargs="+", help="print the page of earlier runs")
    parser.add_argument("--markdown", type=Path, help="write the page there")
    parser.add_argument("--picture", type=Path, help="draw accuracy by seconds there")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.report:
        rows = [row for path in arguments.report for row in json.loads(path.read_text())]
    else:
        if arguments.json and arguments.json.exists():
            rows = json.loads(arguments.json.read_text())
        run(arguments, rows)
    if arguments.picture:
        draw(rows, arguments.picture)
    if arguments.markdown:
        arguments.markdown.write_text(page(rows))
    else:
        for updates in sorted({row["updates"] for row in rows}):
            print(f"\n{updates} updates\n")
            print(table([row for row in rows if row["updates"] == updates]))


def run(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Train and test, adding to `rows` what is new."""
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", skmeta.DivergenceWarning)  # the page says what happens
    warnings.filterwarnings("ignore", module="sklearn.neighbors")  # on spreads it does not use
    given = dict(item.split("=", 1) for item in arguments.set)
    given = {name: ast.literal_eval(value) for name, value in given.items()}
    glyphs = skmeta.load_glyphs("train")
    test = Test("validation" if arguments.validation else "test")
    validation = Test("validation", N_VALIDATION)

    def wanted(name: str) -> bool:
        return not arguments.learner or any(name.startswith(n) for n in arguments.learner)

    def add(
        name: str, seed: int, updates: int, shots: int, hits: list[int], **found: float
    ) -> None:
        row = {
            "learner": name, "seed": seed, "shots": shots, "updates": updates,
            "channels": arguments.channels, "seconds": 0.0, "cpu": 0.0, "body": 0.0, "valid": 0.0,
            **found, "hits": hits, "asked": test.n_queries.tolist(),
        }  # fmt: skip
        own = ("learner", "seed", "shots", "updates", "channels")
        rows[:] = [r for r in rows if any(r[key] != row[key] for key in own)] + [row]
        accuracy = np.divide(hits, test.n_queries) * 100
        print(
            f"{name:<36}{seed:>5}{updates:>8}{shots:>4}{accuracy.mean():>8.1f} ± "
            f"{half_width(accuracy):<5.1f}{row['cpu']:>8.1f}{row['seconds']:>8.1f}",
            flush=True,
        )
        if arguments.json:  # one row a line
            lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
            arguments.json.write_text(f"[\n{lines}\n]\n")

    print(f"{'learner':<36}{'seed':>5}{'updates':>8}{'K':>4}  accuracy, %      cpu s   fit s")
    raw = {
        "raw pixels, nearest centroid": NearestCentroid(),
        "raw pixels, logistic regression": LogisticRegression(max_iter=1000),
    }
    for name, model in raw.items():
        for shots in SHOTS if wanted(name) else ():
            add(name, 0, arguments.updates[0], shots, test.classifier(model, shots))
    small = skmeta.MultiHeadClassifier(n_way=N_WAY, n_queries=1, max_iter=1, lr=PEAK)
    fitted(small, glyphs)  # the first fit of a process imports and initialises
    for updates, seed in itertools.product(arguments.updates, arguments.seeds):
        body, body_cpu = body_alone(glyphs, arguments.channels, updates)
        print(f"{'Conv4 alone':<36}{seed:>5}{updates:>8}{body_cpu:>28.1f}{body:>8.1f}", flush=True)
        for name, (model, by_episodes) in learners().items():
            if not wanted(name):
                continue
            model.set_params(
                random_state=seed,
                max_iter=0 if name == UNTRAINED else updates,
                module__n_channels=arguments.channels,
            )
            found: dict[str, Any] = {}
            for shots in SHOTS:
                if by_episodes:
                    model.set_params(**EPISODES[shots])
                if by_episodes or shots == SHOTS[0]:
                    model.set_params(**given)
                    # Episodes lie inside a script, as those of the test do, or across all.
                    across = isinstance(model, skmeta.MultiHeadClassifier) or MIXED in name
                    model, found = fitted(model, glyphs, None if across else glyphs.groups)
                valid = validation.accuracy(validation.learner(model, shots))
                hits = test.learner(model, shots)
                add(name, seed, updates, shots, hits, **found, valid=valid, body=body_cpu)


if __name__ == "__main__":
    main()
