"""Networks that mix two rows behind one of their layers."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from skmeta.augmentation._mixing_chain import MixingChain
from skmeta.modules import MLP


def chain_of(network, n_features=3, n_context=0, ends_in_features=False):
    return MixingChain(
        network.double(),
        n_features=n_features,
        width=n_features + n_context,
        ends_in_features=ends_in_features,
    )


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def together(X, Z, share, context=None):
    shares = torch.full_like(X[..., :1], share)
    return torch.cat([X, Z, shares, X[..., :0] if context is None else context], dim=-1)


def test_a_usual_row_passes_as_through_the_network():
    network = MLP(3, 2, hidden_layer_sizes=(5, 4))
    chain = chain_of(network)
    X = rows(6, 3)
    for depth in chain.depths:
        chain.depth = depth
        assert torch.equal(chain(X), network(X))
        assert torch.equal(chain(together(X, rows(6, 3) + 1, 0.0)), network(X))
        assert torch.equal(chain(together(X, X, 0.3)), network(X))
    assert list(dict(chain.named_parameters())) == list(dict(network.named_parameters()))


def test_depths_are_where_linear_layers_begin_and_where_a_body_ends():
    assert chain_of(MLP(3, 2, hidden_layer_sizes=(5, 4))).depths == [0, 2, 4]
    assert chain_of(MLP(3, None, (5, 4)), ends_in_features=True).depths == [0, 2, 4]
    assert chain_of(MLP(3, 2, hidden_layer_sizes=())).depths == [0]


def test_hidden_rows_are_mixed_behind_the_layer():
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    chain = chain_of(network)
    X, Z = rows(4, 6, 3), rows(4, 6, 3).flip(0)
    for depth in chain.depths:
        chain.depth = depth
        before, behind = network[:depth], network[depth:]
        expected = behind(0.8 * before(X) + 0.2 * before(Z))
        torch.testing.assert_close(chain(together(X, Z, 0.2)), expected)


def test_all_depths_of_an_affine_network_are_alike():
    network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4), nn.Linear(4, 2))
    chain = chain_of(network)
    X, Z = rows(6, 3), rows(6, 3).flip(0)
    expected = 0.7 * network(X) + 0.3 * network(Z)
    for depth in (0, 1, 2):
        chain.depth = depth
        torch.testing.assert_close(chain(together(X, Z, 0.3)), expected)


def test_a_context_is_that_of_both_rows():
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    chain = chain_of(network, n_context=2)
    X, Z, context = rows(6, 3), rows(6, 3).flip(0), rows(6, 2)
    chain.depth = 2
    hidden = [network[:2](torch.cat([part, context], dim=1)) for part in (X, Z)]
    expected = network[2:](0.8 * hidden[0] + 0.2 * hidden[1])
    torch.testing.assert_close(chain(together(X, Z, 0.2, context)), expected)


def test_layers_may_return_images():
    network = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)
    )
    chain = chain_of(network, n_features=16)
    X, Z = rows(3, 16), rows(3, 16).flip(0)
    chain.depth = 2
    expected = network[2:](0.75 * network[:2](X) + 0.25 * network[:2](Z))
    torch.testing.assert_close(chain(together(X, Z, 0.25)), expected)


def test_it_pickles():
    chain = chain_of(MLP(3, 2))
    assert torch.equal(pickle.loads(pickle.dumps(chain))(rows(2, 3)), chain(rows(2, 3)))


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match=r"plain torch.nn.Sequential.*got Linear"):
        chain_of(nn.Linear(3, 2))
