"""Workloads cut into tiles compute what the whole does, and cover its output exactly once."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from htvm_ir import arithmetic
from htvm_ir.targets.workload import (
    WHOLE,
    Requant,
    Tensor,
    Tile,
    Window,
    Workload,
    as_array,
    dimensions,
    tile_workload,
    tiles,
    windows,
)

Array = NDArray[Any]
SMALL = st.integers(0, 3)


@st.composite
def convolutions(draw: st.DrawFn) -> Workload:
    """Any stride, dilation and padding, in one group or depthwise, with one shift or one for each channel."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    fy, fx, sy, sx, dy, dx = draw(st.tuples(*[st.integers(1, 3)] * 6))
    top, left, bottom, right = pads = draw(st.tuples(SMALL, SMALL, SMALL, SMALL))
    h = draw(st.integers(1, 8)) + max(0, dy * (fy - 1) - top - bottom)
    w = draw(st.integers(1, 4)) + max(0, dx * (fx - 1) - left - right)
    c = draw(st.integers(2, 5))
    depthwise = draw(st.booleans())
    k = c if depthwise else draw(st.integers(1, 5))
    out = (h + top + bottom - dy * (fy - 1) - 1) // sy + 1, (w + left + right - dx * (fx - 1) - 1) // sx + 1
    shifts = tuple(int(n) for n in random.integers(0, 5, k if draw(st.booleans()) else 1))
    return Workload(
        "conv2d",
        (Tensor((1, c, h, w)),),
        Tensor((1, k, *out)),
        random.integers(-9, 10, (k, 1 if depthwise else c, fy, fx)).astype(np.int8),
        random.integers(-99, 100, k).astype(np.int32) if draw(st.booleans()) else None,
        (sy, sx),
        pads,
        (dy, dx),
        c if depthwise else 1,
        Requant("floor", (1,) * len(shifts), shifts, 0, -128, 127),
    )


@st.composite
def vectors(draw: st.DrawFn) -> Workload:
    """Dense layers and sums."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    k, c = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    requant = Requant("floor", (1,), (2,), 0, 0, 127)
    if draw(st.booleans()):
        weights, bias = random.integers(-9, 10, (k, c)).astype(np.int8), random.integers(-99, 100, k).astype(np.int32)
        return Workload("dense", (Tensor((1, c)),), Tensor((1, k)), weights, bias, requant=requant)
    tensor = Tensor(draw(st.sampled_from([(1, k), (1, k, c, 3)])))
    return Workload("add", (tensor, tensor), tensor, requant=requant)


WORKLOADS = st.one_of(convolutions(), convolutions(), vectors())


def compute(w: Workload, inputs: list[Array], pads: tuple[int, int, int, int]) -> Array:
    """The workload in exact arithmetic, with the padding given."""
    if w.kind == "conv2d":
        acc = arithmetic.conv2d(inputs[0], as_array(w.weights), w.bias, w.strides, pads, w.dilations, w.groups)
    elif w.kind == "dense":
        acc = arithmetic.dense(inputs[0], as_array(w.weights), w.bias)
    else:
        acc = arithmetic.add(*inputs)
    r = w.requant
    assert r is not None
    return arithmetic.requantize(acc, r.rounding, r.multiplier, r.shift, r.zero_point, r.lo, r.hi, np.dtype(np.int8))


def window_of(value: Array, axes: tuple[Window, ...], tile: Tile) -> tuple[Array, Array]:
    """The part of an operand a tile touches: without and with the zeros around it."""
    spans = [w.span(tile, n) for w, n in zip(axes, value.shape, strict=True)]
    inner = value[tuple(slice(start, start + size) for start, size, _, _ in spans)]
    return inner, np.pad(inner, [(before, after) for _, _, before, after in spans])


@st.composite
def tilings(draw: st.DrawFn) -> tuple[Workload, tuple[str, ...], list[Tile]]:
    """A workload, the dimensions that are cut, in loop order, and the tiles."""
    workload = draw(WORKLOADS)
    extents = dimensions(workload)
    order = draw(st.sampled_from([order for n in range(len(extents) + 1) for order in permutations(extents, n)]))
    sizes = {name: draw(st.integers(1, extents[name])) for name in order}
    if workload.is_depthwise and "k" in sizes and (sizes["k"] == 1 or extents["k"] % sizes["k"] == 1):
        sizes["k"] = extents["k"]  # one channel is an ordinary convolution
    return workload, order, tiles({name: extents[name] for name in order}, sizes, order)


@settings(deadline=None)
@given(tilings())
def test_tiles_compute_the_whole_and_cover_it_once(case: tuple[Workload, tuple[str, ...], list[Tile]]):
    workload, order, grid = case
    random = np.random.default_rng(1)
    inputs = [random.integers(-128, 128, t.shape).astype(np.int8) for t in workload.inputs]
    result, writes = np.zeros(workload.output.shape, np.int8), np.zeros(workload.output.shape, np.int64)
    axes = windows(workload, order)
    for tile in grid:
        part = tile_workload(workload, tile)
        cut = [window_of(value, spans, tile) for value, spans in zip(inputs, axes, strict=False)]
        assert [inner.shape for inner, _ in cut] == [t.shape for t in part.inputs]
        assert part.dilations == workload.dilations
        whole_rows = part.pads if "y" not in order else (0, part.pads[1], 0, part.pads[3])
        values = compute(part, [padded for _, padded in cut], whole_rows)
        assert values.shape == part.output.shape
        np.testing.assert_array_equal(values, compute(part, [inner for inner, _ in cut], part.pads))
        spans = [w.span(tile, n) for w, n in zip(axes[-1], result.shape, strict=True)]
        assert all(before == after == 0 for _, _, before, after in spans)
        place = tuple(slice(start, start + size) for start, size, _, _ in spans)
        result[place] = values
        writes[place] += 1
    assert (writes == 1).all()
    np.testing.assert_array_equal(result, compute(workload, inputs, workload.pads))


@settings(deadline=None)
@given(tilings())
def test_a_tile_keeps_what_is_not_cut(case: tuple[Workload, tuple[str, ...], list[Tile]]):
    workload, order, grid = case
    part = tile_workload(workload, grid[0])
    assert part.output.shape[0] == workload.output.shape[0]
    assert part.output.shape[3:] == workload.output.shape[3:]
    assert part.is_depthwise == workload.is_depthwise
    if workload.weights is not None and "k" not in order:
        np.testing.assert_array_equal(as_array(part.weights), workload.weights)
    assert sum(tile_workload(workload, tile).macs for tile in grid) == workload.macs


@settings(deadline=None)
@given(convolutions())
def test_windows_match_their_operands(workload: Workload):
    """One entry for each operand, one window for each of its axes."""
    shapes = [workload.inputs[0].shape, as_array(workload.weights).shape, workload.output.shape]
    if workload.bias is not None:
        shapes.insert(2, workload.bias.shape)
    for order in ((), ("k",), ("y",), ("k", "y")):
        axes = windows(workload, order)
        assert [len(operand) for operand in axes] == [len(shape) for shape in shapes]
        moved = {w.dimension for operand in axes for w in operand} - {None}
        assert moved == set(order)


def test_spans():
    rows = Window("y", 2, -1, 3)  # stride 2, one row of padding above, three taps
    assert rows.span({"y": (0, 2)}, 8) == (0, 4, 1, 0)
    assert rows.span({"y": (2, 1)}, 8) == (3, 3, 0, 0)
    assert rows.span({"y": (3, 1)}, 7) == (5, 2, 0, 1)
    assert rows.span({"y": (9, 1)}, 7) == (0, 0, 3, 0)
    assert WHOLE.span({"y": (3, 1)}, 7) == (0, 7, 0, 0)


def test_order_of_tiles():
    grid = tiles({"k": 5, "y": 3}, {"k": 2, "y": 3}, ("y", "k"))
    assert grid == [{"y": (0, 3), "k": (0, 2)}, {"y": (0, 3), "k": (2, 2)}, {"y": (0, 3), "k": (4, 1)}]
    grid = tiles({"k": 2, "y": 2}, {"k": 1, "y": 1}, ("k", "y"))
    assert [(t["k"][0], t["y"][0]) for t in grid] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert tiles({}, {}, ()) == [{}]


def test_requantisation_is_cut_by_channel():
    weights = np.zeros((4, 2), np.int8)
    requant = Requant("floor", (1, 2, 3, 4), (5,), 0, 0, 127)
    workload = Workload("dense", (Tensor((1, 2)),), Tensor((1, 4)), weights, requant=requant)
    part = tile_workload(workload, {"k": (1, 2)})
    assert part.requant == replace(requant, multiplier=(2, 3))


def test_pools_read_the_rows_of_their_windows():
    pool = Workload("pool", (Tensor((1, 6, 9, 9)),), Tensor((1, 6, 4, 4)), window=(3, 3), strides=(2, 2), mode="max")
    part = tile_workload(pool, {"k": (2, 4), "y": (1, 2)})
    assert (part.inputs[0].shape, part.output.shape) == ((1, 4, 5, 9), (1, 4, 2, 4))


def test_what_cannot_be_tiled_is_an_error():
    table = Workload("lookup", (Tensor((1, 2, 4, 4)),), Tensor((1, 2, 4, 4)))
    with pytest.raises(ValueError, match="lookup cannot be tiled"):
        windows(table, ("k",))
    with pytest.raises(ValueError, match="no constant weights"):
        as_array(table.weights)


def test_properties():
    weights = np.zeros((6, 1, 3, 5), np.int8)
    depthwise = Workload("conv2d", (Tensor((1, 6, 8, 8)),), Tensor((1, 6, 6, 4)), weights, groups=6)
    assert depthwise.is_depthwise
    assert depthwise.kernel == (3, 5)
    assert depthwise.macs == 6 * 6 * 4 * 15
    assert not replace(depthwise, groups=3).is_depthwise
    single = replace(depthwise, inputs=(Tensor((1, 1, 8, 8)),), output=Tensor((1, 1, 6, 4)), groups=1)
    assert not single.is_depthwise
    add = Workload("add", (Tensor((1, 3)), Tensor((1, 3))), Tensor((1, 3)))
    assert (add.kernel, add.macs, dimensions(add)) == ((1, 1), 0, {"k": 3})
