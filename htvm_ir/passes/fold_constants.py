"""``fold-constants``: compute what does not depend on the network's input, and drop what nobody reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    BytesAttr,
    DenseIntOrFPElementsAttr,
    IntegerType,
    ModuleOp,
    TensorType,
    i8,
    i16,
    i32,
    i64,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir import arithmetic
from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.workloads import constant_array

Array = NDArray[Any]

FOLDABLE = (i8, i16, i32, i64)
"""Element types with a numpy array of the same meaning; other tensors are left to the interpreter."""


@dataclass(frozen=True)
class FoldConstants(ModulePass):
    """Replaces ``graph`` ops on constants by their value, and joins reshapes of reshapes.

    Looks at the bodies of functions only: what ``dispatch`` has put into a region belongs to a kernel and stays there.
    """

    name = "fold-constants"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.ops:
            for block in function.body.blocks if isinstance(function, FuncOp) else ():
                fold(block)
                remove_dead(block)


def fold(block: Block) -> None:
    """Fold the ops of a block, in program order, so that a constant found early serves the ops after it."""
    for op in list(block.ops):
        if not op.name.startswith("graph."):
            continue
        operands = [_integers(operand) for operand in op.operands]
        known = [array for array in operands if array is not None]
        foldable = len(known) == len(operands) and _holds_foldable(op.results[0])
        value = evaluate(op, known) if foldable else None
        if value is not None:
            Rewriter.replace_op(op, named_as(constant(value), op))
        elif isinstance(op, graph.ReshapeOp):
            _join_reshapes(op)


def evaluate(op: Operation, operands: Sequence[Array]) -> Array | None:
    """The value of a ``graph`` op on constant operands; None for an op this pass does not know."""
    match op:
        case graph.Conv2dOp():
            x, weights, bias = _with_bias(operands)
            spatial = (values(op.strides), values(op.pads), values(op.dilations))
            return arithmetic.conv2d(x, weights, bias, *spatial, op.groups.value.data)
        case graph.DenseOp():
            return arithmetic.dense(*_with_bias(operands))
        case graph.AddOp():
            return arithmetic.add(*operands)
        case graph.PoolOp():
            window = (values(op.kernel), values(op.strides), values(op.pads))
            return arithmetic.pool(operands[0], op.kind.data, *window, op.rounding.data)
        case graph.RequantOp():
            return _requantize(op, operands[0])
        case graph.ReshapeOp():
            return operands[0].reshape(graph.shape_of(op.result))
        case graph.SpaceToDepthOp():
            return arithmetic.space_to_depth(operands[0], values(op.block), values(op.pads))
        case _:
            return None


def _with_bias(operands: Sequence[Array]) -> tuple[Array, Array, Array | None]:
    return operands[0], operands[1], operands[2] if len(operands) > 2 else None


def _requantize(op: graph.RequantOp, acc: Array) -> Array:
    element = graph.tensor_type(op.result).element_type
    assert isinstance(element, IntegerType)
    return arithmetic.requantize(
        acc,
        op.rounding.data,
        values(op.multiplier),
        values(op.shift),
        op.zero_point.value.data,
        op.lo.value.data,
        op.hi.value.data,
        np.dtype(f"i{element.width.data // 8}"),
    )


def constant(array: Array) -> ConstantOp:
    """An ``arith.constant`` that holds a signed integer array."""
    type_ = TensorType(IntegerType(8 * array.dtype.itemsize), array.shape)
    return ConstantOp(DenseIntOrFPElementsAttr(type_, BytesAttr(np.ascontiguousarray(array).tobytes())))


def named_as(op: Operation, last: Operation) -> Operation:
    """Give ``op``, which now produces the tensor of ``last``, that tensor's ONNX name."""
    if graph.NAME in last.attributes:
        op.attributes[graph.NAME] = last.attributes[graph.NAME]
    return op


def _integers(value: SSAValue) -> Array | None:
    """The array of a constant that :func:`constant` could have made."""
    return constant_array(value) if _holds_foldable(value) else None


def _holds_foldable(value: SSAValue) -> bool:
    return isinstance(value.type, TensorType) and value.type.element_type in FOLDABLE


def _join_reshapes(op: graph.ReshapeOp) -> None:
    """Only the last shape of a row of reshapes counts."""
    if isinstance(op.input.owner, graph.ReshapeOp):
        op.operands[0] = op.input.owner.input


def remove_dead(block: Block) -> None:
    """Erase ``graph`` ops and constants without a use, last first, so that whole chains go."""
    for op in reversed(list(block.ops)):
        pure = op.name.startswith("graph.") or isinstance(op, ConstantOp)
        if pure and not any(result.uses for result in op.results):
            Rewriter.erase_op(op)
