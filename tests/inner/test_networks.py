"""Three ways to run one network for many tasks agree with a plain loop over tasks."""

from __future__ import annotations

import copy

import pytest
import torch
from _episodes import (
    TOLERANCE,
    assert_close,
    descend,
    loop_gradient,
    meta_gradient,
    ragged,
    run,
    weights_of,
)
from torch import nn

from skmeta import MLP
from skmeta.inner import GradientSteps, cross_entropy, squared_error
from skmeta.inner._stacked import StackedMLP

ENGINES = ["stacked", "vmap", "loop"]
OPTIONS = {
    "plain": {},
    "no steps": {"n_steps": 0},
    "three steps": {"n_steps": 3},
    "first order": {"first_order": True},
    "a rate for each layer": {"learn_lr": "layer"},
    "a rate for each weight": {"learn_lr": "weight", "lr": (0.01, 0.3)},
    "first order, a rate for each layer": {"first_order": True, "learn_lr": "layer"},
    "fixed rates": {"lr": {"0": 0.05, "2.weight": 0.2}},
    "clipped": {"max_norm": 0.7},
    "sharpness-aware": {"radius": 0.1},
    "sharpness-aware, clipped": {"radius": 0.1, "max_norm": 0.7, "learn_lr": "layer"},
}


def steps(network, loss=squared_error, **options):
    options = {"lr": 0.1, "n_steps": 2, **options}
    return GradientSteps(network, 3, 2, loss=loss, **options)


def mlp(dtype=torch.float64, activation="tanh", bias=True):
    torch.manual_seed(0)
    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU}
    return nn.Sequential(
        nn.Linear(3, 5, bias=bias),
        kinds[activation](),
        nn.Linear(5, 4, bias=bias),
        kinds[activation](),
        nn.Linear(4, 2, bias=bias),
    ).to(dtype)


def expected_gradient(rule, episode, loss=squared_error):
    def one_task(support, query):
        adapted = descend(
            rule.network,
            weights_of(rule.network),
            support,
            rule.n_steps,
            dict(rule.rates()),
            loss=loss,
            first_order=rule.first_order,
            max_norm=rule.max_norm,
            radius=rule.radius,
        )
        X, y = query
        return loss(run(rule.network, adapted, X), y).mean()

    return loop_gradient(rule, episode, one_task)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_a_plain_loop_over_tasks(option, engine, dtype):
    network = MLP(3, 2, hidden_layer_sizes=(5,), activation="tanh").to(dtype)
    rule = steps(network, **OPTIONS[option])
    rule.use(engine)
    episode = ragged(dtype)
    found, expected = meta_gradient(rule, episode), expected_gradient(rule, episode)
    assert_close(found, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "gelu"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_chain_is_a_plain_loop_over_tasks(engine, activation, bias, loss):
    rule = steps(mlp(activation=activation, bias=bias), loss)
    rule.use(engine)
    episode = ragged(classes=loss is cross_entropy)
    found = meta_gradient(rule, episode, loss)
    assert_close(found, expected_gradient(rule, episode, loss))


@pytest.mark.parametrize("network", [
    lambda: nn.Linear(3, 2),
    lambda: nn.Linear(3, 2, bias=False),
    lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
    lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.ReLU()),
    lambda: MLP(3, 2),
    lambda: MLP(3, 2, hidden_layer_sizes=()),
])  # fmt: skip
def test_chains_of_linear_layers_run_stacked(network):
    torch.manual_seed(0)
    rule = steps(network().double())
    assert rule.engine == "stacked"
    episode = ragged()
    assert_close(meta_gradient(rule, episode), expected_gradient(rule, episode))


class Doubled(nn.Sequential):
    def forward(self, X):
        return 2 * super().forward(X)


class Scaled(nn.Linear):
    def forward(self, X):
        return 3 * super().forward(X)


def tied():
    network = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 2))
    network[2].weight = network[0].weight
    return network


def used_twice():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(3, 2))


def frozen():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    return network


def hooked():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    network[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    return network


class Doubling(nn.Module):
    def forward(self, weight):
        return 2 * weight


def parametrized():
    network = nn.Sequential(nn.Linear(3, 2))
    nn.utils.parametrize.register_parametrization(network[0], "weight", Doubling())
    return network


def hooked_before():
    network = nn.Sequential(nn.Linear(3, 2))
    network[0].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    return network


OTHERS = {
    "own forward": lambda: Doubled(nn.Linear(3, 2)),
    "own layer": lambda: nn.Sequential(Scaled(3, 2)),
    "tied weights": tied,
    "a layer twice": used_twice,
    "frozen weights": frozen,
    "hook": hooked,
    "hook before": hooked_before,
    "parametrized": parametrized,
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Linear(4, 2)),
    "other activation": lambda: nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2)),
    "approximate activation": lambda: nn.Sequential(nn.Linear(3, 2), nn.GELU("tanh")),
    "activated first": lambda: nn.Sequential(nn.Tanh(), nn.Linear(3, 2)),
    "activated twice": lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Tanh()),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_plain_chain_runs_by_vmap(kind):
    torch.manual_seed(0)
    network = OTHERS[kind]().double()
    with pytest.raises(ValueError, match=r"plain chain|frozen|chain of linear|approximate"):
        StackedMLP(network, squared_error)
    rule = steps(network)
    assert rule.engine == "vmap"
    episode = ragged()
    assert_close(meta_gradient(rule, episode), expected_gradient(rule, episode))


def test_convolutions_take_turns_on_a_cpu():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2)
    ).double()
    rule = steps(network)
    assert rule.engine == "loop"
    episode = ragged()
    assert_close(meta_gradient(rule, episode), expected_gradient(rule, episode))


@pytest.mark.parametrize("engine", ENGINES)
def test_tasks_may_share_weights_or_have_their_own(engine):
    rule = steps(mlp())
    rule.use(engine)
    X, shared = ragged().query_X, rule.networks.start()
    own = rule.networks.for_each(shared, len(X))
    assert all(len(w) == len(X) for w in own.values())
    torch.testing.assert_close(rule.networks.run(own, X), rule.networks.run(shared, X))
    torch.testing.assert_close(rule.networks.run(shared, X), rule.network(X))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
def test_the_slope_of_rows_that_are_all_padding_is_zero(engine, loss):
    rule = steps(mlp(), loss)
    rule.use(engine)
    X, y = torch.randn(2, 3, 3).double(), torch.zeros(2, 3, 2).double()
    found = rule.networks.slope(rule.networks.start(), X, y, torch.zeros(2, 3).double())
    assert all(not part.any() for part in found.values())


@pytest.mark.parametrize("learn", ["layer", "weight"])
def test_the_gradient_by_learned_rates_is_the_slope_of_the_meta_loss(learn):
    rule = steps(mlp(), learn_lr=learn)
    episode = ragged()
    _, found = meta_gradient(rule, episode)
    rates = list(rule.rates.parameters())
    at = len(found) - sum(rate.numel() for rate in rates)
    for rate in rates:
        values = []
        with torch.no_grad():
            first = rate.view(-1)[0]
            for change in (1e-5, -2e-5):
                first += change
                values.append(meta_gradient_value(rule, episode))
            first += 1e-5
        slope = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close(found[at], slope, rtol=1e-6, atol=1e-9)
        at += rate.numel()


def meta_gradient_value(rule, episode):
    with torch.enable_grad():
        return meta_gradient(rule, episode)[0]


def test_rates_of_layers_left_out_are_zero():
    rule = steps(mlp(), lr={"0": 0.05, "2.weight": 0.2})
    rates = rule.rates()
    assert rates["0.weight"] == rates["0.bias"] == 0.05
    assert rates["2.weight"] == 0.2
    assert rates["2.bias"] == rates["4.weight"] == rates["4.bias"] == 0
    X, y, ones = torch.randn(2, 3, 3).double(), torch.randn(2, 3, 2).double(), torch.ones(2, 3)
    state = rule.adapt(X, y, ones.double())
    for name in ("2.bias", "4.weight", "4.bias"):
        before = rule.networks.start()[name]
        torch.testing.assert_close(state[name], before.expand_as(state[name]), rtol=0, atol=0)
    assert not torch.equal(state["0.bias"][0], rule.network[0].bias)


@pytest.mark.parametrize("name", ["1", "3.weight", "0.weigh", ""])
def test_a_rate_for_no_parameter_is_named(name):
    with pytest.raises(ValueError, match="which is no parameter of the module"):
        steps(mlp(), lr={"0": 0.1, name: 0.1})


def test_rates_in_double_precision_are_not_rounded():
    """Also where the network is made double later, as training does."""
    rule = steps(mlp(torch.float32), lr=0.1).double()
    assert set(rule.rates().values()) == {0.1}


def test_drawn_rates_are_in_their_range():
    torch.manual_seed(0)
    rates = steps(mlp(), lr=(0.005, 0.1), learn_lr="weight").rates()
    values = torch.cat([rate.flatten() for rate in rates.values()])
    assert 0.005 <= values.min() < values.max() <= 0.1
    assert values.unique().numel() == values.numel()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_copy_has_weights_of_its_own(engine):
    rule = steps(mlp())
    rule.use(engine)
    other = copy.deepcopy(rule)
    with torch.no_grad():
        for weight in other.network.parameters():
            weight.zero_()
    X = ragged().query_X
    assert not other.networks.run(other.networks.start(), X).any()
    assert rule.networks.run(rule.networks.start(), X).any()


@pytest.mark.parametrize("loss", [squared_error, cross_entropy])
@pytest.mark.parametrize("n_rows", [6, 40])  # 40: more than are differentiated at once
@pytest.mark.parametrize("engine", ENGINES)
def test_squares_of_row_gradients_are_a_plain_loop_over_rows(engine, n_rows, loss):
    rule = steps(mlp(), loss)
    rule.use(engine)
    sizes = [(4, 1), (1, 1), (n_rows, 1)]
    episode = ragged(classes=loss is cross_entropy, sizes=sizes)
    weights, mask = rule.networks.start(), episode.support_mask
    share = mask * torch.rand(mask.shape, dtype=mask.dtype)
    found = rule.networks.squared_slope(
        weights, episode.support_X, episode.support_y * mask[..., None], share
    )
    for task, (size, _) in enumerate(sizes):
        expected = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for row in range(size):
            value = loss(rule.network(episode.support_X[task, row]), episode.support_y[task, row])
            slopes = torch.autograd.grad(value, list(weights.values()))
            for name, slope in zip(weights, slopes, strict=True):
                expected[name] = expected[name] + share[task, row] * slope.square()
        for name in weights:
            torch.testing.assert_close(
                found[name][task], expected[name].detach(), rtol=1e-10, atol=1e-10
            )
