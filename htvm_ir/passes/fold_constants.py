"""``fold-constants``: compute what does not depend on the network's input, and drop what nobody reads."""

from __future__ import annotations

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
    Signedness,
    TensorType,
)
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph.evaluate import evaluate
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.workloads import blocks_of

Array = NDArray[Any]


@dataclass(frozen=True)
class FoldConstants(ModulePass):
    """Replaces ``graph`` ops on constants by their value, joins reshapes of reshapes, and drops pools of single pixels.

    Looks at the bodies of functions only: what ``dispatch`` has put into a region belongs to a kernel and stays there.
    """

    name = "fold-constants"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for block in blocks_of(op):
            fold(block)
            remove_dead(block)


def fold(block: Block) -> None:
    """Fold the ops of a block, in program order, so that a constant found early serves the ops after it."""
    for op in list(block.ops):
        if not op.name.startswith("graph."):
            continue
        operands = [_integers(operand) for operand in op.operands]
        known = [array for array in operands if array is not None]
        if len(known) == len(operands) and _holds_foldable(op.results[0]):
            Rewriter.replace_op(op, named_as(constant(evaluate(op, known)), op))
        elif isinstance(op, graph.ReshapeOp):
            _join_reshapes(op)
        elif isinstance(op, graph.PoolOp) and _pools_pixels(op):
            _skip(op)


def constant(array: Array) -> ConstantOp:
    """An ``arith.constant`` that holds an integer array."""
    signedness = Signedness.UNSIGNED if array.dtype.kind == "u" else Signedness.SIGNLESS
    type_ = TensorType(IntegerType(8 * array.dtype.itemsize, signedness), array.shape)
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
    """Whether the elements are numbers of a numpy type; other tensors are left to the interpreter."""
    element = value.type.element_type if isinstance(value.type, TensorType) else None
    if not isinstance(element, IntegerType) or element.signedness.data == Signedness.SIGNED:
        return False
    return element.width.data in (8, 16, 32, 64)


def _join_reshapes(op: graph.ReshapeOp) -> None:
    """Only the last shape of a row of reshapes counts, and none if it is the first."""
    if isinstance(op.input.owner, graph.ReshapeOp):
        op.operands[0] = op.input.owner.input
    _skip(op)


def _pools_pixels(op: graph.PoolOp) -> bool:
    """Whether each window is one pixel of the input, in its place."""
    return {*values(op.kernel), *values(op.strides)} == {1} and not any(values(op.pads))


def _skip(op: graph.ReshapeOp | graph.PoolOp) -> None:
    """Let the users of an op that only passes its input on have that."""
    is_result = any(isinstance(use.operation, ReturnOp) for use in op.result.uses)
    if op.input.type == op.result.type and not is_result:  # results keep values of their own
        Rewriter.replace_op(op, [], [op.input])


def remove_dead(block: Block) -> None:
    """Erase ``graph`` ops and constants without a use, last first, so that whole chains go."""
    for op in reversed(list(block.ops)):
        pure = op.name.startswith("graph.") or isinstance(op, ConstantOp)
        if pure and not any(result.uses for result in op.results):
            Rewriter.erase_op(op)
