"""What all inner rules must stand: tasks without support, class episodes, odd networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skmeta import MLP
from skmeta.inner import (
    Episode,
    GradientSteps,
    JointHeads,
    RidgeSolve,
    cross_entropy,
    mean_over_rows,
    network_width,
    solve_ridge,
    squared_error,
    unit_rows,
)
from skmeta.training import MeanOverTasks

SUPPORT, QUERY = (0, 3, 5), (4, 2, 1)


def episode(n_outputs=1, **more):
    """Return three ragged tasks, the first without support."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for sizes in (SUPPORT, QUERY):
        width = max(sizes)
        X = torch.randn(3, width, 3, generator=generator, dtype=torch.float64)
        y = torch.randn(3, width, n_outputs, generator=generator, dtype=torch.float64)
        mask = torch.tensor([[i < size for i in range(width)] for size in sizes]).double()
        parts += [X, y * mask[..., None], mask]
    return Episode(*parts, tasks=torch.arange(3), **more)


def meta_gradient(rule, loss, episode):
    value = MeanOverTasks(loss)(rule(episode), episode)
    return torch.autograd.grad(value, list(rule.parameters()), materialize_grads=True)


def by_hand(rule, loss, episode, predict):
    """Mean of the query losses of the tasks; `predict` gets unpadded rows."""
    total = 0.0
    for task, (n_support, n_query) in enumerate(zip(SUPPORT, QUERY, strict=True)):
        predicted = predict(
            task,
            episode.support_X[task, :n_support],
            episode.support_y[task, :n_support],
            episode.query_X[task, :n_query],
        )
        total = total + loss(predicted, episode.query_y[task, :n_query]).mean() / 3
    return torch.autograd.grad(total, list(rule.parameters()), materialize_grads=True)


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
def test_a_task_without_support_trains_the_initialisation(engine):
    torch.manual_seed(0)
    network = MLP(3, 1, hidden_layer_sizes=(5,), activation="tanh").double()
    rule = GradientSteps(network, 3, 1, loss=squared_error, lr=0.2, n_steps=1, first_order=False)
    rule.use(engine)
    names = [name for name, _ in network.named_parameters()]

    def predict(task, X, y, query):
        weights = list(network.parameters())
        if len(X):
            loss = (network(X) - y).square().mean()
            slopes = torch.autograd.grad(loss, weights, create_graph=True)
            weights = [w - 0.2 * slope for w, slope in zip(weights, slopes, strict=True)]
        return torch.func.functional_call(network, dict(zip(names, weights, strict=True)), (query,))

    rows = episode()
    found = meta_gradient(rule, squared_error, rows)
    assert_equal(found, by_hand(rule, squared_error, rows, predict))


@pytest.mark.parametrize("engine", ["vmap", "loop"])
def test_tasks_drop_units_of_their_own(engine):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Linear(50, 1))
    rule = GradientSteps(network, 3, 1, loss=squared_error, lr=0.1, n_steps=1, first_order=False)
    rule.use(engine)
    X, y, mask = torch.randn(1, 4, 3).expand(2, 4, 3), torch.zeros(2, 4, 1), torch.ones(2, 4)
    first, second = rule.predict(X, rule.adapt(X, y, mask))
    assert not torch.allclose(first, second)
    rule.eval()
    first, second = rule.predict(X, rule.adapt(X, y, mask))
    torch.testing.assert_close(first, second)


def test_a_task_without_support_does_not_train_a_ridge_head():
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(4,), activation="tanh").double()
    rule = RidgeSolve(body, 3, alpha=0.3, learn_alpha=True, scale=None).double()

    def predict(task, X, y, query):
        F, Q = (torch.cat([body(rows), torch.ones(len(rows), 1)], dim=1) for rows in (X, query))
        if not len(X):
            return torch.zeros(len(query), 1)
        penalty = rule.log_alpha.exp() * len(X) * torch.eye(5).double()
        return Q @ torch.linalg.solve(F.T @ F + penalty, F.T @ y)

    rows = episode()
    found = meta_gradient(rule, squared_error, rows)
    assert_equal(found, by_hand(rule, squared_error, rows, predict))


@pytest.mark.parametrize("unit_norm", [True, False])
def test_rows_of_classes_are_shared_between_episodes(unit_norm):
    """``CE(f(x)·W[c]ᵀ)``: a class has the same weights in each episode that draws it."""
    torch.manual_seed(0)
    body = nn.Linear(3, 4).double()
    rule = JointHeads(body, 3, 7, 2, by_class=True, unit_norm=unit_norm).double()
    classes = torch.tensor([[0, 2], [2, 5], [5, 0]])
    rows = episode(2, classes=classes)
    rows.query_y.copy_(nn.functional.one_hot(rows.query_y.argmax(-1), 2))

    def predict(task, X, y, query):
        F = body(query)
        F = F / F.norm(dim=1, keepdim=True) if unit_norm else F
        return torch.stack([F @ rule.heads[c] for c in classes[task]], dim=1)

    found = meta_gradient(rule, cross_entropy, rows)
    assert_equal(found, by_hand(rule, cross_entropy, rows, predict))


def test_joint_training_of_one_task_is_ordinary_training():
    torch.manual_seed(0)
    body = MLP(3, hidden_layer_sizes=(4,), activation="tanh").double()
    rule = JointHeads(body, 3, 1, 1).double()
    network = nn.Sequential(body, nn.Linear(4, 1).double())
    with torch.no_grad():
        rule.heads.normal_()
        network[1].bias.copy_(rule.heads[0, 0])
        network[1].weight.copy_(rule.heads[0, 1:].T)
    X, y = torch.randn(9, 3).double(), torch.randn(9, 1).double()
    none, ones = torch.zeros(1, 0, 3).double(), torch.ones(1, 9).double()
    rows = Episode(none, none, none[..., 0], X[None], y[None], ones, torch.zeros(1).long())
    MeanOverTasks(squared_error)(rule(rows), rows).backward()
    found = [p.grad.clone() for p in body.parameters()]
    body.zero_grad()
    nn.functional.mse_loss(network(X), y).backward()
    assert_equal(found, [p.grad for p in body.parameters()])
    assert_equal(rule.heads.grad[0, 1:].T, network[1].weight.grad)


@pytest.mark.parametrize("n_classes", [10, 1000])
def test_training_starts_from_guessing_however_many_classes_there_are(n_classes):
    torch.manual_seed(0)
    rule = JointHeads(nn.Identity(), 3, n_classes, 5, by_class=True, unit_norm=True).double()
    rows = episode(5, classes=torch.randint(n_classes, (3, 5)))
    rows.query_y.copy_(nn.functional.one_hot(rows.query_y.argmax(-1), 5))
    spread = (rule(rows).log_softmax(dim=-1) + torch.tensor(5.0).log()).abs()
    assert spread[rows.query_mask > 0].max() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n_rows", "width"), [(5, 40), (40, 5), (64, 64)])
def test_the_ridge_solve_survives_a_vanishing_penalty(dtype, n_rows, width):
    """Rows that repeat make the Gram matrix singular; a learned penalty may go to nothing."""
    torch.manual_seed(0)
    F = torch.randn(3, 2, width, dtype=dtype).repeat(1, n_rows // 2 + 1, 1)[:, :n_rows]
    y = F @ torch.randn(3, width, 1, dtype=dtype)
    head = solve_ridge(100 * F, y, torch.full((3,), 1e-30, dtype=dtype))
    error = (100 * F @ head - y).norm() / y.norm()
    assert error < {torch.float32: 1e-2, torch.float64: 1e-8}[dtype]


def test_mean_over_rows_counts_rows_of_the_mask():
    loss = torch.tensor([[1.0, 2.0, 99.0], [99.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert mean_over_rows(loss, mask).tolist() == [1.5, 0.0]


def test_losses_are_torchs():
    predicted, y = torch.randn(6, 3), torch.randn(6, 3)
    torch.testing.assert_close(
        squared_error(predicted, y).mean(), nn.functional.mse_loss(predicted, y)
    )
    label = torch.randint(3, (6,))
    torch.testing.assert_close(
        cross_entropy(predicted, nn.functional.one_hot(label, 3)),
        nn.functional.cross_entropy(predicted, label, reduction="none"),
    )


def test_the_width_of_a_network_is_measured_without_training_it():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    assert network_width(network, 3) == 4
    assert network.training
    assert network[1].num_batches_tracked == 0
    assert network_width(network.eval(), 3) == 4
    assert not network.training
    with pytest.raises(ValueError, match="one vector for each row"):
        network_width(nn.Flatten(0), 3)


def test_unit_rows_have_length_1_and_two_derivatives_at_0():
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit_rows(rows), nn.functional.normalize(rows))
    assert torch.autograd.gradgradcheck(unit_rows, rows)
    zero = torch.zeros(2, 3, requires_grad=True)
    assert torch.equal(unit_rows(zero), zero)
    (slope,) = torch.autograd.grad(unit_rows(zero).sum(), zero, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), zero)
    assert slope.isfinite().all()
    assert second.isfinite().all()
