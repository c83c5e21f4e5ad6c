"""Gradient steps on all weights, from a meta-learned initialisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from skmeta.inner._losses import RowLoss, mean_over_rows
from skmeta.inner._rule import InnerRule, TaskTensors, network_width

__all__ = ["GradientSteps"]


class GradientSteps(InnerRule):
    """``w ← w - α ∇L_support(w)``, started at the meta-parameters θ (MAML, equation 1).

    Parameters
    ----------
    network : Module
        Maps rows to outputs. Its frozen weights (``requires_grad=False``) take no steps.
    n_features_in, n_outputs : int
        The sizes of a row and of its prediction.
    loss : callable
        The loss of each row.
    lr : float
        The inner rate α.
    n_steps : int
        The number of steps.
    first_order : bool
        Treat the inner gradients as constants: the meta-gradient is then the query gradient at
        the adapted weights.
    """

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        loss: RowLoss,
        lr: float,
        n_steps: int,
        first_order: bool,
    ) -> None:
        super().__init__()
        width = network_width(network, n_features_in)
        if width != n_outputs:
            raise ValueError(
                f"module has {width} output(s), but the targets need {n_outputs}; give it an "
                "argument n_outputs, which is filled in."
            )
        self.network = network
        self.loss = loss
        self.lr = lr
        self.n_steps = n_steps
        self.first_order = first_order
        self.batched = True  # False: one task after another, for operators that vmap gets wrong

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Take the inner steps for every task."""
        start = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        weights = {name: p.expand(len(X), *p.shape) for name, p in start.items()}
        gradient = self._over_tasks(grad(self._task_loss))
        second_order = torch.is_grad_enabled() and not self.first_order
        with torch.set_grad_enabled(second_order), _plain_attention():
            for _ in range(self.n_steps):
                slope = gradient(weights, X, y, mask)
                weights = {
                    name: torch.sub(w, slope[name], alpha=self.lr) for name, w in weights.items()
                }
        if self.first_order and torch.is_grad_enabled():
            # The value of the adapted weights, the derivative of the identity.
            weights = {
                name: w.detach() + (start[name] - start[name].detach())
                for name, w in weights.items()
            }
        return weights

    def predict(self, X: Tensor, state: TaskTensors) -> Tensor:
        """Run the network with the weights of each task."""
        with _plain_attention():
            output: Tensor = self._over_tasks(self._run)(state, X)
        return output

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

    def _run(self, weights: TaskTensors, X: Tensor) -> Tensor:
        output: Tensor = functional_call(self.network, weights, (X,))
        return output

    def _task_loss(self, weights: TaskTensors, X: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        return mean_over_rows(self.loss(self._run(weights, X), y), mask)

    def _over_tasks(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self.batched:
            return vmap(function, randomness="different")
        return lambda *stacked: _loop(function, stacked)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attend by the operators that have a second derivative and run batched over tasks."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _loop(function: Callable[..., Any], stacked: tuple[Any, ...]) -> Any:
    """Do what vmap does, one task after another."""
    n_tasks = len(stacked[-1])
    results = [
        function(*(_pick(argument, task) for argument in stacked)) for task in range(n_tasks)
    ]
    if isinstance(results[0], dict):
        return {name: torch.stack([r[name] for r in results]) for name in results[0]}
    return torch.stack(results)


def _pick(argument: Any, task: int) -> Any:
    if isinstance(argument, dict):
        return {name: value[task] for name, value in argument.items()}
    return argument[task]
