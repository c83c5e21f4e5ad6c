"""Networks that know where a box around a row ends up."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
import torch
from torch import nn

from skmeta.augmentation._interval_chain import IntervalChain
from skmeta.modules import MLP


def chain_of(network, n_layers=1, n_context=0, ends_in_features=True, epsilon=0.3):
    chain = IntervalChain(
        network.double(), n_features=3, width=3 + n_context, ends_in_features=ends_in_features,
        n_layers=n_layers,
    )  # fmt: skip
    chain.epsilon = epsilon
    return chain


def rows(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def body(activation="relu"):
    torch.manual_seed(0)
    return MLP(3, None, hidden_layer_sizes=(6, 5), activation=activation)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_all_of_the_box_stays_within_the_bounds(activation, n_layers):
    chain = chain_of(body(activation), n_layers)
    X = rows(20, 3)
    lower, value, upper = chain.bounds(X)
    torch.testing.assert_close(value, nn.Sequential(*list(chain)[: chain.depth])(X))
    generator = torch.Generator().manual_seed(1)
    for corner in (False, True):
        at = 2 * torch.rand(500, 20, 3, generator=generator, dtype=torch.float64) - 1
        inside = X + chain.epsilon * (at.sign() if corner else at)
        hidden = nn.Sequential(*list(chain)[: chain.depth])(inside)
        assert (hidden >= lower - 1e-12).all()
        assert (hidden <= upper + 1e-12).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 2.0])
def test_bounds_of_an_affine_layer_are_reached(epsilon):
    chain = chain_of(nn.Sequential(nn.Linear(3, 4)), epsilon=epsilon)
    X, W = rows(7, 3), chain[0].weight
    lower, value, upper = chain.bounds(X)
    corner = X[:, None] + epsilon * W.sign()  # of the box, for each output
    highest = (corner * W).sum(dim=2) + chain[0].bias
    torch.testing.assert_close(upper, highest)
    torch.testing.assert_close(lower, 2 * value - highest)


def test_boxes_grow_with_epsilon():
    chain = chain_of(body(), n_layers=2)
    X, sizes = rows(7, 3), []
    for chain.epsilon in (0.0, 0.1, 0.3, 1.0):
        lower, value, upper = chain.bounds(X)
        sizes.append((upper - value, value - lower))
    for side in zip(*sizes, strict=True):
        assert side[0].abs().max() < 1e-12
        assert all((b >= a - 1e-12).all() for a, b in pairwise(side))
        assert side[-1].mean() > side[1].mean()


def test_longer_rows_are_mixed_with_the_bound_that_the_sign_names():
    network = MLP(3, 2, hidden_layer_sizes=(6,))
    chain = chain_of(network, ends_in_features=False)
    X = rows(4, 7, 3)
    lower, value, upper = chain.bounds(X)
    for share, bound in ((0.0, lower), (0.4, upper), (-0.4, lower), (1.0, upper)):
        found = chain(torch.cat([X, torch.full_like(X[..., :1], share)], dim=-1))
        mixed = (1 - abs(share)) * value + abs(share) * bound
        torch.testing.assert_close(found, network[-1](mixed))
    assert torch.equal(chain(X), network(X))


def test_a_context_is_not_in_the_box():
    torch.manual_seed(0)
    chain = chain_of(nn.Sequential(nn.Linear(5, 4)), n_context=2)
    lower, _, upper = chain.bounds(rows(6, 5))
    radius = 0.3 * chain[0].weight[:, :3].abs().sum(dim=1)
    torch.testing.assert_close(upper - lower, (2 * radius).expand(6, -1))


def test_it_pickles_and_keeps_names():
    network = body()
    chain = pickle.loads(pickle.dumps(chain_of(network)))
    assert list(dict(chain.named_parameters())) == list(dict(network.named_parameters()))


@pytest.mark.parametrize(
    ("network", "params", "message"),
    [
        (nn.Linear(3, 2), {}, "plain torch.nn.Sequential"),
        (MLP(3, None, (4,), activation="gelu"), {}, "monotone activations.*has GELU"),
        (nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), {}, "has LayerNorm"),
        (MLP(3, 2, (4,)), {"n_layers": 2, "ends_in_features": False}, "number of hidden layers, 1"),
        (MLP(3, None, (4,)), {"n_layers": 2}, "number of hidden layers, 1"),
    ],
    ids=str,
)
def test_other_networks_are_refused(network, params, message):
    with pytest.raises(ValueError, match=message):
        chain_of(network, **params)
