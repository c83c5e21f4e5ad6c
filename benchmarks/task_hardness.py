"""Where MAML beats plain training followed by the same steps, and where it does not.

Linear tasks ``y = w'x`` of two kinds: easy ones, whose features have unit variance, so that one
gradient step solves them from anywhere, and hard ones, of small variance, which a step hardly
moves. Plain training listens to the easy tasks, whose errors are the large ones, though they need
no good start. MAML listens to those that do: it wins where the solutions of hard tasks lie close
together and far from the centre of the easy ones, and not where they are scattered.

Printed are mean squared errors after one step on new tasks, relative to the variance of targets
of their kind: of the two learners, and of the start that is best in closed form.

    python benchmarks/task_hardness.py
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import skmeta

Array = NDArray[np.float64]

SIZE, ROWS, TASKS, TESTS = 2, 200, 200, 400
VARIANCE = 0.2  # of the features of hard tasks
RATE = 0.5  # solves a task of unit variance: the slope of the squared error is 2 A (w - w_t)


class LinearMap(nn.Linear):
    """``w'x``, the start being zero."""

    def __init__(self, n_features_in: int, n_outputs: int) -> None:
        super().__init__(n_features_in, n_outputs, bias=False)
        nn.init.zeros_(self.weight)


def draw(n_tasks: int, spread: float, apart: float, seed: int) -> tuple[Array, Array, Array]:
    """Return solutions, variances of features and rows of tasks; every second one is hard."""
    rng = np.random.default_rng(seed)
    hard = np.arange(n_tasks) % 2 == 1
    solutions = rng.standard_normal((n_tasks, SIZE)) * np.where(hard, spread, 1.0)[:, None]
    solutions[hard] += apart
    variance = np.where(hard, VARIANCE, 1.0)
    X = rng.standard_normal((n_tasks, ROWS, SIZE)) * np.sqrt(variance)[:, None, None]
    return solutions, variance, X


def best_start(solutions: Array, variance: Array, n_steps: int) -> Array:
    """Return where to begin, in closed form, if features have the covariance ``A = variance I``.

    After one step the distance to the solution has shrunk by ``M = I - 2 rate A``; the error is
    that distance in the norm of A, so the weight of a task is ``M A M``.
    """
    weight = variance * (1 - 2 * RATE * variance) ** (2 * n_steps)
    start: Array = (weight[:, None] * solutions).sum(axis=0) / weight.sum()
    return start


def errors(predicted: Array, y: Array, hard: Array) -> list[float]:
    """Return the relative errors of easy and hard tasks."""
    return [float(((predicted - y)[k] ** 2).mean() / y[k].var()) for k in (~hard, hard)]


def run(spread: float, apart: float, updates: int) -> None:
    solutions, variance, X = draw(TASKS, spread, apart, seed=0)
    y = np.einsum("tnd,td->tn", X, solutions)
    groups = np.repeat(np.arange(TASKS), ROWS)
    new_solutions, new_variance, new_X = draw(TESTS, spread, apart, seed=1)
    new_y = np.einsum("tnd,td->tn", new_X, new_solutions)
    hard = new_variance < 1
    support, query = slice(0, ROWS // 2), slice(ROWS // 2, None)
    for name, n_steps in (("plain, then one step", 0), ("MAML, one step", 1)):
        learner: Any = skmeta.MAMLRegressor(
            module=LinearMap, inner_lr=RATE, n_inner_steps=n_steps, n_adapt_steps=1,
            n_shots=ROWS // 2, lr=1e-2, max_iter=updates, normalize_y=False, random_state=0,
        )  # fmt: skip
        learner.fit(X.reshape(-1, SIZE), y.ravel(), groups=groups)
        owner = np.repeat(np.arange(TESTS), ROWS // 2)
        adapted = learner.adapt(
            new_X[:, support].reshape(-1, SIZE), new_y[:, support].ravel(), groups=owner
        )
        predicted = adapted.predict(new_X[:, query].reshape(-1, SIZE), groups=owner)
        found = errors(predicted.reshape(TESTS, -1), new_y[:, query], hard)
        away = best_start(solutions, variance, n_steps) - new_solutions
        away *= (1 - 2 * RATE * new_variance)[:, None]
        moved = np.einsum("tnd,td->tn", new_X[:, query], new_solutions + away)
        in_theory = errors(moved, new_y[:, query], hard)
        cells = [f"{value:.3f}" for value in (*found, *in_theory)]
        print(f"| {spread:g} | {apart:g} | {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=3000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| spread of hard | apart | training | easy | hard | easy, best start | hard |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for spread, apart in ((0.1, 2.0), (1.0, 0.0)):
        run(spread, apart, arguments.updates)


if __name__ == "__main__":
    main()
