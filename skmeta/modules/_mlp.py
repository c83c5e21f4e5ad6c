"""The multilayer perceptron that learners build when no module is given."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

__all__ = ["MLP"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class MLP(nn.Sequential):
    """A multilayer perceptron.

    Parameters
    ----------
    n_features_in : int
        The number of inputs.
    n_outputs : int or None, default=None
        The number of outputs; None ends with the last hidden layer, as a body for a head.
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.
    activation : {"relu", "tanh", "gelu", "silu"}, default="relu"
        The nonlinearity.

    Raises
    ------
    ValueError
        If `activation` is none of these.

    Examples
    --------
    >>> import torch
    >>> from skmeta.modules import MLP
    >>> MLP(3, 1, hidden_layer_sizes=(8,))(torch.zeros(5, 3)).shape
    torch.Size([5, 1])
    """

    def __init__(
        self,
        n_features_in: int,
        n_outputs: int | None = None,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        activation: str = "relu",
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation={activation!r} must be one of {sorted(_ACTIVATIONS)}.")
        layers: list[nn.Module] = []
        width = n_features_in
        for size in hidden_layer_sizes:
            layers += [nn.Linear(width, size), _ACTIVATIONS[activation]()]
            width = size
        if n_outputs is not None:
            layers.append(nn.Linear(width, n_outputs))
        super().__init__(*layers)
