"""Execution of the ``dma`` dialect: element-wise copies in row-major order."""

from __future__ import annotations

from typing import Any

from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from htvm_ir.dialects import dma
from htvm_ir.interpreters.machine import Machine


@register_impls
class DmaFunctions(InterpreterFunctions):
    """The copy happens at the start or at the wait, as the machine's order says."""

    def __init__(self, machine: Machine):
        self.machine = machine

    @impl(dma.StartOp)
    def run_start(self, interpreter: Interpreter, op: dma.StartOp, args: tuple[Any, ...]) -> PythonValues:
        source, destination = args

        def copy() -> None:
            destination[...] = source.reshape(destination.shape)

        return (self.machine.start(f"{op.name} @{op.channel.string_value()}", copy, [source], destination),)

    @impl(dma.WaitOp)
    def run_wait(self, interpreter: Interpreter, op: dma.WaitOp, args: tuple[Any, ...]) -> PythonValues:
        self.machine.wait(args[0])
        return ()
