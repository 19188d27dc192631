"""Which buffers a function writes, for ``const`` and ``restrict``."""

from __future__ import annotations

from xdsl.dialects import func, memref
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.traits import SymbolTable

from htvm_ir.dialects import accel, dma
from htvm_ir.dialects.external import ExternalOp

VIEWS = (memref.SubviewOp, memref.CollapseShapeOp, memref.ExpandShapeOp, memref.ReinterpretCastOp, memref.ViewOp)
"""Ops whose result is their first operand's memory."""


def written_arguments(function: FuncOp, module: ModuleOp) -> set[int]:
    """The arguments a function writes: directly, through views, by transfers and jobs, or in functions it calls."""
    return {index for index, argument in enumerate(function.body.block.args) if is_written(argument, module)}


def is_written(buffer: SSAValue, module: ModuleOp) -> bool:
    """Whether anything writes to a buffer, or to a view of it."""
    return any(_writes(use.operation, buffer, use.index, module) for use in buffer.uses)


def _writes(op: Operation, buffer: SSAValue, operand: int, module: ModuleOp) -> bool:
    match op:
        case memref.StoreOp():
            return op.memref == buffer
        case dma.StartOp():
            return op.destination == buffer
        case accel.LaunchOp():
            return op.output == buffer
        case ExternalOp():
            return buffer in op.outputs
        case func.CallOp():
            callee = SymbolTable.lookup_symbol(module, op.callee)
            return not isinstance(callee, FuncOp) or operand in written_arguments(callee, module)
        case _:
            return isinstance(op, VIEWS) and any(is_written(result, module) for result in op.results)
