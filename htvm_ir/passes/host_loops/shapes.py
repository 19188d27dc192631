"""Ops that only move elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod

from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import (
    ConcatOp,
    PadOp,
    ReshapeOp,
    ReverseOp,
    SliceOp,
    SpaceToDepthOp,
    TransposeOp,
    shape_of,
    tensor_type,
)
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import linear
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel, integer_type


def convert_layout(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The same element: layouts matter at loads and stores only."""
    assert isinstance(op, ConvertLayoutOp)
    return kernel.element(op.input, index)


def reshape(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The element of the same row-major position, read linearly where the operand is a dense buffer."""
    assert isinstance(op, ReshapeOp)
    emit, source = kernel.emit, shape_of(op.input)
    buffer = kernel.buffers.get(op.input)
    if buffer is not None and buffer.is_dense:
        position = emit.add(*linear(emit, index, shape_of(op.result)), "offset")
        return emit.load(buffer.flat(emit), (position,), "value")
    return kernel.element(op.input, reshaped_index(emit, index, shape_of(op.result), source))


def reshaped_index(emit: Emitter, index: Index, shape: Sequence[int], source: Sequence[int]) -> Index:
    """The index in an array of shape ``source`` of the element at ``index`` of the same array in ``shape``.

    Axes are grouped where the products of extents agree, so only what really changes costs a division.
    """
    result: list[Value] = []
    taken = 0
    for group in _groups(source, shape):
        extents = source[len(result) : len(result) + group[0]]
        part = slice(taken, taken + group[1])
        taken += group[1]
        position = emit.add(*linear(emit, index[part], shape[part]), "offset")
        result += _split(emit, position, extents)
    return tuple(result)


def _groups(left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    """Smallest runs of axes of both shapes with equal products, as pairs of lengths; unit axes join a neighbour."""
    groups: list[tuple[int, int]] = []
    i = j = 0
    while i < len(left) or j < len(right):
        a, b = i, j
        product_left = product_right = 1
        if i < len(left):
            product_left, i = left[i], i + 1
        if j < len(right):
            product_right, j = right[j], j + 1
        while product_left != product_right:
            if product_left < product_right:
                product_left, i = product_left * left[i], i + 1
            else:
                product_right, j = product_right * right[j], j + 1
        groups.append((i - a, j - b))
    return groups


def _split(emit: Emitter, position: Value, extents: Sequence[int]) -> list[Value]:
    """The row-major index of a position."""
    index: list[Value] = []
    for axis, extent in enumerate(extents):
        inner = prod(extents[axis + 1 :])
        outer = emit.div(position, inner, "outer")
        is_first = prod(extents[:axis]) == 1
        index.append(0 if extent == 1 else outer if is_first else emit.rem(outer, extent, "inner"))
    return index


def space_to_depth(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The pixel behind a channel, zero where it lies in the padding."""
    assert isinstance(op, SpaceToDepthOp)
    emit = kernel.emit
    (by, bx), (top, left, _, _) = values(op.block), values(op.pads)
    _, _, height, width = shape_of(op.input)
    n, channel, y, x = index
    c = emit.div(channel, by * bx, "c")
    row = emit.add(emit.mul(y, by, "row"), emit.rem(emit.div(channel, bx, "i"), by, "i"), "row")
    column = emit.add(emit.mul(x, bx, "column"), emit.rem(channel, bx, "j"), "column")
    row, column = emit.add(row, -top, "row"), emit.add(column, -left, "column")

    def pixel() -> SSAValue:
        return kernel.element(op.input, (n, c, row, column))

    return _framed(kernel, op.input, pixel, [(row, height), (column, width)], 0)


def pad(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The input's element, or the value around it."""
    assert isinstance(op, PadOp)
    before = values(op.before)
    moved = tuple(kernel.emit.add(i, -low, "at") for i, low in zip(index, before, strict=True))
    axes = list(zip(moved, shape_of(op.input), strict=True))
    return _framed(kernel, op.input, lambda: kernel.element(op.input, moved), axes, op.value.value.data)


def _framed(
    kernel: Kernel,
    source: SSAValue,
    inner: Callable[[], SSAValue],
    axes: Sequence[tuple[Value, int]],
    value: int,
) -> SSAValue:
    """``inner()`` where the position on every axis is inside its extent, else ``value``; axes: both."""
    outer = kernel.emit.constant(value, integer_type(tensor_type(source).element_type))
    tests: list[SSAValue] = []
    for position, extent in axes:
        low, high = kernel.emit.range_of(position) or (-1, extent)
        if high < 0 or low >= extent:
            return outer
        tests += _tests(kernel.emit, position, low < 0, high >= extent, extent)
    if not tests:
        return inner()
    inside = reduce(lambda a, b: kernel.emit.bit_and(a, b, "inside"), tests)
    return kernel.emit.if_else(inside, inner, lambda: outer, "value")


def _tests(emit: Emitter, position: Value, below: bool, above: bool, extent: int) -> list[SSAValue]:
    """Whether a position that may lie before or behind an extent does not."""
    if not isinstance(position, SSAValue):
        return []
    return [emit.compare("sge", position, 0)] * below + [emit.compare("slt", position, extent)] * above


def concat(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The element of the operand that the position along the axis falls into."""
    assert isinstance(op, ConcatOp)
    axis = op.axis.value.data
    return _pick(kernel, op.inputs, axis, index)


def _pick(kernel: Kernel, inputs: Sequence[SSAValue], axis: int, index: Index) -> SSAValue:
    first, rest = inputs[0], inputs[1:]
    extent, at = shape_of(first)[axis], index[axis]
    beyond = (*index[:axis], kernel.emit.add(at, -extent, "at"), *index[axis + 1 :])
    if not rest or (isinstance(at, int) and at < extent):
        return kernel.element(first, index)
    if isinstance(at, int):
        return _pick(kernel, rest, axis, beyond)
    is_first = kernel.emit.compare("slt", at, extent)
    return kernel.emit.if_else(
        is_first, lambda: kernel.element(first, index), lambda: _pick(kernel, rest, axis, beyond), "value"
    )


def slice_(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The element as many strides behind the offset."""
    assert isinstance(op, SliceOp)
    emit = kernel.emit
    axes = zip(index, values(op.offsets), values(op.strides), strict=True)
    return kernel.element(op.input, tuple(emit.add(emit.mul(i, step, "at"), offset, "at") for i, offset, step in axes))


def transpose(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The element with its axes put back."""
    assert isinstance(op, TransposeOp)
    permutation = values(op.permutation)
    return kernel.element(op.input, tuple(index[permutation.index(axis)] for axis in range(len(permutation))))


def reverse(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The element as far from the other end."""
    assert isinstance(op, ReverseOp)
    axes, shape = values(op.axes), shape_of(op.input)
    turned = (kernel.emit.sub(shape[axis] - 1, i, "at") if axis in axes else i for axis, i in enumerate(index))
    return kernel.element(op.input, tuple(turned))
