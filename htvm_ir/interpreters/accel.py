"""Execution of the ``accel`` dialect: dispatch regions on logical tensors, jobs on the bytes of buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects import accel
from htvm_ir.dialects.graph import shape_of, tensor_type
from htvm_ir.interpreters.buffers import bytes_of, layout_from, read_operand, write_buffer
from htvm_ir.interpreters.machine import Machine
from htvm_ir.targets.target import Bytes, Job


@register_impls
class AccelFunctions(InterpreterFunctions):
    """Layouts do not change the value of a tensor; they say how a buffer is packed and unpacked."""

    def __init__(self, machine: Machine):
        self.machine = machine

    @impl(accel.DispatchOp)
    def run_dispatch(self, interpreter: Interpreter, op: accel.DispatchOp, args: tuple[Any, ...]) -> PythonValues:
        count = len(op.inputs)
        operands = tuple(
            read_operand(value, operand.type, layout_from(tensor_type(argument)), shape_of(argument))
            for value, operand, argument in zip(args[:count], op.inputs, op.body.block.args, strict=True)
        )
        results = interpreter.run_ssacfg_region(op.body, operands, op.kernel.data)
        if not op.outputs:
            return results
        for buffer, value, yielded in zip(args[count:], results, op.yielded, strict=True):
            write_buffer(buffer, layout_from(tensor_type(yielded)), value)
        return ()

    @impl_terminator(accel.YieldOp)
    def run_yield(
        self, interpreter: Interpreter, op: accel.YieldOp, args: tuple[Any, ...]
    ) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(args), ()

    @impl(accel.ConvertLayoutOp)
    def run_convert_layout(
        self, interpreter: Interpreter, op: accel.ConvertLayoutOp, args: tuple[Any, ...]
    ) -> PythonValues:
        return args

    @impl(accel.PrepareOp)
    def run_prepare(self, interpreter: Interpreter, op: accel.PrepareOp, args: tuple[Any, ...]) -> PythonValues:
        return (self.machine.prepare(op.engine_name, (op.kernel.data, op.job)),)

    @impl(accel.LaunchOp)
    def run_launch(self, interpreter: Interpreter, op: accel.LaunchOp, args: tuple[Any, ...]) -> PythonValues:
        engine = self.machine.engine(op.engine_name)
        job = Job(op.kernel.data, op.fields)
        if op.prepared is not None:
            self.machine.use_prepared(op.engine_name, args[-1], (op.kernel.data, op.job))
            args = args[:-1]
        operands = [bytes_of(buffer) for buffer in args]
        inputs, output = operands[: len(op.inputs)], operands[-1]
        constants = operands[-2] if op.constants is not None else np.empty(0, np.uint8)
        started_by = f'{op.name} @{op.engine_name} "{op.kernel.data}"'
        _check_aliases(started_by, inputs, output, engine.overwrites(job))

        def compute() -> None:
            engine.execute(job, inputs, constants, output)

        return (self.machine.start(started_by, compute, [*inputs, constants], output),)

    @impl(accel.AwaitOp)
    def run_await(self, interpreter: Interpreter, op: accel.AwaitOp, args: tuple[Any, ...]) -> PythonValues:
        self.machine.wait(args[0])
        return ()


def _check_aliases(job: str, inputs: Sequence[Bytes], output: Bytes, may: frozenset[int]) -> None:
    """A job reads its inputs while it writes: only over those the engine names, element by element.

    Raises:
        InterpretationError: the output shares bytes with another input, or with one of these at another address.
    """
    for index, operand in enumerate(inputs):
        in_place = index in may and operand.ctypes.data == output.ctypes.data
        if not in_place and np.may_share_memory(operand, output):
            raise InterpretationError(f"{job} writes over its input {index}")
