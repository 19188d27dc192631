"""Kernels that move bytes, in words or one by one: as compiled C they write what ``Layout.pack`` says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from host_kernels import Array, Builder, Case, Traced
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_lower_host import check, lowered
from xdsl.dialects.memref import ViewOp

from htvm_ir.dialects import graph
from htvm_ir.targets.layout import Layout

KERNELS = 12
DIGITAL = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)
LAYOUTS = (Layout.row_major(4), DIGITAL, Layout((0, 2, 3, 1), (1, 4, 1, 1), xor=3), Layout((0, 1, 2, 3), (1, 1, 2, 4)))


@st.composite
def moving(draw: Any, name: str) -> Case:
    """Up to two moves between two layouts; extents are often multiples of 4."""
    shape = (1, *(draw(st.sampled_from([1, 2, 3, 4, 8, 12])) for _ in range(3)))
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(-128, 128, shape).astype(np.int8)
    source, target = (draw(st.sampled_from([a for a in LAYOUTS if not a.stored_size(shape) % 4])) for _ in range(2))
    builder = Builder([x], [source])
    value = builder.arguments[0]
    for _ in range(draw(st.integers(1, 2))):
        value = draw(st.sampled_from([reverse, transpose]))(draw, builder, value)
    if target.xor and target.stored_size(value.array.shape) % 4:
        target = Layout.row_major(4)
    return builder.finish(name, value, target)


def reverse(draw: Any, builder: Builder, x: Traced) -> Traced:
    axes = tuple(sorted(draw(st.sets(st.integers(0, 3)))))
    return builder.add(graph.ReverseOp(x.value, axes), np.ascontiguousarray(np.flip(x.array, axes)))


def transpose(draw: Any, builder: Builder, x: Traced) -> Traced:
    permutation = tuple(draw(st.permutations(range(4))))
    return builder.add(graph.TransposeOp(x.value, permutation), np.ascontiguousarray(x.array.transpose(permutation)))


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[moving(f"kernel{index}") for index in range(KERNELS)]))
def test_moves_write_every_byte(cases: tuple[Case, ...]) -> None:
    check(*cases)


def mirrored(name: str, shape: tuple[int, ...], layout: Layout, dtype: str = "int8") -> Case:
    """The columns of a row-major map, in reverse order."""
    x: Array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    builder = Builder([x], [Layout.row_major(4)])
    value = builder.add(graph.ReverseOp(builder.arguments[0].value, (3,)), np.ascontiguousarray(x[..., ::-1]))
    return builder.finish(name, value, layout)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (partial(mirrored, "dense", (1, 3, 5, 32), DIGITAL), True),
        (partial(mirrored, "padded", (1, 3, 5, 28), DIGITAL), True),
        (partial(mirrored, "odd", (1, 3, 5, 30), DIGITAL), False),
        (partial(mirrored, "wide", (1, 3, 5, 32), Layout.row_major(4), "int32"), False),
        (partial(mirrored, "swapped", (1, 3, 5, 32), Layout.row_major(4)), False),
    ],
    ids=["dense", "padded", "odd", "wide", "swapped"],
)
def test_words_where_the_order_inside_them_stays(case: Callable[[], Case], words: bool) -> None:
    assert any(isinstance(op, ViewOp) for op in lowered(case()).walk()) == words
    check(case())
