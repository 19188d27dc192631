"""Which buffers a function writes, for ``const`` and ``restrict``."""

from __future__ import annotations

from xdsl.dialects import func, memref
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects import accel, dma
from htvm_ir.dialects.external import ExternalOp

VIEWS = (memref.SubviewOp, memref.CollapseShapeOp, memref.ExpandShapeOp, memref.ReinterpretCastOp, memref.ViewOp)
"""Ops whose result is their first operand's memory."""


class Effects:
    """What the functions of a module write."""

    def __init__(self, module: ModuleOp):
        self._functions = {f.sym_name.data: f for f in module.ops if isinstance(f, FuncOp) and f.body.blocks}
        self._written: dict[FuncOp, set[int]] = {}

    def written_arguments(self, function: FuncOp) -> set[int]:
        """The arguments a function writes: directly, through views, by transfers and jobs, or in functions it calls."""
        if function not in self._written:
            arguments = enumerate(function.body.block.args)
            self._written[function] = {index for index, argument in arguments if self.is_written(argument)}
        return self._written[function]

    def is_written(self, buffer: SSAValue) -> bool:
        """Whether anything writes to a buffer, or to a view of it."""
        return any(self._writes(use.operation, buffer, use.index) for use in buffer.uses)

    def _writes(self, op: Operation, buffer: SSAValue, operand: int) -> bool:
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
                callee = self._functions.get(op.callee.string_value())
                return callee is None or operand in self.written_arguments(callee)
            case _:
                return isinstance(op, VIEWS) and any(self.is_written(result) for result in op.results)
