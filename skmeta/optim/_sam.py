"""Sharpness-aware minimisation, as a torch optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["SAM"]


class SAM(torch.optim.Optimizer):
    """Step by the gradient at the worst point nearby.

    The gradient g at θ gives the point ``θ + rho g / ‖g‖`` (equation 2 of [1]_); the gradient
    there goes to a base optimizer, which steps from θ. Two gradients a step make for flatter
    minima. As outer optimizer it is the upper level of Sharp-MAML [2]_; the lower level is
    `inner_rho` of `MAMLRegressor`.

    Parameters
    ----------
    params : iterable
        Parameters to optimise.
    lr : float, default=1e-3
        Learning rate of the base optimizer.
    rho : float, default=0.05
        How far to look, in the norm of all parameters together.
    base : torch optimizer class, default=torch.optim.Adam
        What steps.
    **base_params : dict
        Further arguments of the base optimizer.

    References
    ----------
    .. [1] P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur (2021). Sharpness-aware minimization for
       efficiently improving generalization. ICLR; arXiv:2010.01412, equations 2 and 3.
    .. [2] M. Abbas et al. (2022). Sharp-MAML. ICML; arXiv:2206.03996.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.MAMLRegressor(optimizer=skmeta.SAM, max_iter=20, random_state=0)
    >>> model = model.set_params(optimizer__rho=0.01)
    >>> model.fit(tasks.data, tasks.target, groups=tasks.groups).n_iter_
    20
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        rho: float = 0.05,
        base: Any = torch.optim.Adam,
        **base_params: Any,
    ) -> None:
        if rho < 0:
            raise ValueError(f"rho={rho!r} must not be negative.")
        super().__init__(params, {"lr": lr, "rho": rho, **base_params})
        self.base = base(self.param_groups, lr=lr, **base_params)
        self.param_groups = self.base.param_groups

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate twice, step once.

        Parameters
        ----------
        closure : callable
            Computes the loss and leaves its gradient in the parameters.

        Returns
        -------
        loss : Any
            What the closure returned at the parameters.
        """
        if closure is None:
            raise ValueError("SAM evaluates the loss twice, so step needs a closure.")
        with torch.enable_grad():
            loss = closure()
        moved = self._climb()
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for parameter, before in moved:
                parameter.copy_(before)
        self.base.step()
        return loss

    @torch.no_grad()
    def _climb(self) -> list[tuple[Tensor, Tensor]]:
        """Move parameters uphill; return what they were."""
        given = [(p, group["rho"]) for group in self.param_groups for p in group["params"]]
        given = [(p, rho) for p, rho in given if p.grad is not None]
        if not given:
            return []
        norm = torch.stack([p.grad.norm() for p, _ in given]).norm().clamp(min=1e-12)
        before = [(p, p.clone()) for p, _ in given]
        for parameter, rho in given:
            parameter.add_(parameter.grad * (rho / norm))
        return before

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "base": self.base}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base optimizer."""
        state: dict[str, Any] = self.base.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the base optimizer.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` returned.
        """
        self.base.load_state_dict(state_dict)
        self.param_groups = self.base.param_groups
