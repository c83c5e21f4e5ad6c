"""Functions of tensors as compiled graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = ["compiled", "distinct_sizes", "warn_uncompiled", "without_torch_warnings"]

_MODES: dict[str, Literal["symbolic", "fake"]] = {"any": "symbolic", "given": "fake"}


def _thin_product(A: Tensor, B: Tensor) -> Tensor:
    """Multiply without a matrix product where it sums over one number, or makes one row or column.

    Such a product becomes part of its neighbours' loops; a library's call costs more than its sum.
    """
    if A.shape[-1] == 1:
        return A * B
    if B.shape[-1] == 1:
        return (A * B.mT).sum(-1, keepdim=True)
    if A.shape[-2] == 1:
        return (A.mT * B).sum(-2, keepdim=True)
    return NotImplemented


def _thin_sum(C: Tensor, A: Tensor, B: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = _thin_product(A, B)
    return product if product is NotImplemented else beta * C + alpha * product


_DECOMPOSED: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.mm.default: _thin_product,
    torch.ops.aten.bmm.default: _thin_product,
    torch.ops.aten.addmm.default: _thin_sum,
    torch.ops.aten.baddbmm.default: _thin_sum,
}


def compiled(
    function: Callable[..., Any],
    *examples: Tensor,
    sizes: str = "any",
    dynamic: bool = False,
) -> Any:
    """Trace a function and compile the trace to native code.

    Derivatives taken inside are traced too, so that nothing of autograd or vmap is left at run
    time.

    Parameters
    ----------
    function : callable
        Of tensors, without side effects.
    *examples : Tensor
        Arguments to trace it with. Sizes that agree in them are taken to agree always.
    sizes : {"any", "given"}, default="any"
        Whether the trace serves all sizes, or the layout of the examples alone: it is made in a
        fourth of the time, and batched derivatives of some operators allow no other.
    dynamic : bool, default=False
        Whether to compile for all sizes at once, or for those of the first call but for what is
        marked as dynamic.

    Returns
    -------
    function : callable
        The same function, faster.
    """
    # Almost no operation comes twice in the same sizes: to look each up costs up to half the time.
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        graph = make_fx(function, _DECOMPOSED, tracing_mode=_MODES[sizes])(*examples)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    options: dict[str, Any] = {}
    if sizes == "given":
        # Dynamo asks anew at each call whether all that a graph assumes still holds, which costs a
        # quarter of a small one's time.
        options["guard_filter_fn"] = torch.compiler.skip_all_guards_unsafe
    # Torch's C++ calls its factorisations by a detour, with warnings.
    options["cpp_wrapper"] = not any("linalg" in str(node.target) for node in graph.graph.nodes)
    shapes = False if sizes == "given" else dynamic or None
    # The plain method: a module's call costs as much as a small graph's kernels.
    return torch.compile(graph.forward, fullgraph=True, dynamic=shapes, options=options)


@contextmanager
def without_torch_warnings() -> Iterator[None]:
    """Keep from users what torch's compiler warns its own authors of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.")
        yield


def distinct_sizes(wanted: Sequence[int], others: list[Tensor]) -> list[int]:
    """Return sizes that agree nowhere with those of other tensors, or a trace would tie them.

    Nor do their sums and products, nor those with a bias. They are near those wanted, for what a
    trace does may depend on which of two sizes is the larger.

    Parameters
    ----------
    wanted : sequence of int
        The least.
    others : list of Tensor
        Tensors to differ from.

    Returns
    -------
    sizes : list of int
    """
    taken = {size for tensor in others for size in tensor.shape}
    found: list[int] = []
    for size in wanted:
        while any(_alike(size, *pair) for pair in product(taken, (0, *taken))):
            size += 1
        found.append(size)
        taken.add(size)
    return found


def _alike(size: int, one: int, other: int) -> bool:
    """Return whether a size is, but for a bias, a sum of two others, or adds up to one of them."""
    near = min(abs(size - one - other), abs(size + other - one)) <= 1
    return near or (other > 0 and (size == one * other or size * other == one))


def warn_uncompiled(what: str, failure: Exception) -> None:
    """Warn that something runs uncompiled.

    Parameters
    ----------
    what : str
        The something.
    failure : Exception
        Why.
    """
    reason, _, _ = str(failure).partition("\n")
    warnings.warn(
        f"{what} could not be compiled, so it runs uncompiled: {reason}",
        RuntimeWarning,
        stacklevel=3,
    )
