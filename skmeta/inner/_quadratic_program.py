"""Quadratic programs of many tasks at once, differentiable."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["solve_box"]

Solve = Callable[[Tensor], Tensor]

_MOST_STEPS = 50
_TO_BOUNDARY = 0.99


def solve_box(
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    slope: Callable[[Tensor], Tensor],
    newton: Callable[[Tensor], Solve],
    tolerance: float,
) -> Tensor:
    """Minimise ``½ x'Hx - b'x`` over ``lower <= x <= upper``, and ``Ax = 0`` if there is an A.

    A primal-dual interior-point method with Mehrotra's predictor and corrector, and one Newton
    step from where it stops. Only that step is differentiated: by the implicit function theorem
    the solve with the KKT matrix there is the gradient of the solution (OptNet).

    Parameters
    ----------
    start : Tensor of shape (n_tasks, ...)
        A point strictly inside the bounds, with ``Ax = 0``.
    lower, upper : Tensor of the same shape
        Bounds, which may be infinite.
    slope : callable
        x -> ``Hx - b``. Gradients flow into what it closes over.
    newton : callable
        d -> a function that solves ``(H + diag d) x + A'v = r``, ``Ax = 0`` for x.
    tolerance : float
        The mean product of slack and multiplier to stop at, where numbers are near 1.

    Returns
    -------
    x : Tensor
        The solution.

    References
    ----------
    .. [1] B. Amos, J. Z. Kolter (2017). OptNet: differentiable optimization as a layer in neural
       networks. ICML; arXiv:1703.00443, equations 6 to 8.
    """
    with torch.no_grad():
        x, curvature = _interior_point(start, lower, upper, slope, newton, tolerance)
        solve = newton(curvature)
    return x + solve(-slope(x))


def _interior_point(
    x: Tensor,
    lower: Tensor,
    upper: Tensor,
    slope: Callable[[Tensor], Tensor],
    newton: Callable[[Tensor], Solve],
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Return the solution and the curvature of the barrier there."""
    bound = torch.stack([lower, upper])
    sign = torch.tensor([-1.0, 1.0], dtype=x.dtype, device=x.device)
    sign = sign.view(2, *[1] * x.ndim)
    there = bound.isfinite().to(x.dtype)
    bound = torch.where(bound.isfinite(), bound, 0.0)
    inner = tuple(range(2, x.ndim + 1))
    n_bounds = there.sum(dim=(0, *inner)).clamp(min=1.0)

    def complementarity(s: Tensor, z: Tensor) -> Tensor:
        return (s * z).sum(dim=(0, *inner)) / n_bounds

    def spread(per_task: Tensor) -> Tensor:
        return per_task.view(-1, *[1] * (x.ndim - 1))

    s = torch.where(there > 0, sign * (bound - x), 1.0)
    z = there * s[there > 0].mean().square() / s
    for _ in range(_MOST_STEPS):
        mu = complementarity(s, z)
        unsolved = (mu > tolerance).to(x.dtype)
        if not unsolved.any():
            break
        solve = newton((z / s).sum(dim=0))
        towards = -slope(x)
        dx = solve(towards)
        ds = -sign * dx * there
        dz = -z - z / s * ds
        reached = complementarity(
            s + spread(_longest(s, ds)) * ds, z + spread(_longest(z, dz)) * dz
        )
        aim = there * spread((reached / mu) ** 3 * mu) - ds * dz
        dx = solve(towards - (sign * aim / s).sum(dim=0))
        ds = -sign * dx * there
        dz = aim / s - z - z / s * ds
        primal = spread(_TO_BOUNDARY * unsolved * _longest(s, ds))
        x, s = x + primal * dx, s + primal * ds
        z = z + spread(_TO_BOUNDARY * unsolved * _longest(z, dz)) * dz
    return x, (z / s).sum(dim=0)


def _longest(values: Tensor, step: Tensor) -> Tensor:
    """Return, for each task, the longest step up to 1 that keeps all values positive."""
    ratio = torch.where(step < 0, -values / step, torch.inf)
    flat = ratio.transpose(0, 1).flatten(1)
    return flat.amin(dim=1).clamp(max=1.0)
