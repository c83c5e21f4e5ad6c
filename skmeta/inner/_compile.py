"""Functions of tensors as compiled graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.func import functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = [
    "compiled",
    "distinct_sizes",
    "memory_order",
    "warn_uncompiled",
    "without_torch_warnings",
]

_SHORT = 32  # numbers in a row
_FEW = 128  # numbers to sort


def _product(A: Tensor, B: Tensor) -> Tensor:
    """Multiply by loops where a library's call costs more than its sum, and make no short rows.

    A product that sums over one number, or makes one row or column, becomes part of its
    neighbours' loops. A library may take up to ten times as long for a result of short rows as
    for its transpose.
    """
    if B.shape[-1] == 1:
        return (A * B.mT).sum(-1, keepdim=True)
    if A.shape[-2] == 1:
        return (A.mT * B).sum(-2, keepdim=True)
    if _has_short_rows((A.shape[-2], B.shape[-1])):
        return (B.mT @ A.mT).mT
    if A.shape[-1] == 1:
        return A * B
    return NotImplemented


def _has_short_rows(shape: Sequence[int]) -> bool:
    return shape[-1] < min(shape[-2], _SHORT)


def _sum(C: Tensor, A: Tensor, B: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = _product(A, B)
    return product if product is NotImplemented else beta * C + alpha * product


def _sort(
    values: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> tuple[Tensor, Tensor]:
    """Sort the few numbers of a meta-batch by loops, which count those before each."""
    if values.ndim != 1 or len(values) > _FEW or not values.is_floating_point():
        return NotImplemented
    keys = torch.where(values.isnan(), torch.inf, values)
    number = torch.arange(len(values), device=values.device)
    before = keys > keys[:, None] if descending else keys < keys[:, None]
    tied = (keys == keys[:, None]) & (number < number[:, None])
    place = (before | tied).sum(dim=1)
    order = torch.where(place == number[:, None], number, 0).sum(dim=1)
    return values[order], order


_PERMUTE = torch.ops.aten.permute.default
_CLONE = torch.ops.aten.clone.default
_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.bmm.default)
_DECOMPOSED: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.sort.default: _sort,
    torch.ops.aten.sort.stable: _sort,
    torch.ops.aten.mm.default: _product,
    torch.ops.aten.bmm.default: _product,
    torch.ops.aten.addmm.default: _sum,
    torch.ops.aten.baddbmm.default: _sum,
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
    if sizes == "given":
        decompositions = {**_inductors(), **_DECOMPOSED}
        graph = _trace(function, examples, decompositions, "fake")
        if _mutates(graph):
            graph = _trace(functionalize(graph), examples, decompositions, "fake")
        _fix_layout(graph)
        _cancel_transposes(graph)
        _turn(graph)
        return _lowered(graph, examples)
    graph = _trace(function, examples, _DECOMPOSED, "symbolic")
    # The plain method: a module's call costs as much as a small graph's kernels.
    options: dict[str, Any] = {"cpp_wrapper": _runs_in_cpp(graph)}
    return torch.compile(graph.forward, fullgraph=True, dynamic=dynamic or None, options=options)


def _trace(
    function: Callable[..., Any],
    examples: Sequence[Tensor],
    decompositions: dict[Any, Callable[..., Any]],
    mode: Literal["symbolic", "fake"],
) -> GraphModule:
    # Almost no operation comes twice in the same sizes: to look each up costs up to half the time.
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        graph = make_fx(function, decompositions, tracing_mode=mode)(*examples)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _runs_in_cpp(graph: GraphModule) -> bool:
    """Return whether a graph has no factorisations, which C++ calls by a detour, with warnings."""
    return not any("linalg" in str(node.target) for node in graph.graph.nodes)


def _inductors() -> dict[Any, Callable[..., Any]]:
    """Return what Inductor makes of the operators that it lacks."""
    from torch._inductor.decomposition import select_decomp_table  # takes seconds to import

    table: dict[Any, Callable[..., Any]] = select_decomp_table()
    return table


def _mutates(graph: GraphModule) -> bool:
    schemas = (getattr(node.target, "_schema", None) for node in graph.graph.nodes)
    return any(schema is not None and schema.is_mutable for schema in schemas)


def _fix_layout(graph: GraphModule) -> None:
    """Give results the layout of the trace, whatever becomes of what they are made of.

    Inductor leaves out what turns out to change nothing.
    """
    output = graph.graph.output_node()
    results = list(cast(Sequence[Node], output.args[0]))
    with graph.graph.inserting_before(output):
        for number, result in enumerate(results):
            value = result.meta["val"]
            if value.ndim < 2:
                continue
            order, back = memory_order(value)
            sorted_ = graph.graph.call_function(_PERMUTE, (result, order))
            sorted_.meta["val"] = value.permute(order)
            dense = graph.graph.call_function(
                _CLONE, (sorted_,), {"memory_format": torch.contiguous_format}
            )
            results[number] = graph.graph.call_function(_PERMUTE, (dense, back))
    output.args = (results,)


def _cancel_transposes(graph: GraphModule) -> None:
    """Leave out what transposes a transpose, or `_turn` would turn a product needed as it is."""
    for node in graph.graph.nodes:
        if _transposes(node) and _transposes(node.args[0]):
            node.replace_all_uses_with(node.args[0].args[0])
    graph.graph.eliminate_dead_code()


def _turn(graph: GraphModule) -> None:
    """Make the transpose of each product of which nothing else is used."""
    for node in list(graph.graph.nodes):
        users = list(node.users)
        if node.target in _PRODUCTS and users and all(map(_transposes, users)):
            transpose = users[0]
            if _has_short_rows(transpose.meta["val"].shape):
                continue
            with graph.graph.inserting_before(node):
                A, B = (
                    graph.graph.call_function(_PERMUTE, (factor, transpose.args[1]))
                    for factor in node.args
                )
                turned = graph.graph.call_function(node.target, (B, A))
            turned.meta = transpose.meta
            for user in users:
                user.replace_all_uses_with(turned)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _transposes(node: Node) -> bool:
    """Return whether a node swaps the last two dimensions."""
    return node.target is _PERMUTE and node.args[1] in ([1, 0], [0, 2, 1])


def _lowered(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., Any]:
    """Compile a graph without Dynamo and AOTAutograd, whose work is done.

    Before each call they would ask what a trace assumes, which takes as long as a small graph.
    """
    from torch._inductor import config  # both take seconds to import
    from torch._inductor.compile_fx import compile_fx_inner

    output = graph.graph.output_node()
    results = cast(Sequence[Node], output.args[0])
    output.meta["user_visible_output_idxs"] = [*range(len(results))]  # which keeps their layout
    cpp = _runs_in_cpp(graph)
    with torch.no_grad(), config.patch(cpp_wrapper=cpp):
        call = compile_fx_inner(graph, examples, cpp_wrapper=cpp)
    return lambda *tensors: call(list(tensors))


@contextmanager
def without_torch_warnings() -> Iterator[None]:
    """Keep from users what torch's compiler warns its own authors of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.")
        yield


def memory_order(tensor: Tensor) -> tuple[list[int], list[int]]:
    """Return the dimensions of a tensor as they lie in memory, the slowest first, and the way back.

    Parameters
    ----------
    tensor : Tensor
        Dense, of any layout.

    Returns
    -------
    order, back : list of int
        ``tensor.permute(order)`` is contiguous, and ``.permute(back)`` undoes it.
    """
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return order, sorted(range(tensor.ndim), key=order.__getitem__)


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
