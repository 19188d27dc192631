"""Run a module of any level on numpy arrays: the reference that every lowering is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.interpreter import Interpreter, PythonValues
from xdsl.interpreters.builtin import BuiltinFunctions
from xdsl.interpreters.scf import ScfFunctions
from xdsl.ir import Operation

from htvm_ir.dialects.tiled import NestOp
from htvm_ir.interpreters.accel import AccelFunctions
from htvm_ir.interpreters.arith import ArithFunctions
from htvm_ir.interpreters.dma import DmaFunctions
from htvm_ir.interpreters.external import ExternalFunctions
from htvm_ir.interpreters.func import FuncFunctions
from htvm_ir.interpreters.graph import GraphFunctions
from htvm_ir.interpreters.machine import POISON, Capture, Machine, Order
from htvm_ir.interpreters.memref import MemRefFunctions
from htvm_ir.interpreters.numpy_types import Array
from htvm_ir.interpreters.poison import Poisoner
from htvm_ir.interpreters.signature import Argument, arguments_of, bind, function_named
from htvm_ir.interpreters.tiled import TiledFunctions
from htvm_ir.targets.target import Target

Inputs = Sequence[Array] | Mapping[str, Array]


class Watcher(Interpreter.Listener):
    """Shows named tensors to the machine's capture."""

    def __init__(self, machine: Machine):
        self.machine = machine

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        # A nest records its own result, buffers included; constants are no layers.
        if op.results and isinstance(op.results[0].type, TensorType) and not isinstance(op, NestOp | ConstantOp):
            self.machine.record(op, results[0])


def register(interpreter: Interpreter, machine: Machine | None = None) -> None:
    """Give an xDSL interpreter the executable meaning of all our dialects and of what they are lowered to.

    Overrides upstream's functions for arith, memref and func, whose values are not numpy arrays.
    """
    machine = machine or Machine(interpreter.module)
    for functions in (
        BuiltinFunctions(),
        ScfFunctions(),
        ArithFunctions(),
        MemRefFunctions(machine),
        FuncFunctions(machine),
        GraphFunctions(),
        AccelFunctions(machine),
        TiledFunctions(machine),
        DmaFunctions(machine),
        ExternalFunctions(),
    ):
        interpreter.register_implementations(functions, override=True)


class Runner:
    """A module prepared for many runs; the module must not change between them.

    order: when transfers and jobs take effect, and whether races are errors; see Order. overlay: planned buffers share
    the bytes of one arena per memory, inputs and outputs that have a place there included. target: runs the jobs,
    None = the module's own. poison: what is not alive is overwritten, see Poisoner.

    Raises:
        HtvmError: there is no such function.
    """

    def __init__(
        self,
        module: ModuleOp,
        *,
        function: str = "main",
        order: Order = "eager",
        overlay: bool = False,
        target: Target | None = None,
        poison: bool = False,
    ):
        self.module = module
        self.function = function_named(module, function)
        self.arguments: tuple[Argument, ...] = arguments_of(self.function)
        self._order: Order = order
        self._overlay = overlay
        self._target = target
        self._poison = poison

    def run(self, inputs: Inputs, capture: Capture | None = None) -> list[Array]:
        """The outputs for the inputs, as logical row-major arrays.

        capture: called with name and value (not to be modified) of each op's tensor that has a ``graph.name``.

        Raises:
            HtvmError: the inputs do not fit the function.
            InterpretationError: the program has no meaning (bad index, token misused, part of an output not written).
        """
        machine = Machine(self.module, self._order, self._overlay, self._target, capture)
        given = [argument for argument in self.arguments if not argument.is_output]
        values = [self._placed(machine, a, v) for a, v in zip(given, bind(self.arguments, inputs), strict=True)]
        outputs = [self._placed(machine, a, None) for a in self.arguments if a.is_output]
        listeners: list[Interpreter.Listener] = [Watcher(machine)] if capture else []
        listeners += [Poisoner(machine)] if self._poison else []
        interpreter = Interpreter(self.module, listeners=tuple(listeners))
        register(interpreter, machine)
        results = interpreter.call_op(self.function, (*values, *outputs))
        return [np.array(value) for value in (*results, *outputs)]

    def _placed(self, machine: Machine, argument: Argument, value: Array | None) -> Array:
        """The buffer of an argument: in the arena if it has a place there. An output (None) is not written yet."""
        if not self._overlay or argument.place is None:
            return _poisoned(argument) if value is None else value
        memory, offset = argument.place
        buffer = machine.place(memory, offset, _bytes(argument)).view(argument.dtype).reshape(argument.shape)
        if value is not None:
            buffer[...] = value
        return buffer

    def layers(self, inputs: Inputs) -> dict[str, Array]:
        """All named tensors of a run, inputs included, under each of their names."""
        named: dict[str, Array] = {}
        wanted = [argument for argument in self.arguments if not argument.is_output]
        for argument, value in zip(wanted, bind(self.arguments, inputs), strict=True):
            named.update(dict.fromkeys(argument.names, value))
        self.run(inputs, named.__setitem__)
        return named


def _poisoned(argument: Argument) -> Array:
    return np.full(_bytes(argument), POISON, np.uint8).view(argument.dtype).reshape(argument.shape)


def _bytes(argument: Argument) -> int:
    return int(np.prod(argument.shape)) * argument.dtype.itemsize


def run(
    module: ModuleOp,
    inputs: Inputs,
    *,
    function: str = "main",
    order: Order = "eager",
    overlay: bool = False,
    capture: Capture | None = None,
    target: Target | None = None,
    poison: bool = False,
) -> list[Array]:
    """The outputs of one run; see :class:`Runner`."""
    runner = Runner(module, function=function, order=order, overlay=overlay, target=target, poison=poison)
    return runner.run(inputs, capture)


def layers(module: ModuleOp, inputs: Inputs) -> dict[str, Array]:
    """All named tensors of one run; see :meth:`Runner.layers`."""
    return Runner(module).layers(inputs)
