"""Kernels given as C, on buffers: their constants become globals, and ``@main`` lends them their workspace."""

from __future__ import annotations

from functools import cached_property

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    FunctionType,
    MemRefType,
    ModuleOp,
    NoneAttr,
    StringAttr,
    TensorType,
    i8,
)
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import Attribute, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import DispatchOp
from htvm_ir.dialects.external import ExternalOp
from htvm_ir.passes.host_loops.buffers import Constants
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.symbols import Symbols
from htvm_ir.passes.workloads import TYPES, kernel_types, main_function


def external_of(dispatch: DispatchOp) -> ExternalOp | None:
    """The external kernel that a dispatch consists of, if it does."""
    return next((op for op in dispatch.body.block.ops if isinstance(op, ExternalOp)), None)


class Calls:
    """The calls of kernels by ``@main``, looked for when the first is asked for."""

    def __init__(self, module: ModuleOp):
        self._module = module

    @cached_property
    def of(self) -> dict[str, list[CallOp]]:
        """By the kernel's name."""
        found: dict[str, list[CallOp]] = {}
        for op in main_function(self._module).body.block.ops:
            if isinstance(op, CallOp):
                found.setdefault(op.callee.string_value(), []).append(op)
        return found


def lower_external(dispatch: DispatchOp, external: ExternalOp, symbols: Symbols, calls: Calls, memory: str) -> None:
    """Replace a dispatch on buffers by the call of the C function on them."""
    function = dispatch.parent_op()
    assert isinstance(function, FuncOp)
    emit, constants = Emitter(dispatch), Constants(symbols, function, memory)
    buffers: dict[SSAValue, SSAValue] = dict(zip(dispatch.body.block.args, dispatch.inputs, strict=True))
    for op in dispatch.body.block.ops:
        if isinstance(op, ConstantOp):
            assert isinstance(op.value, DenseIntOrFPElementsAttr)
            buffers[op.result] = constants.place(emit, op.value, "constants")
    outputs = list(dispatch.outputs)
    if size := external.workspace.value.data:
        outputs.append(_borrow(calls, function, size, memory))
    call = external.on_buffers([buffers[value] for value in external.inputs], outputs)
    Rewriter.insert_op(call, InsertPoint.before(dispatch))
    Rewriter.erase_op(dispatch)


def _borrow(calls: Calls, function: FuncOp, size: int, memory: str) -> SSAValue:
    """A new argument of a kernel, before its output: a buffer of bytes of ``@main``'s."""
    type_ = MemRefType(i8, [size], NoneAttr(), StringAttr(memory))
    block, place = function.body.block, len(function.args) - 1
    types = [*kernel_types(function)]
    types.insert(place, TensorType(i8, [size]))
    argument = block.insert_arg(type_, place)
    argument.name_hint = "workspace"
    function.attributes[TYPES] = ArrayAttr[Attribute](types)
    function.properties["function_type"] = FunctionType.from_lists(block.arg_types, [])
    if function.arg_attrs is not None:
        given = list(function.arg_attrs)
        given.insert(place, DictionaryAttr({}))
        function.arg_attrs = ArrayAttr(given)
    name = function.sym_name.data
    calls.of[name] = [_lending(call, type_, place) for call in calls.of.get(name, [])]
    return argument


def _lending(call: CallOp, type_: MemRefType[Attribute], place: int) -> CallOp:
    """A call in place of one, with a buffer of its own as one more argument."""
    alloc, operands = AllocOp([], [], type_), list(call.arguments)
    operands.insert(place, alloc.memref)
    lending = CallOp(call.callee, operands, [])
    Rewriter.replace_op(call, [alloc, lending], [])
    return lending
