"""A chain of layers whose hidden features other tasks scale and shift."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from skmeta.augmentation._refusals import layers_of

__all__ = ["ModulationChain"]

_HIDDEN = 32  # units of the networks that modulate


class ModulationChain(nn.Sequential):
    """The layers of a `Sequential`, hidden ones followed by ``(1 + γ) h + β`` for longer rows.

    A row of the usual width passes as ever. A longer one is ``[x, s, ε, context]``: of each hidden
    linear layer l, ``s_l`` is the mean output for another task, and ``ε_l`` the noise with which
    ``z_l = μ_l + σ_l ε_l`` is drawn; ``(γ_l, β_l) = strength · z_l``. That both travel with the row
    keeps such rows ordinary ones for all that batches, chunks or maps over tasks.

    Parameters
    ----------
    network : Sequential
        The layers.
    n_features : int
        The length of x.
    width : int
        The length of a usual row: x and its context, if there is one.
    ends_in_features : bool
        Whether the last linear layer is a hidden one.
    strength : float
        The standard deviation of γ and β under the prior.

    Attributes
    ----------
    beside : ModuleList
        The networks of ``(s_l, z_{l-1})`` that return μ and log σ² of ``z_l``, 0 at the start. They
        are no parameters of the chain, or gradient learners would adapt them to each task.
    active : list of int
        The modulated ones of the hidden layers.

    Raises
    ------
    ValueError
        If the network is no plain `Sequential`, or has no hidden linear layer.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        n_features: int,
        width: int,
        ends_in_features: bool,
        strength: float,
    ) -> None:
        super().__init__(layers_of(network, "TaskModulation needs"))
        self.n_features = n_features
        self.width = width
        self.strength = strength
        linear = [(at, part) for at, part in enumerate(self) if isinstance(part, nn.Linear)]
        hidden = linear if ends_in_features else linear[:-1]
        if not hidden:
            raise ValueError("TaskModulation needs a network with a hidden linear layer.")
        self.places = [at for at, _ in hidden]
        self.widths = [layer.out_features for _, layer in hidden]
        self.active = list(range(len(hidden)))
        before = [0, *(2 * n for n in self.widths[:-1])]
        networks = nn.ModuleList(
            _modulator(n + n_before, 4 * n) for n, n_before in zip(self.widths, before, strict=True)
        )
        self._beside = (networks,)

    @property
    def beside(self) -> nn.Module:
        """Return the networks that modulate."""
        return self._beside[0]

    def summarise(self, X: Tensor) -> list[Tensor]:
        """Return what each hidden linear layer makes of usual rows."""
        found = []
        for at, layer in enumerate(self):
            X = layer(X)
            if at in self.places:
                found.append(X)
        return found

    def posteriors(self, extra: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return ``z_l``, ``μ_l`` and ``log σ²_l`` of the modulated layers.

        Parameters
        ----------
        extra : Tensor of shape (..., 3 * total width)
            s and ε of all layers.
        """
        n = sum(self.widths)
        summaries = torch.split(extra[..., :n], self.widths, dim=-1)
        noises = torch.split(extra[..., n:], [2 * w for w in self.widths], dim=-1)
        found, previous = [], extra[..., :0]
        for number, part in enumerate(self._beside[0]):
            if number in self.active:
                mean, log_variance = part(torch.cat([summaries[number], previous], -1)).chunk(2, -1)
                z = mean + (log_variance / 2).exp() * noises[number]
                found.append((z, mean, log_variance))
            else:
                z = torch.zeros_like(noises[number])
            previous = z
        return found

    def divergence(self, extra: Tensor) -> Tensor:
        """Return ``Σ_l KL(q(z_l | s_l, z_{l-1}) ‖ N(0, I))``."""
        parts = [
            kl_divergence(
                Normal(mean, (log_variance / 2).exp(), validate_args=False),
                Normal(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False),
            ).sum(dim=-1)
            for _, mean, log_variance in self.posteriors(extra)
        ]
        return torch.stack(parts).sum(dim=0)

    def forward(self, X: Tensor) -> Tensor:
        """Run the layers."""
        changes: dict[int, Tensor] = {}
        if X.shape[-1] > self.width:
            n, n_extra = self.n_features, 3 * sum(self.widths)
            sizes = [n, n_extra, X.shape[-1] - n - n_extra]
            x, extra, context = torch.split(X, sizes, dim=-1)
            X = torch.cat([x, context], dim=-1)
            drawn = self.posteriors(extra)
            changes = {self.places[a]: z for a, (z, _, _) in zip(self.active, drawn, strict=True)}
        for at, layer in enumerate(self):
            X = layer(X)
            if at in changes:
                scale, shift = (self.strength * changes[at]).chunk(2, dim=-1)
                X = (1 + scale) * X + shift
        return X


def _modulator(n_in: int, n_out: int) -> nn.Sequential:
    last = nn.Linear(_HIDDEN, n_out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(n_in, _HIDDEN), nn.ReLU(), last)
