"""Gradient steps on all weights, from a meta-learned initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skmeta.inner._compile import compiled, distinct_sizes, warn_uncompiled
from skmeta.inner._losses import RowLoss, row_shares
from skmeta.inner._networks import (
    LoopedNetworks,
    Rates,
    TaskNetworks,
    VmappedNetworks,
    step,
)
from skmeta.inner._rates import InnerRates
from skmeta.inner._rule import InnerRule, TaskTensors, network_width, squared_norm
from skmeta.inner._stacked import StackedMLP

__all__ = ["GradientSteps"]

_WORTHWHILE = 64  # tasks at once from which on compiling their adaptation may pay
_EXPLOSION = 10.0  # how much trained steps may raise a task's loss before they have diverged

_ENGINES: dict[str, type[TaskNetworks]] = {
    "stacked": StackedMLP,
    "vmap": VmappedNetworks,
    "loop": LoopedNetworks,
}


class GradientSteps(InnerRule):
    """``w ← w - α ∇L_support(w)``, started at the meta-parameters θ (MAML, equation 1).

    Parameters
    ----------
    network : Module
        Maps rows to outputs. Its frozen weights (``requires_grad=False``) take no steps.
    n_features_in, n_outputs : int
        The sizes of a row and of its prediction.
    loss : RowLoss
        The loss of each row.
    lr : float, (float, float) or dict
        The inner rates α, see `InnerRates`.
    n_steps : int
        The number of steps; in use `n_adapt_steps` of them, unless that is None.
    first_order : bool, default=False
        Treat the inner gradients as constants: the meta-gradient is then the query gradient at
        the adapted weights.
    learn_lr : {None, "layer", "weight"}, default=None
        Whether the rates are meta-learned.
    max_norm : float, default=None
        The largest norm of a task's inner gradient; a longer one is scaled down to it.
    radius : float, default=0
        Take the inner gradient at ``w + radius ∇L / ‖∇L‖``, where the loss is about the highest
        nearby.
    """

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        loss: RowLoss,
        lr: float | tuple[float, float] | Mapping[str, float],
        n_steps: int,
        first_order: bool = False,
        learn_lr: str | None = None,
        max_norm: float | None = None,
        radius: float = 0.0,
    ) -> None:
        super().__init__()
        if not any(weight.requires_grad for weight in network.parameters()):
            raise ValueError(
                f"module {type(network).__name__} has no parameters that can be trained: it has "
                "none at all, or all have requires_grad=False."
            )
        width = network_width(network, n_features_in)
        if width != n_outputs:
            raise ValueError(
                f"module has {width} output(s), but the targets need {n_outputs}; give it an "
                "argument n_outputs, which is filled in."
            )
        self.network = network
        self.loss = loss
        self.n_steps = n_steps
        self.n_adapt_steps: int | None = None
        self.compiled = False  # whether steps in use run compiled
        self._graphs: dict[int, Any] = {}  # by the number of steps
        self.first_order = first_order
        self.max_norm = max_norm
        self.radius = radius
        try:
            self.use("stacked")
        except ValueError:
            convolves = any(isinstance(m, nn.modules.conv._ConvNd) for m in network.modules())
            self.use("loop" if convolves and next(network.parameters()).is_cpu else "vmap")
        self.rates = InnerRates(self.networks.start(), lr, learn_lr)

    def use(self, engine: str) -> None:
        """Choose how networks run: "stacked", "vmap" or "loop".

        A multilayer perceptron runs stacked by itself and others by vmap, except that tasks take
        turns where that is faster, with convolutions on a CPU.

        Parameters
        ----------
        engine : str
            The way.
        """
        self.engine = engine
        self.networks = _ENGINES[engine](self.network, self.loss)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**state, "_graphs": {}}

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Take the inner steps for every task.

        In use (`eval` mode, no gradients) the state also has the number of steps that each task
        has taken: one whose steps diverged goes back to where its support loss was lowest, before
        it exploded.
        """
        share = row_shares(mask)
        if not (self.training or torch.is_grad_enabled()):
            return self._settle(X, y, share)
        start, rates = self.networks.start(), self.rates()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.first_order):
            weights = self.descend(start, X, y, share, rates, self.n_steps)
        if self.first_order and torch.is_grad_enabled():
            weights = self._first_order(start, weights, X, y, share, rates)
        return self.networks.for_each(weights, len(X))

    def _first_order(
        self,
        start: TaskTensors,
        end: TaskTensors,
        X: Tensor,
        y: Tensor,
        share: Tensor,
        rates: Rates,
    ) -> TaskTensors:
        """Return the value of the adapted weights, with the derivative of constant slopes."""
        fixed = all(isinstance(rate, float) for rate in rates.values())
        if fixed:
            return {n: w.detach() + (start[n] - start[n].detach()) for n, w in end.items()}
        weights, ones = start, dict.fromkeys(rates, 1.0)
        for _ in range(self.n_steps):
            with torch.no_grad():
                after = self.step(weights, X, y, share, ones)
            weights = {
                name: step(w, w.detach() - after[name], rates[name]) for name, w in weights.items()
            }
        return weights

    def descend(
        self,
        weights: TaskTensors,
        X: Tensor,
        y: Tensor,
        share: Tensor,
        rates: Rates,
        n_steps: int,
    ) -> TaskTensors:
        """Take steps for every task."""
        for _ in range(n_steps):
            weights = self.step(weights, X, y, share, rates)
        return weights

    def step(
        self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor, rates: Rates
    ) -> TaskTensors:
        """Take one step for every task."""
        at = weights
        if self.radius:
            slope = self.networks.slope(weights, X, y, share)
            at = _scaled_sum(
                weights, slope, self.radius / squared_norm(slope).sqrt().clamp(min=1e-12)
            )
        elif self.max_norm is None:
            return self.networks.descend(weights, X, y, share, rates)
        slope = self.networks.slope(at, X, y, share)
        if self.max_norm is not None:
            shrink = (self.max_norm / squared_norm(slope).sqrt().clamp(min=1e-12)).clamp(max=1.0)
            slope = {name: _by_task(shrink, s) * s for name, s in slope.items()}
        return {name: step(w, slope[name], rates[name]) for name, w in weights.items()}

    def predict(self, X: Tensor, state: TaskTensors) -> Tensor:
        """Run the network with the weights of each task."""
        return self.networks.run({name: state[name] for name in self.networks.start()}, X)

    def _settle(self, X: Tensor, y: Tensor, share: Tensor) -> TaskTensors:
        """Take the steps that adapt in use, and undo those that diverged."""
        n_steps = self.n_steps if self.n_adapt_steps is None else self.n_adapt_steps
        *ends, losses = self._run_in_use(_Steps(self, n_steps), X, y, share)
        weights = dict(zip(self.networks.start(), ends, strict=True))
        # Steps that overshoot may end where only the rows of the support are fitted again.
        limit, after = _EXPLOSION * losses[0], losses[1:]
        diverged = ~((after <= limit).all(dim=0) & (after[-1] <= after[0]))
        state = dict(self.networks.for_each(weights, len(X)))
        state["n_steps"] = torch.full((len(X),), n_steps, device=X.device)
        if diverged.any():
            best = self._lowest(X[diverged], y[diverged], share[diverged], n_steps)
            state = {name: value.clone() for name, value in state.items()}
            for name, value in best.items():
                state[name][diverged] = value
        return state

    def _run_in_use(self, steps: _Steps, *rows: Tensor) -> list[Tensor]:
        """Run steps, compiled where that has been asked for and pays."""
        free = self.engine == "stacked"  # the others' traces hold for one number of tasks alone
        worthwhile = self.compiled and free and len(rows[0]) >= _WORTHWHILE
        if worthwhile and steps.n_steps:
            try:
                return self._run_compiled(steps, *rows)
            except Exception as failure:  # of the many kinds that a compiler has
                self.compiled = False
                warn_uncompiled("Adaptation", failure)
        found: list[Tensor] = steps(*rows)
        return found

    def _run_compiled(self, steps: _Steps, *rows: Tensor) -> list[Tensor]:
        held = {**dict(steps.named_parameters()), **dict(steps.named_buffers())}
        if steps.n_steps not in self._graphs:

            def run(*tensors: Tensor) -> list[Tensor]:
                values = dict(zip(held, tensors[: len(held)], strict=True))
                found: list[Tensor] = functional_call(steps, values, tensors[len(held) :])
                return found

            sizes = distinct_sizes(rows[0].shape[:2], [*rows, *held.values()])
            examples = [part.new_zeros(*sizes, *part.shape[2:]) for part in rows]
            self._graphs[steps.n_steps] = compiled(run, *held.values(), *examples, dynamic=True)
        found: list[Tensor] = self._graphs[steps.n_steps](*held.values(), *rows)
        return found

    def _lowest(self, X: Tensor, y: Tensor, share: Tensor, n_steps: int) -> TaskTensors:
        """Return the weights of each task where its support loss is lowest before it explodes."""
        weights, rates = self.networks.start(), self.rates()
        best = dict(self.networks.for_each(weights, len(X)))
        best["n_steps"] = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        lowest = self._support_loss(weights, X, y, share)
        limit, sound = _EXPLOSION * lowest, torch.ones_like(lowest, dtype=torch.bool)
        for number in range(1, n_steps + 1):
            weights = self.step(weights, X, y, share, rates)
            loss = self._support_loss(weights, X, y, share)
            sound &= loss <= limit
            better = sound & (loss < lowest)
            lowest = torch.where(better, loss, lowest)
            now = {**weights, "n_steps": torch.full_like(best["n_steps"], number)}
            best = {n: torch.where(_by_task(better, now[n]), now[n], b) for n, b in best.items()}
        return best

    def _support_loss(self, weights: TaskTensors, X: Tensor, y: Tensor, share: Tensor) -> Tensor:
        return (self.loss(self.networks.run(weights, X), y) * share).sum(dim=1)

    def represent(self, X: Tensor) -> Tensor:
        """Return what enters the last linear layer, at the meta-parameters."""
        seen: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
            for layer in self.network.modules()
            if isinstance(layer, nn.Linear)
        ]
        try:
            output: Tensor = self.network(X)
        finally:
            for hook in hooks:
                hook.remove()
        return seen[-1].flatten(1) if seen else output

    @property
    def bytes_per_task(self) -> int:
        """Size of the weights of a task."""
        return sum(
            p.numel() * p.element_size() for p in self.network.parameters() if p.requires_grad
        )


class _Steps(nn.Module):
    """Steps of a rule in use, as a module, whose parameters can be replaced.

    It returns the weights, and losses on the support: that at the start, that after the steps of
    training, and that after each further one.
    """

    def __init__(self, rule: GradientSteps, n_steps: int) -> None:
        super().__init__()
        self.rule = rule
        self.n_steps = n_steps

    def forward(self, X: Tensor, y: Tensor, share: Tensor) -> list[Tensor]:
        rule, rates = self.rule, self.rule.rates()
        start, trained = rule.networks.start(), min(rule.n_steps, self.n_steps)
        weights = rule.descend(start, X, y, share, rates, trained)
        losses = [rule._support_loss(at, X, y, share) for at in (start, weights)]
        for _ in range(self.n_steps - trained):
            weights = rule.step(weights, X, y, share, rates)
            losses.append(rule._support_loss(weights, X, y, share))
        return [*weights.values(), torch.stack(losses)]


def _by_task(factor: Tensor, like: Tensor) -> Tensor:
    return factor.view(-1, *[1] * (like.ndim - 1))


def _scaled_sum(weights: TaskTensors, slope: TaskTensors, factor: Tensor) -> TaskTensors:
    return {name: w + _by_task(factor, slope[name]) * slope[name] for name, w in weights.items()}
