"""Adam's fused kernel, without what stands around it."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["AdamKernel"]


class AdamKernel:
    """Step a fused `torch.optim.Adam` or `AdamW` by its kernel alone.

    Each call of ``optimizer.step`` gathers its tensors anew, opens a range of the profiler and
    looks for hooks: on a small meta-batch that takes a third as long as the meta-gradient. The
    numbers are the same to the bit, and the state remains the optimizer's.

    Parameters
    ----------
    optimizer : torch.optim.Adam
        One that `serves` accepts.
    """

    def __init__(self, optimizer: torch.optim.Adam) -> None:
        self.optimizer = optimizer
        self.state = optimizer.state
        (self.group,) = optimizer.param_groups
        self.params = self.group["params"]
        states = [self.state[parameter] for parameter in self.params]
        self.means, self.squares = (
            [state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")
        )
        # One tensor holds all counts: to add to each takes longer than Adam itself.
        self.count = torch.stack([state["step"] for state in states])
        self.counts = [*self.count.unbind()]
        for state, count in zip(states, self.counts, strict=True):
            state["step"] = count
        decoupled = isinstance(optimizer, torch.optim.AdamW)
        self.kernel: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_

    @staticmethod
    def serves(optimizer: Any) -> bool:
        """Whether a step of the optimizer is its kernel and nothing else.

        Parameters
        ----------
        optimizer : torch optimizer
            Of any kind.

        Returns
        -------
        serves : bool
            False before its first step, too, which makes its state.
        """
        if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
            return False
        group = optimizer.param_groups[0]
        return (
            len(optimizer.param_groups) == 1
            and bool(group["fused"])
            and not (group["amsgrad"] or group["capturable"] or group["differentiable"])
            and isinstance(group["lr"], float)
            and "step" not in vars(optimizer)  # schedulers of the rate put theirs there
            and not (optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)
            and all(parameter in optimizer.state for parameter in group["params"])
            and len({(parameter.device, parameter.dtype) for parameter in group["params"]}) == 1
        )

    def step(self) -> bool:
        """Step by the gradients in the parameters.

        Returns
        -------
        stepped : bool
            False if nothing was done, because the optimizer has another state by now, or a
            parameter no gradient.
        """
        slopes = [parameter.grad for parameter in self.params]
        if self.optimizer.state is not self.state or any(slope is None for slope in slopes):
            return False
        group = self.group
        with torch.no_grad():
            self.count += 1
            self.kernel(
                self.params,
                slopes,
                self.means,
                self.squares,
                [],
                self.counts,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=group["maximize"],
            )
        return True
