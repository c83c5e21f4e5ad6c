"""A compiled graph says what the function says that it was traced from."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from skmeta.inner._compile import compiled, without_torch_warnings

SIZES = [1, 3, 40]
PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.bmm.default)


def factors(*sizes, batch=()):
    random = torch.Generator().manual_seed(0)
    m, k, n = sizes
    A = torch.randn(*batch, m, k, generator=random, dtype=torch.float64)
    B = torch.randn(*batch, k, n, generator=random, dtype=torch.float64)
    C = torch.randn(*batch, m, n, generator=random, dtype=torch.float64)
    return A, B, C


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("sizes", [*product(SIZES, SIZES, SIZES)])
def test_products_are_the_same_and_have_no_short_rows(sizes, batch):
    A, B, C = factors(*sizes, batch=batch)
    add = torch.baddbmm if batch else torch.addmm

    def function(A, B, C):
        return [A @ B, (A @ B).mT, add(C, A, B, beta=0.5, alpha=2.0)]

    graph = compiled(function, A, B, C, sizes="given")
    for found, expected in zip(graph(A, B, C), function(A, B, C), strict=True):
        torch.testing.assert_close(found, expected)
    shapes = [node.meta["val"].shape[-2:] for node in graph.graph.nodes if node.target in PRODUCTS]
    assert all(n >= min(m, 32) for m, n in shapes)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_product_used_transposed_is_made_so(batch):
    A, B, _ = factors(40, 30, 50, batch=batch)
    multiply = torch.bmm if batch else torch.mm

    def function(A, B):
        return [multiply(A, B).mT.relu().sum(dim=-1)]

    graph = compiled(function, A, B, sizes="given")
    torch.testing.assert_close(graph(A, B), function(A, B))
    (made,) = (node for node in graph.graph.nodes if node.target in PRODUCTS)
    assert made.meta["val"].shape[-2:] == (50, 40)


@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_results_keep_their_layout(lowered, batch, request):
    """Optimizers' kernels read gradients as numbers in a row, in the order of the weights."""
    if not lowered:
        request.getfixturevalue("traced")
    A, B, _ = factors(6, 5, 6, batch=batch)
    multiply = torch.bmm if batch else torch.mm

    def function(A, B):
        P, Q = multiply(A, B), multiply(A.relu(), B)
        S, T = multiply(A, B.sin()), multiply(A.exp(), B)
        return [P.mT.mT, Q.mT, S.mT + 1, (T.mT + 1).contiguous(), (P.mT + Q.mT).mT]

    with without_torch_warnings():
        graph = compiled(function, A, B, sizes="given")
    for found, expected in zip(graph(A, B), function(A, B), strict=True):
        torch.testing.assert_close(found, expected, check_stride=True)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("special", [[], [torch.inf, -torch.inf, torch.inf], [torch.nan, 9.0]])
def test_few_numbers_are_sorted_as_torch_does(special, descending):
    random = torch.Generator().manual_seed(0)
    values = torch.randint(5, (12,), generator=random).double()
    values[2 : 2 + len(special)] = torch.tensor(special)

    def function(values):
        return values.sort(descending=descending, stable=True)

    graph = compiled(function, values, sizes="given")
    for found, expected in zip(graph(values), function(values), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert not any("sort" in str(node.target) for node in graph.graph.nodes)


def test_a_function_that_changes_what_it_has_made_compiles():
    A, _, _ = factors(4, 5, 6)

    def function(A):
        made = A * 2
        part = made[1]
        part.relu_()
        nn.functional.elu(made[2], inplace=True)
        nn.functional.silu(made[3], inplace=True).addcmul_(part, part)
        return made.add_(1), part, (made + 1).mT.contiguous(), (A.mT + 1).sin()

    with without_torch_warnings():
        graph = compiled(function, A, sizes="given")
    before = A.clone()
    for found, expected in zip(graph(A), function(A), strict=True):
        torch.testing.assert_close(found, expected, check_stride=True)
    assert torch.equal(A, before)


def test_compiled_random_numbers_are_drawn_anew():
    A, _, _ = factors(4, 5, 6)
    with without_torch_warnings():
        graph = compiled(lambda A: [nn.functional.dropout(A)], A, sizes="given")
    torch.manual_seed(0)
    (first,), (second,) = graph(A), graph(A)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(graph(A)[0], first)
