"""Ops that only move elements: reshape, space to depth, layout conversion; and the element-wise sum."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import AddOp, ReshapeOp, SpaceToDepthOp, shape_of, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import linear
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel, integer_type


def add(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """Both operands, widened, and their sum."""
    assert isinstance(op, AddOp)
    lhs, rhs = kernel.wide(op.lhs, index, "lhs"), kernel.wide(op.rhs, index, "rhs")
    total = kernel.emit.add(lhs, rhs, "sum")
    assert isinstance(total, SSAValue)
    return total


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
    (by, bx), (top, left, bottom, right) = values(op.block), values(op.pads)
    _, _, height, width = shape_of(op.input)
    n, channel, y, x = index
    c = emit.div(channel, by * bx, "c")
    row = emit.add(emit.mul(y, by, "row"), emit.rem(emit.div(channel, bx, "i"), by, "i"), "row")
    column = emit.add(emit.mul(x, bx, "column"), emit.rem(channel, bx, "j"), "column")
    row, column = emit.add(row, -top, "row"), emit.add(column, -left, "column")

    def pixel() -> SSAValue:
        return kernel.element(op.input, (n, c, row, column))

    inside = _inside(emit, [(row, height, top, bottom), (column, width, left, right)])
    if inside is None:
        return pixel()
    zero = emit.constant(0, integer_type(tensor_type(op.input).element_type))
    return emit.if_else(inside, pixel, zero, "pixel")


def _inside(emit: Emitter, axes: Sequence[tuple[Value, int, int, int]]) -> SSAValue | None:
    """Whether every (position, extent, zeros before, zeros after) is inside its extent; None if there are no zeros."""
    condition: SSAValue | None = None
    for position, extent, before, after in axes:
        at = position if isinstance(position, SSAValue) else emit.constant(position)
        tests = [emit.compare("sge", at, 0)] if before else []
        tests += [emit.compare("slt", at, extent)] if after else []
        for test in tests:
            condition = test if condition is None else emit.bit_and(condition, test, "inside")
    return condition
