"""Execution of ``func``: upstream's, and what is in flight when a function returns must be its result."""

from __future__ import annotations

from typing import Any

from xdsl.dialects import func
from xdsl.interpreter import Interpreter, PythonValues, impl_callable, register_impls
from xdsl.interpreters import func as upstream

from htvm_ir.interpreters.machine import Machine


@register_impls
class FuncFunctions(upstream.FuncFunctions):
    """A call is a frame of the machine."""

    def __init__(self, machine: Machine):
        self.machine = machine

    @impl_callable(func.FuncOp)
    def call_func(self, interpreter: Interpreter, op: func.FuncOp, args: tuple[Any, ...]) -> PythonValues:
        with self.machine.frame(op.sym_name.data) as handed_over:
            results = super().call_func(interpreter, op, args)
            handed_over.extend(results)
        return results
