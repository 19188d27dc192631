"""Overwriting what is dead, so that reading a buffer before it is written, or after its life, shows in the result."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.interpreter import Interpreter, PythonValues
from xdsl.ir import Operation

from htvm_ir.dialects.buffers import users
from htvm_ir.interpreters.machine import POISON, Machine
from htvm_ir.interpreters.numpy_types import Array


class Poisoner(Interpreter.Listener):
    """Fills each planned buffer with POISON right before the first op that uses it and right after the last.

    A life is what the program says, use by use, not what the memory plan took it for. Where a result is written over an
    operand, the two are alive together: what is shared with a living buffer is left alone.
    """

    def __init__(self, machine: Machine):
        self.machine = machine
        self._first: dict[Operation, list[AllocOp]] = {}
        self._last: dict[Operation, list[AllocOp]] = {}
        self._living: dict[AllocOp, Array] = {}
        self._waiting: dict[AllocOp, Array] = {}
        for function in machine.module.ops:
            if isinstance(function, FuncOp) and function.body.blocks:
                self._lives(function)

    def will_interpret_op(self, op: Operation, args: PythonValues) -> None:
        for allocation in self._first.get(op, ()):
            buffer = self._waiting.pop(allocation)
            self._fill(buffer)
            self._living[allocation] = buffer

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        if isinstance(op, AllocOp):
            self._waiting[op] = results[0]
        for allocation in self._last.get(op, ()):
            self._fill(self._living.pop(allocation))

    def _lives(self, function: FuncOp) -> None:
        order = {op: number for number, op in enumerate(function.body.block.ops)}
        for op in order:
            uses = [self._standing(user, order) for user in users(op.memref)] if isinstance(op, AllocOp) else []
            if isinstance(op, AllocOp) and uses:
                self._first.setdefault(min(uses, key=order.__getitem__), []).append(op)
                self._last.setdefault(max(uses, key=order.__getitem__), []).append(op)

    @staticmethod
    def _standing(op: Operation, order: dict[Operation, Any]) -> Operation:
        """The op of the function's body that holds another."""
        while op not in order:
            parent = op.parent_op()
            assert parent is not None
            op = parent
        return op

    def _fill(self, buffer: Array) -> None:
        spared = [other for other in self._living.values() if np.may_share_memory(other, buffer)]
        kept = [other.copy() for other in spared]
        buffer.view(np.uint8)[...] = POISON
        for other, value in zip(spared, kept, strict=True):
            other[...] = value
