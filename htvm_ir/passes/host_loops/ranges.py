"""Which numbers a value can hold, so that 64-bit arithmetic and clamps are used only where they matter."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue

from htvm_ir.arithmetic import scale
from htvm_ir.dialects import accel, graph
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.workloads import constant_array

Range = tuple[int, int]
"""Smallest and largest value."""


def fits(range_: Range, bits: int) -> bool:
    """Whether a signed integer of ``bits`` holds the range."""
    return -(2 ** (bits - 1)) <= range_[0] and range_[1] < 2 ** (bits - 1)


def value_range(value: SSAValue) -> Range:
    """Bounds of the elements of a tensor inside a region; its type's where nothing better is known."""
    limits = graph.element_limits(graph.tensor_type(value).element_type)
    bounds = _computed(value.owner) if isinstance(value.owner, Operation) else None
    if bounds is None or bounds[0] < limits[0] or bounds[1] > limits[1]:
        return limits
    return bounds


def _computed(op: Operation) -> Range | None:
    match op:
        case arith.ConstantOp():
            array = constant_array(op.result)
            return None if array is None or not array.size else (int(array.min()), int(array.max()))
        case graph.Conv2dOp():
            return _accumulated(op)
        case graph.DenseOp():
            return _accumulated(op)
        case graph.AddOp():
            left, right = value_range(op.lhs), value_range(op.rhs)
            return left[0] + right[0], left[1] + right[1]
        case graph.SubOp():
            left, right = value_range(op.lhs), value_range(op.rhs)
            return left[0] - right[1], left[1] - right[0]
        case graph.MulOp():
            return _product(op)
        case graph.LookupOp():
            return value_range(op.table)
        case graph.RequantOp():
            lo, hi = op.lo.value.data, op.hi.value.data
            return lo, hi
        case graph.PoolOp() if op.kind.data == "sum":
            lo, hi = _with_zero(value_range(op.input))
            taps = prod(values(op.kernel))
            return lo * taps, hi * taps
        case graph.ConcatOp():
            return _hull([value_range(value) for value in op.inputs])
        case graph.PadOp():
            value = op.value.value.data
            return _hull([value_range(op.input), (value, value)])
        case graph.PoolOp() | graph.ReshapeOp() | graph.SliceOp() | graph.TransposeOp() | accel.ConvertLayoutOp():
            return value_range(op.input)
        case graph.SpaceToDepthOp():
            return _with_zero(value_range(op.input))
        case _:
            return None


def _hull(ranges: Sequence[Range]) -> Range:
    """The smallest range that holds all of them."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _with_zero(range_: Range) -> Range:
    """The range once padding is mixed in."""
    return _hull([range_, (0, 0)])


def _moved(value: SSAValue, zero_point: int) -> Range:
    """Bounds of ``value - zero_point``."""
    lo, hi = value_range(value)
    return lo - zero_point, hi - zero_point


def _product(op: graph.MulOp) -> Range:
    left, right = (_moved(v, z) for v, z in zip(op.operands, values(op.zero_points), strict=True))
    products = [a * b for a in left for b in right]
    return min(products), max(products)


def _accumulated(op: graph.Conv2dOp | graph.DenseOp) -> Range | None:
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


def scaled_range(x: Range, multiplier: Sequence[int], shift: Sequence[int], rounding: str) -> Range:
    """Bounds of ``R(x * m, s)`` over all channels; R is monotonic in its product."""
    m, s = np.broadcast_arrays(np.asarray(multiplier, np.int64), np.asarray(shift, np.int64))
    ends = [scale(np.full(m.shape, end, np.int64), m, s, rounding) for end in x]
    return int(np.min(ends)), int(np.max(ends))


def requant_limits(op: graph.RequantOp) -> tuple[Range, Range]:
    """Bounds of the product and of the rounded quotient of a requantisation."""
    x = value_range(op.input)
    multiplier, shift = values(op.multiplier), values(op.shift)
    products = [end * m for end in x for m in multiplier]
    quotient = scaled_range(x, multiplier, shift, op.rounding.data)
    return (min(products), max(products)), quotient
