"""The contender of `peers.py` that runs on JAX: one compiled function for a meta-update."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

if TYPE_CHECKING:
    from peers import Batch, Workload

Weights = list[Array]


def hidden_layers(weights: Weights, X: Array) -> Array:
    for W, b in zip(weights[::2], weights[1::2], strict=True):
        X = jax.nn.relu(X @ W.T + b)
    return X


def mlp(weights: Weights, X: Array) -> Array:
    return hidden_layers(weights[:-2], X) @ weights[-2].T + weights[-1]


def conv4(weights: Weights, X: Array) -> Array:
    """Convolve by matrix products: XLA runs convolutions of many networks slowly on a CPU."""
    X = X.reshape(-1, 28, 28, 1)
    for i in range(0, 16, 4):
        W, b, scale, shift = weights[i : i + 4]
        n, m = X.shape[1:3]
        padded = jnp.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = [padded[:, r : r + n, c : c + m] for r in range(3) for c in range(3)]
        X = jnp.concatenate(patches, axis=-1) @ W.transpose(2, 3, 1, 0).reshape(-1, len(W)) + b
        spread = lax.rsqrt(X.var((0, 1, 2)) + 1e-5)
        X = jax.nn.relu((X - X.mean((0, 1, 2))) * spread * scale + shift)
        X = lax.reduce_window(X, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return X.reshape(len(X), -1) @ weights[-2].T + weights[-1]


def ridge(F: Array, y: Array, Fq: Array) -> Array:
    F, Fq = (jnp.concatenate([f, jnp.ones_like(f[:, :1])], axis=1) for f in (F, Fq))
    return Fq @ (F.T @ jnp.linalg.solve(F @ F.T + jnp.eye(len(F)), y))


def bayesian(prior: Weights, F: Array, y: Array, Fq: Array) -> Array:
    mean, A, log_noise = prior
    F, Fq = (jnp.concatenate([f, jnp.ones_like(f[:, :1])], axis=1) for f in (F, Fq))
    Z, Zq = F @ jnp.tril(A), Fq @ jnp.tril(A)
    gram = Z @ Z.T + jnp.eye(len(Z))
    solved = jnp.linalg.solve(gram, jnp.concatenate([y - F @ mean, Z @ Zq.T], axis=1))
    spread = 1 + (Zq**2).sum(1) - (Zq @ Z.T * solved[:, 1:].T).sum(1)
    predicted = Fq @ mean + Zq @ Z.T @ solved[:, :1]
    return jnp.concatenate([predicted, spread[:, None] * jnp.exp(2 * log_noise)], axis=1)


def surprise(predicted: Array, y: Array) -> Array:
    mean, variance = predicted[:, :1], predicted[:, 1:]
    return 0.5 * jnp.mean(jnp.log(variance) + (y - mean) ** 2 / variance)


def squared_error(predicted: Array, y: Array) -> Array:
    return jnp.mean((predicted - y) ** 2)


def cross_entropy(logits: Array, labels: Array) -> Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def adam(weights: Weights, slope: Weights, state: Any) -> tuple[Weights, Any]:
    n, mean, square = state
    n = n + 1
    mean = [0.9 * m + 0.1 * g for m, g in zip(mean, slope, strict=True)]
    square = [0.999 * s + 0.001 * g * g for s, g in zip(square, slope, strict=True)]

    def step(m: Array, s: Array) -> Array:
        return 1e-3 * (m / (1 - 0.9**n)) / (jnp.sqrt(s / (1 - 0.999**n)) + 1e-8)

    moved = [w - step(m, s) for w, m, s in zip(weights, mean, square, strict=True)]
    return moved, (n, mean, square)


class Jax:
    """All tasks at once; gradient and Adam in one call."""

    versions = {"jax": jax.__version__}

    def __init__(self, spec: Workload, weights: list[Any]) -> None:
        self.spec = spec
        self.weights = [jnp.asarray(w) for w in weights]
        zeros = [jnp.zeros((2, *w.shape)) for w in weights]
        self.state = (jnp.zeros(()), [z[0] for z in zeros], [z[1] for z in zeros])
        if spec.rule == "svm":
            raise NotImplementedError("there is no solver of quadratic programs")
        self.loss = cross_entropy if spec.ways else squared_error
        if spec.rule == "bayesian":
            self.loss = surprise
        self.network = conv4 if spec.ways else mlp
        self.predict = jax.jit(jax.vmap(self.predict_task, (None, 0, 0, 0)))
        self.step = jax.jit(self.pure_step, donate_argnums=(0, 1))

    def predict_task(self, weights: Weights, X: Array, y: Array, Xq: Array) -> Array:
        shared, fast = weights[: self.spec.n_shared], weights[self.spec.n_shared :]
        X, Xq = hidden_layers(shared, X), hidden_layers(shared, Xq)
        if self.spec.rule == "ridge":
            return ridge(X, y, Xq)
        if self.spec.rule == "bayesian":
            return bayesian(fast, X, y, Xq)
        for _ in range(self.spec.steps):
            slope = jax.grad(lambda w: self.loss(self.network(w, X), y))(fast)
            slope = lax.stop_gradient(slope) if self.spec.first_order else slope
            fast = [w - self.spec.inner_lr * g for w, g in zip(fast, slope, strict=True)]
        return self.network(fast, Xq)

    def meta_loss(self, weights: Weights, *batch: Array) -> Array:
        return jax.vmap(self.loss)(self.predict(weights, *batch[:3]), batch[3]).mean()

    def pure_step(self, weights: Weights, state: Any, batch: Batch) -> tuple[Weights, Any]:
        return adam(weights, jax.grad(self.meta_loss)(weights, *batch), state)

    def update(self, batch: Batch) -> None:
        if self.spec.only_adapt:
            self.predict(self.weights, *batch[:3]).block_until_ready()
            return
        self.weights, self.state = self.step(self.weights, self.state, batch)
        self.weights[0].block_until_ready()

    def check(self, batch: Batch) -> Any:
        """Return the meta-gradient, or the predictions."""
        if self.spec.only_adapt:
            return np.asarray(self.predict(self.weights, *batch[:3]))
        slope = jax.jit(jax.grad(self.meta_loss))(self.weights, *batch)
        return np.concatenate([np.ravel(g) for g in slope])

    def train(self, batches: list[Batch], blocks: Iterator[None]) -> None:
        ready = [jax.tree.map(jnp.asarray, batch) for batch in batches]
        for batch, _ in zip(cycle(ready), blocks, strict=False):
            self.update(batch)


def make(name: str, spec: Workload, weights: list[Any], learn2learn: str) -> Jax:
    """Return the contender."""
    return Jax(spec, weights)
