"""Hypothesis strategies for kernels of the host core: every op, rounding mode and kind of layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from host_kernels import Array, Builder, Case, Traced
from hypothesis import strategies as st
from xdsl.dialects.builtin import i8, i32

from htvm_ir import arithmetic
from htvm_ir.dialects import graph
from htvm_ir.targets.layout import Layout

Draw = Callable[[st.SearchStrategy[Any]], Any]


def numbers(draw: Draw, shape: Sequence[int], dtype: str = "int8", limit: int = 128) -> Array:
    """Noise from a drawn seed, in [-limit, limit)."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.integers(-limit, limit, tuple(shape)).astype(dtype)


def layout(draw: Draw, shape: Sequence[int]) -> Layout:
    """Row-major, or any order with padding and byte permutation."""
    if draw(st.booleans()):
        return Layout.row_major(len(shape))
    order = tuple(draw(st.permutations(range(len(shape)))))
    multiple = tuple(draw(st.sampled_from([1, 1, 2, 4, 8])) for _ in shape)
    plain = Layout(order, multiple)
    xor = draw(st.sampled_from([0, 1, 3]))
    return plain if plain.stored_size(shape) % (xor + 1) else Layout(order, multiple, xor)


RANGES = ((-128, 127), (0, 127), (0, 63), (0, 2), (-5, 90), (-128, -7), (3, 127))
"""Of activations: with and without sign, and such that 1, 2, 4 or more bytes can be added in a byte."""


def activation(draw: Draw, shape: Sequence[int]) -> tuple[Array, tuple[int, int]]:
    """Noise in a range, its ends more often than any other number, and the range."""
    low, high = draw(st.sampled_from(RANGES))
    noise = np.random.default_rng(draw(st.integers(0, 2**32))).integers(low - 20, high + 21, tuple(shape))
    return np.clip(noise, low, high).astype(np.int8), (low, high)


def rows_layout(draw: Draw) -> Layout:
    """Of a map, rows innermost, as engines have it: rows padded to words or more, bytes permuted or not."""
    return Layout((0, 1, 2, 3), (1, 1, 1, draw(st.sampled_from([1, 4, 4, 8, 16]))))


def permuted(draw: Draw, plain: Layout, shape: Sequence[int]) -> Layout:
    """The layout with an exclusive-or on the index, where the size allows it."""
    xor = draw(st.sampled_from([0, 1, 3, 3]))
    return plain if plain.stored_size(shape) % (xor + 1) else Layout(plain.order, plain.multiple, xor)


def requant(draw: Draw, builder: Builder, x: Traced, element: Any = i8) -> Traced:
    """A requantisation of any rounding mode, per tensor or per channel."""
    rounding = draw(st.sampled_from(arithmetic.ROUNDINGS))
    channels = x.array.shape[1] if draw(st.booleans()) else 1
    low = 31 if rounding == "gemmlowp" else 0
    kind = draw(st.sampled_from(["plain", "small", "large"]))
    multipliers = {
        "plain": st.just(1),
        "small": st.integers(-300, 300),
        "large": st.integers(-(2**31), 2**31 - 1),
    }[kind]
    high = {"plain": low + 12, "small": low + 16, "large": 62}[kind]
    multiplier = [draw(multipliers) for _ in range(draw(st.sampled_from([1, channels])))]
    shift = [draw(st.integers(low, high)) for _ in range(draw(st.sampled_from([1, channels])))]
    reach = {"plain": 2**8, "small": 2**31, "large": 2**62 - 1}[kind] if rounding == "floor" else 0
    addend = [draw(st.integers(-reach, reach)) for _ in range(draw(st.sampled_from([1, channels])))]
    zero_point = draw(st.integers(-20, 20))
    lo = draw(st.integers(-128, 0))
    hi = draw(st.integers(lo, 127))
    op = graph.RequantOp(
        x.value,
        element,
        rounding=rounding,
        multiplier=multiplier,
        shift=shift,
        zero_point=zero_point,
        lo=lo,
        hi=hi,
        addend=addend,
    )
    dtype = np.dtype(np.int8 if element == i8 else np.int32)
    parameters = (multiplier, shift, zero_point, lo, hi, dtype, addend)
    return builder.add(op, arithmetic.requantize(x.array, rounding, *parameters))


def conv2d(draw: Draw, builder: Builder, x: Traced) -> Traced:
    """Any geometry and grouping that fits the input."""
    _, channels, height, width = x.array.shape
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    out_channels = groups * draw(st.integers(1, 3))
    dilations = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = draw(st.tuples(*[st.integers(0, 3)] * 4))
    kernel = [
        draw(st.integers(1, min(4, (size - 1) // dilation + 1)))
        for size, dilation in ((height + pads[0] + pads[2], dilations[0]), (width + pads[1] + pads[3], dilations[1]))
    ]
    splat = draw(st.sampled_from([False, False, True]))
    weights = numbers(draw, (out_channels, channels // groups, *kernel), limit=1 if splat else 128)
    weights = weights * 0 + 3 if splat else weights
    bias = numbers(draw, (out_channels,), "int32", 5000) if draw(st.booleans()) else None
    operands = [builder.constant(weights), None if bias is None else builder.constant(bias)]
    bias_value = None if operands[1] is None else operands[1].value
    assert operands[0] is not None
    op = graph.Conv2dOp(x.value, operands[0].value, bias_value, strides, pads, dilations, groups)
    return builder.add(op, arithmetic.conv2d(x.array, weights, bias, strides, pads, dilations, groups))


def dense(draw: Draw, builder: Builder, x: Traced) -> Traced:
    """With or without a bias."""
    out_channels = draw(st.integers(1, 6))
    weights = numbers(draw, (out_channels, x.array.shape[1]))
    bias = numbers(draw, (out_channels,), "int32", 5000) if draw(st.booleans()) else None
    weights_value = builder.constant(weights).value
    bias_value = None if bias is None else builder.constant(bias).value
    return builder.add(graph.DenseOp(x.value, weights_value, bias_value), arithmetic.dense(x.array, weights, bias))


def pool(draw: Draw, builder: Builder, x: Traced) -> Traced:
    """Both kinds and roundings; pads below the kernel."""
    _, _, height, width = x.array.shape
    kind, rounding = draw(st.sampled_from(["average", "max"])), draw(st.sampled_from(["floor", "half_up"]))
    kernel = (draw(st.integers(1, height)), draw(st.integers(1, width)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = [draw(st.integers(0, min(2, kernel[side % 2] - 1))) for side in range(4)]
    op = graph.PoolOp(kind, x.value, kernel, strides, pads, rounding)
    return builder.add(op, arithmetic.pool(x.array, kind, kernel, strides, pads, rounding))


def reshape(draw: Draw, builder: Builder, x: Traced, rank: int) -> Traced:
    """To [1, N], or to any [1, a, b, c]."""
    size = x.array.size
    shape = [1, size]
    if rank == 4:
        a = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        b = draw(st.sampled_from([n for n in range(1, size // a + 1) if size // a % n == 0]))
        shape = [1, a, b, size // a // b]
    return builder.add(graph.ReshapeOp(x.value, shape), x.array.reshape(shape))


def space_to_depth(draw: Draw, builder: Builder, x: Traced) -> Traced:
    """With zeros on any side; the result may be turned."""
    _, _, height, width = x.array.shape
    block = draw(st.tuples(*[st.sampled_from([1, 2, 2, 3, 5])] * 2))
    before = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    after = [-(size + low) % step for size, low, step in zip((height, width), before, block, strict=True)]
    pads = [before[0], before[1], after[0], after[1]]
    op = graph.SpaceToDepthOp(x.value, block, pads)
    cells = builder.add(op, arithmetic.space_to_depth(x.array, block, pads))
    if not draw(st.booleans()):
        return cells
    return builder.add(graph.TransposeOp(cells.value, (0, 1, 3, 2)), cells.array.swapaxes(2, 3))


def image(draw: Draw) -> Array:
    """A small activation [1, C, H, W]."""
    return numbers(draw, (1, draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(1, 9))))


@st.composite
def kernel(draw: Draw, name: str) -> Case:
    """A whole kernel."""
    kind = draw(st.sampled_from(["conv2d", "dense", "add", "pool", "requant", "wide", "move"]))
    if kind == "dense":
        inputs = [numbers(draw, (1, draw(st.integers(1, 20))))]
    elif kind == "wide":
        inputs = [numbers(draw, (1, 3, 2, 4), "int32", 2**31)]
    else:
        inputs = [image(draw)]
    if kind == "add":
        inputs.append(numbers(draw, inputs[0].shape))
    xor_free = kind == "wide"  # byte permutations are for bytes
    layouts = [Layout.row_major(4) if xor_free else layout(draw, a.shape) for a in inputs]
    builder = Builder(inputs, layouts)
    x = builder.arguments[0]
    match kind:
        case "conv2d":
            x = requant(draw, builder, conv2d(draw, builder, x))
        case "dense":
            x = requant(draw, builder, dense(draw, builder, x))
        case "add":
            total = arithmetic.add(inputs[0], inputs[1])
            x = requant(draw, builder, builder.add(graph.AddOp(x.value, builder.arguments[1].value), total), i32)
            x = requant(draw, builder, x)
        case "pool":
            x = pool(draw, builder, x)
            x = reshape(draw, builder, x, draw(st.sampled_from([2, 4]))) if draw(st.booleans()) else x
            x = requant(draw, builder, x) if draw(st.booleans()) else x
        case "move":
            if draw(st.booleans()):
                x = space_to_depth(draw, builder, x)
            if draw(st.booleans()):
                x = reshape(draw, builder, x, 2)
            x = reshape(draw, builder, x, 4) if draw(st.booleans()) else x
        case _:
            x = requant(draw, builder, x)
    return builder.finish(name, x, layout(draw, x.array.shape))


@st.composite
def wide_pool(draw: Draw, name: str) -> Case:
    """A pool over rows long enough for words, whole maps or windows, with a padding behind rows."""
    height, width = draw(st.integers(1, 40)), draw(st.one_of(st.integers(1, 40), st.integers(60, 150)))
    shape = (1, draw(st.integers(1, 3)), height, width)
    x, range_ = activation(draw, shape)
    builder = Builder([x], [permuted(draw, rows_layout(draw), shape)], range_)
    kind, rounding = (
        draw(st.sampled_from(["average", "average", "sum", "max"])),
        draw(st.sampled_from(arithmetic.MEAN_ROUNDINGS)),
    )
    kernel = (height, width)
    if draw(st.booleans()):
        kernel = (draw(st.integers(1, height)), draw(st.integers(1, width)))
    strides = (draw(st.integers(1, 4)), draw(st.sampled_from([3, 4, 8])))
    pads = (0, draw(st.sampled_from([0, 0, min(1, kernel[1] - 1)])), 0, 0)
    op = graph.PoolOp(kind, builder.arguments[0].value, kernel, strides, pads, rounding)
    result = builder.add(op, arithmetic.pool(x, kind, kernel, strides, pads, rounding))
    flat = reshape(draw, builder, result, 2) if draw(st.booleans()) else result
    return builder.finish(name, flat, Layout.row_major(len(flat.array.shape)))


@st.composite
def pixels(draw: Draw, name: str) -> Case:
    """Blocks of pixels that become channels, in planes of rows with a padding behind each axis."""
    x = numbers(draw, (1, draw(st.integers(1, 5)), *draw(st.tuples(*[st.integers(1, 40)] * 2))))
    builder = Builder([x], [layout(draw, x.shape)])
    result = space_to_depth(draw, builder, builder.arguments[0])
    multiple = draw(st.tuples(*[st.sampled_from([1, n]) for n in (2, 8, 3)], st.sampled_from([1, 4, 4, 16])))
    return builder.finish(name, result, permuted(draw, Layout((0, 1, 2, 3), multiple), result.array.shape))


@st.composite
def moved(draw: Draw, name: str) -> Case:
    """A copy, clip or sum between any two layouts: rows to rows, or across."""
    shape = (1, draw(st.integers(1, 9)), draw(st.integers(1, 5)), draw(st.integers(1, 40)))
    x, range_ = activation(draw, shape)
    if draw(st.booleans()):
        shape = (1, x.size)
        x = x.reshape(shape)

    def form() -> Layout:
        if len(shape) == 2:
            return permuted(draw, Layout((0, 1), (1, draw(st.sampled_from([1, 4, 16])))), shape)
        pixels = Layout((0, 2, 3, 1), (1, draw(st.sampled_from([4, 16])), 1, 1))
        return permuted(draw, draw(st.sampled_from([rows_layout(draw), pixels])), shape)

    kind = draw(st.sampled_from(["copy", "copy", "bits", "bits", "clip", "sum"]))
    inputs = [x, x[..., ::-1].copy()] if kind == "sum" else [x]
    builder = Builder(inputs, [form() for _ in inputs], range_)
    result = builder.arguments[0]
    if kind == "sum":
        total = arithmetic.add(*inputs)
        result = builder.add(graph.AddOp(*(argument.value for argument in builder.arguments)), total)
    if kind == "bits":
        result = fewer_bits(draw, builder, result)
    elif kind != "copy":
        result = requant(draw, builder, result)
    return builder.finish(name, result, form())


def fewer_bits(draw: Draw, builder: Builder, x: Traced) -> Traced:
    """A shift, and limits that leave some bits."""
    shift, low, high = draw(st.integers(0, 3)), draw(st.sampled_from([-128, 0])), draw(st.sampled_from([127, 63, 31]))
    op = graph.RequantOp(x.value, i8, shift=[shift], lo=low, hi=high)
    array = arithmetic.requantize(x.array, "floor", [1], [shift], 0, low, high, np.dtype(np.int8))
    return builder.add(op, array)
