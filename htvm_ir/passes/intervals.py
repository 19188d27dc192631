"""What is proven about the elements of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import ArrayAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from htvm_ir.dialects import accel, graph, tiled
from htvm_ir.dialects.attributes import is_integers, values
from htvm_ir.passes.constants import constant_array

RANGE = "graph.range"
"""Argument attribute: the least and the greatest integer that the caller promises; of ``@main`` or of a kernel."""

Interval = tuple[int, int]
"""The least and the greatest number."""


def interval(value: SSAValue) -> Interval:
    """Bounds of a tensor's elements: what its producer or the caller promises, else what its type can hold."""
    limits = type_interval(value)
    if isinstance(value, BlockArgument):
        return _promised(value) or limits
    bounds = _computed(value.owner, value) if isinstance(value.owner, Operation) else None
    if bounds is None or bounds[0] < limits[0] or bounds[1] > limits[1]:
        return limits
    return bounds


def type_interval(value: SSAValue) -> Interval:
    """What the element type of a tensor can hold; signless integers are signed."""
    return graph.element_limits(graph.tensor_type(value).element_type)


def _promised(value: BlockArgument) -> Interval | None:
    """The range of an argument: of a kernel's region that of the tensor outside, of a function what it states."""
    owner = value.block.parent_op()
    if isinstance(owner, accel.DispatchOp):
        source = owner.inputs[value.index]
        if owner.results_:
            return interval(source)
        return _promised(source) if isinstance(source, BlockArgument) else None
    if not isinstance(owner, FuncOp) or not isinstance(owner.arg_attrs, ArrayAttr):
        return None
    stated = owner.arg_attrs.data[value.index].data.get(RANGE)
    if not is_integers(stated):
        return None
    low, high = values(stated)
    return low, high


def _computed(op: Operation, value: SSAValue) -> Interval | None:
    """Bounds by the op's arithmetic, in which nothing overflows; None if nothing is known."""
    match op:
        case accel.DispatchOp() | tiled.NestOp():
            return interval(op.yielded[op.results.index(value)])
        case arith.ConstantOp():
            array = constant_array(op.result)
            return None if array is None or not array.size else (int(array.min()), int(array.max()))
        case graph.Conv2dOp() | graph.DenseOp():
            return _accumulated(op)
        case graph.AddOp():
            left, right = interval(op.lhs), interval(op.rhs)
            return left[0] + right[0], left[1] + right[1]
        case graph.SubOp():
            left, right = interval(op.lhs), interval(op.rhs)
            return left[0] - right[1], left[1] - right[0]
        case graph.MulOp():
            return _product(op)
        case graph.LookupOp():
            return interval(op.table)
        case graph.RequantOp():
            lo, hi = op.lo.value.data, op.hi.value.data
            return lo, hi
        case graph.PoolOp() if op.kind.data == "sum":
            lo, hi = _with_zero(interval(op.input))
            taps = prod(values(op.kernel))
            return lo * taps, hi * taps
        case graph.ConcatOp():
            return _hull([interval(part) for part in op.inputs])
        case graph.PadOp():
            filling = op.value.value.data
            return _hull([interval(op.input), (filling, filling)])
        case graph.PoolOp() | graph.ReshapeOp() | graph.SliceOp() | graph.TransposeOp() | accel.ConvertLayoutOp():
            return interval(op.input)
        case graph.ReverseOp():
            return interval(op.input)
        case graph.SpaceToDepthOp():
            return _with_zero(interval(op.input))
        case _:
            return None


def _hull(ranges: Sequence[Interval]) -> Interval:
    """The smallest range that holds all of them."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _with_zero(range_: Interval) -> Interval:
    """The range once padding is mixed in."""
    return _hull([range_, (0, 0)])


def _moved(value: SSAValue, zero_point: int) -> Interval:
    """Bounds of ``value - zero_point``."""
    lo, hi = interval(value)
    return lo - zero_point, hi - zero_point


def _product(op: graph.MulOp) -> Interval:
    left, right = (_moved(v, z) for v, z in zip(op.operands, values(op.zero_points), strict=True))
    products = [a * b for a in left for b in right]
    return min(products), max(products)


def _accumulated(op: graph.Conv2dOp | graph.DenseOp) -> Interval | None:
    """Bounds over all output channels; every partial sum lies within them as well, if they include zero."""
    array, bias = constant_array(op.weights), op.bias
    if array is None:
        return None
    lo, hi = _with_zero(_moved(op.input, graph.number(op.zero_point)))
    rows = array.reshape(array.shape[0], -1).astype(np.int64)
    positive, negative = np.maximum(rows, 0).sum(1), np.minimum(rows, 0).sum(1)
    low, high = positive * lo + negative * hi, positive * hi + negative * lo
    if bias is not None:
        offsets = constant_array(bias)
        if offsets is None:
            return None
        low, high = low + offsets, high + offsets
    return int(low.min()), int(high.max())
