"""Ragged episodes, and inner steps as plain loops over tasks, to compare learners with."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from skmeta.inner import Episode, squared_error
from skmeta.training import MeanOverTasks

SIZES = [(4, 3), (1, 5), (6, 1), (2, 2)]  # support and query rows of each task
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def ragged(dtype=torch.float64, n_features=3, n_outputs=2, sizes=SIZES, classes=False, **more):
    """Return an episode of ragged tasks, whose padded features are far off."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for side in (0, 1):
        width = max(size[side] for size in sizes)
        shape = len(sizes), width
        X = torch.randn(*shape, n_features, generator=generator, dtype=torch.float64)
        y = torch.randn(*shape, n_outputs, generator=generator, dtype=torch.float64)
        if classes:
            y = nn.functional.one_hot(y.argmax(-1), n_outputs).double()
        mask = torch.arange(width) < torch.tensor([size[side] for size in sizes])[:, None]
        X = torch.where(mask[..., None], X, 50.0)
        parts += [X.to(dtype), (y * mask[..., None]).to(dtype), mask.to(dtype)]
    return Episode(*parts, tasks=torch.arange(len(sizes)), **more)


def quadratic(rows):
    """Return A and b of ``½ w'Aw - b'w``, the mean squared error of a linear network's weight."""
    X, y = rows
    return 2 / len(X) * X.T @ X, 2 / len(X) * (X.T @ y)[:, 0]


def tasks_of(episode):
    """Yield the support and the query of each task, without padding."""
    for task in range(len(episode.tasks)):
        support, query = episode.support_mask[task].bool(), episode.query_mask[task].bool()
        yield (
            (episode.support_X[task, support], episode.support_y[task, support]),
            (episode.query_X[task, query], episode.query_y[task, query]),
        )


def trained(module):
    return [p for p in module.parameters() if p.requires_grad]


def flat(parts):
    return torch.cat([part.flatten() for part in parts])


def meta_gradient(rule, episode, loss=squared_error):
    """Return the meta-loss and its gradient, as training computes them."""
    objective = MeanOverTasks(loss)
    value = objective.aggregate(rule.task_losses(episode, objective))
    parts = torch.autograd.grad(value, trained(rule), materialize_grads=True)
    return value.detach(), flat(parts)


def loop_gradient(rule, episode, one_task):
    """Return the mean of a loss over tasks and its gradient; `one_task` gets unpadded rows."""
    value = torch.stack([one_task(*task) for task in tasks_of(episode)]).mean()
    parts = torch.autograd.grad(value, trained(rule), materialize_grads=True)
    return value.detach(), flat(parts)


def assert_close(found, expected, tolerance=1e-10):
    """Compare (meta-loss, gradient) pairs by their relative error."""
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= tolerance * other.norm().clamp(min=1e-12)


def weights_of(network):
    return {n: p for n, p in network.named_parameters() if p.requires_grad}


def run(network, weights, X):
    """Run a network with other weights; a layer that is in it twice takes them once."""
    tie = len(list(network.modules())) == len(list(network.named_modules(remove_duplicate=False)))
    return functional_call(network, weights, (X,), tie_weights=tie)


def slope(network, weights, rows, loss=squared_error, create_graph=True):
    """Return the gradient, by weights, of the mean loss over rows."""
    X, y = rows
    value = loss(run(network, weights, X), y).mean()
    parts = torch.autograd.grad(value, list(weights.values()), create_graph=create_graph)
    return dict(zip(weights, parts, strict=True))


def descend(
    network, weights, rows, n_steps, rates, *, loss=squared_error, first_order=False,
    max_norm=None, radius=0.0, pull=0.0,
):  # fmt: skip
    """Take inner steps on one task; `rates` is a number or has one for each weight."""
    start = weights
    for _ in range(n_steps):
        at = weights
        if radius:
            g = slope(network, weights, rows, loss)
            norm = flat(g.values()).norm()
            at = {name: w + radius * g[name] / norm for name, w in weights.items()}
        g = slope(network, at, rows, loss)
        if max_norm is not None:
            shrink = (max_norm / flat(g.values()).norm()).clamp(max=1.0)
            g = {name: shrink * part for name, part in g.items()}
        if first_order:
            g = {name: part.detach() for name, part in g.items()}
        weights = {
            name: w
            - (rates[name] if isinstance(rates, dict) else rates)
            * (g[name] + pull * (w - start[name]))
            for name, w in weights.items()
        }
    return weights
