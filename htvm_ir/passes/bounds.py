"""Least and greatest value of every element of a block's tensors, whatever the network is given."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.ir import Block, Operation, SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import integer_dtype, values
from htvm_ir.dialects.graph.evaluate import evaluate
from htvm_ir.passes.constants import constant_array

Array = NDArray[Any]
INT32 = np.iinfo(np.int32)


class Bounds(NamedTuple):
    """Two arrays of a tensor's type and shape; an element whose bounds are equal is known."""

    lo: Array
    hi: Array

    @property
    def known(self) -> Array:
        """Which elements are the same for every input of the network."""
        return self.lo == self.hi


def bounds_of(block: Block) -> dict[SSAValue, Bounds]:
    """Bounds of every tensor of 8, 16 or 32-bit integers in a block, each element on its own.

    So padding is exact: an element at the border has bounds that differ from those of its channel's interior.
    """
    found: dict[SSAValue, Bounds] = {}
    for value in (*block.args, *(result for op in block.ops for result in op.results)):
        if _is_countable(value):
            found[value] = _bounds(value, found)
    return found


def _is_countable(value: SSAValue) -> bool:
    if not isinstance(value.type, TensorType) or not value.type.has_static_shape():
        return False
    element = value.type.element_type
    return isinstance(element, IntegerType) and element.width.data in (8, 16, 32)


def _bounds(value: SSAValue, found: dict[SSAValue, Bounds]) -> Bounds:
    array, op = constant_array(value), value.owner
    if array is not None:
        return Bounds(array, array)
    if not isinstance(op, Operation) or not op.name.startswith("graph.") or not all(v in found for v in op.operands):
        return _anything(value)
    operands = [found[operand] for operand in op.operands]
    match op:
        case graph.Conv2dOp() | graph.DenseOp():
            return _contract(op, *operands)
        case graph.AddOp() | graph.SubOp() | graph.MulOp():
            return _combine(op, *operands)
        case graph.LookupOp():
            return _look_up(op, *operands)
        case graph.PoolOp() if op.kind.data == "sum" and _reach(operands[0]) * prod(values(op.kernel)) > INT32.max:
            return _anything(value)
        case _:  # monotone: up, or down where a multiplier is negative
            ends = [evaluate(op, [b.lo for b in operands]), evaluate(op, [b.hi for b in operands])]
            return Bounds(np.minimum(*ends), np.maximum(*ends))


def _anything(value: SSAValue) -> Bounds:
    """What the type can hold."""
    type_ = graph.tensor_type(value)
    dtype = integer_dtype(type_.element_type)
    low, high = graph.element_limits(type_.element_type)
    return Bounds(np.full(type_.get_shape(), low, dtype), np.full(type_.get_shape(), high, dtype))


def _reach(bounds: Bounds) -> int:
    """The greatest magnitude."""
    return max(abs(int(bounds.lo.min())), abs(int(bounds.hi.max())))


def _sums(lo: Array, hi: Array) -> Bounds:
    """Bounds of 32-bit sums from exact 64-bit ones: a sum that may wrap may be anything."""
    wraps = (lo < INT32.min) | (hi > INT32.max)
    return Bounds(np.where(wraps, INT32.min, lo).astype(np.int32), np.where(wraps, INT32.max, hi).astype(np.int32))


def _contract(op: graph.Conv2dOp | graph.DenseOp, x: Bounds, weights: Bounds, bias: Bounds | None = None) -> Bounds:
    """The sum of the bounds and their distance, each contracted once, give both bounds of the result.

    Padded positions hold the zero point in both.
    """
    zero_point, kernels = graph.number(op.zero_point), weights.lo.astype(np.int64)
    lo, hi = (bound.astype(np.int64) - zero_point for bound in x)
    reach = 2 * _reach(Bounds(lo, hi)) * int(np.abs(kernels).reshape(len(kernels), -1).sum(axis=1).max())
    if not weights.known.all() or reach > INT32.max:
        return _anything(op.result)
    middle = evaluate(op, [lo + hi + zero_point, kernels]).astype(np.int64)
    radius = evaluate(op, [hi - lo + zero_point, np.abs(kernels)]).astype(np.int64)
    column = (1, -1) + (1,) * (middle.ndim - 2)
    below, above = (0, 0) if bias is None else (bound.astype(np.int64).reshape(column) for bound in bias)
    return _sums((middle - radius) // 2 + below, (middle + radius) // 2 + above)


def _combine(op: graph.AddOp | graph.SubOp | graph.MulOp, lhs: Bounds, rhs: Bounds) -> Bounds:
    (a, b), (c, d) = ([bound.astype(np.int64) for bound in side] for side in (lhs, rhs))
    match op:
        case graph.AddOp():
            return _sums(a + c, b + d)
        case graph.SubOp():
            return _sums(a - d, b - c)
        case graph.MulOp():
            za, zb = values(op.zero_points)
            corners = [(p - za) * (q - zb) for p in (a, b) for q in (c, d)]
            return _sums(np.minimum.reduce(corners), np.maximum.reduce(corners))


def _look_up(op: graph.LookupOp, x: Bounds, table: Bounds) -> Bounds:
    """The least and greatest entry between the two ends."""
    between = np.tri(256, dtype=bool).T  # [first, entry]
    least = np.minimum.accumulate(np.where(between, table.lo, np.iinfo(table.lo.dtype).max), axis=1)
    greatest = np.maximum.accumulate(np.where(between, table.hi, np.iinfo(table.hi.dtype).min), axis=1)
    first, last = (bound.astype(np.int64) - int(np.iinfo(bound.dtype).min) for bound in x)
    return Bounds(least[first, last], greatest[first, last])
