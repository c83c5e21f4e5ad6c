"""The default network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skmeta import MLP


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", torch.relu),
        ("tanh", torch.tanh),
        ("gelu", nn.functional.gelu),
        ("silu", nn.functional.silu),
    ],
)
def test_is_what_it_says(activation, function):
    network = MLP(3, 2, hidden_layer_sizes=(5, 4), activation=activation)
    first, second, last = (layer for layer in network if isinstance(layer, nn.Linear))
    X = torch.randn(7, 3)
    torch.testing.assert_close(network(X), last(function(second(function(first(X))))))


def test_without_outputs_it_ends_in_the_last_hidden_layer():
    body = MLP(3, hidden_layer_sizes=(5, 4))
    assert body(torch.randn(7, 3)).shape == (7, 4)
    assert (body(torch.randn(7, 3)) >= 0).all()


def test_without_hidden_layers_it_is_linear():
    network = MLP(3, 2, hidden_layer_sizes=())
    assert [type(layer) for layer in network] == [nn.Linear]
    assert list(MLP(3, hidden_layer_sizes=())) == []


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="activation='step'"):
        MLP(3, 2, activation="step")
