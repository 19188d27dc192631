"""The meaning of each op, as a function of :mod:`htvm_ir.arithmetic`, for the interpreter and for constant folding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Operation

from htvm_ir import arithmetic
from htvm_ir.dialects.attributes import integer_dtype, values
from htvm_ir.dialects.graph.checks import number, shape_of, tensor_type
from htvm_ir.dialects.graph.contractions import Conv2dOp, DenseOp
from htvm_ir.dialects.graph.elementwise import AddOp, LookupOp, MulOp, RequantOp, SubOp
from htvm_ir.dialects.graph.moves import ConcatOp, PadOp, ReshapeOp, ReverseOp, SliceOp, SpaceToDepthOp, TransposeOp
from htvm_ir.dialects.graph.pooling import PoolOp

Array = NDArray[Any]


def evaluate(op: Operation, operands: Sequence[Array]) -> Array:
    """The value of a ``graph`` op on its operands.

    Extents come from the operands, not the types: a nest's body, typed for a full tile, runs on edge tiles too.

    Raises:
        ValueError: an op of another dialect.
    """
    match op:
        case Conv2dOp() | DenseOp():
            return _contract(op, operands)
        case AddOp():
            return arithmetic.add(*operands)
        case SubOp():
            return arithmetic.sub(*operands)
        case MulOp():
            return arithmetic.mul(operands[0], operands[1], values(op.zero_points))
        case LookupOp():
            return arithmetic.lookup(*operands)
        case PoolOp():
            window = (values(op.kernel), values(op.strides), values(op.pads))
            return arithmetic.pool(operands[0], op.kind.data, *window, op.rounding.data)
        case RequantOp():
            return _requantize(op, operands[0])
        case _:
            return _move(op, operands)


def _contract(op: Conv2dOp | DenseOp, operands: Sequence[Array]) -> Array:
    x, weights, *rest = operands
    bias, zero_point = rest[0] if rest else None, number(op.zero_point)
    if isinstance(op, DenseOp):
        return arithmetic.dense(x, weights, bias, zero_point)
    groups = x.shape[1] // weights.shape[1]  # the op's own count is that of a full tile
    spatial = (values(op.strides), values(op.pads), values(op.dilations))
    return arithmetic.conv2d(x, weights, bias, *spatial, groups, zero_point)


def _requantize(op: RequantOp, x: Array) -> Array:
    return arithmetic.requantize(
        x,
        op.rounding.data,
        values(op.multiplier),
        values(op.shift),
        op.zero_point.value.data,
        op.lo.value.data,
        op.hi.value.data,
        integer_dtype(tensor_type(op.result).element_type),
        op.addends,
    )


def _move(op: Operation, operands: Sequence[Array]) -> Array:
    match op:
        case ReshapeOp():
            return operands[0].reshape(shape_of(op.result))
        case SpaceToDepthOp():
            return arithmetic.space_to_depth(operands[0], values(op.block), values(op.pads))
        case ConcatOp():
            return np.concatenate(operands, op.axis.value.data)
        case SliceOp():
            axes = zip(values(op.offsets), values(op.sizes), values(op.strides), strict=True)
            return operands[0][tuple(slice(o, o + (n - 1) * step + 1, step) for o, n, step in axes)]
        case PadOp():
            edges = list(zip(values(op.before), values(op.after), strict=True))
            return np.pad(operands[0], edges, constant_values=op.value.value.data)
        case TransposeOp():
            return operands[0].transpose(values(op.permutation))
        case ReverseOp():
            return np.flip(operands[0], values(op.axes))
        case _:
            raise ValueError(f"{op.name} is no op of graph")
