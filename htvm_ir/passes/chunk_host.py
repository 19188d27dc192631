"""``chunk-host``: kernels of the CPU that are to be computed in chunks become a call for each.

Chunks of one size are one function on views of the buffers; only the last chunk may be smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import (
    FunctionType,
    MemRefType,
    ModuleOp,
    StringAttr,
    TensorType,
)
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import DispatchOp, kernels
from htvm_ir.passes.chunks import CHUNKS, chunk_body, chunks_of
from htvm_ir.passes.views import part_of, span_of
from htvm_ir.passes.workloads import KERNEL, kernel_types, layout_of, main_function


@dataclass(frozen=True)
class ChunkHost(ModulePass):
    """Obeys ``accel.chunks`` of dispatches on buffers."""

    name = "chunk-host"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        calls = {c.callee.string_value(): c for c in main_function(op).body.block.ops if isinstance(c, CallOp)}
        for dispatch in kernels(op):
            chunks, function = chunks_of(dispatch), dispatch.parent_op()
            if chunks is not None and isinstance(function, FuncOp) and _is_stored_as_such(function):
                _split(dispatch, function, calls[function.sym_name.data], *chunks)


def _is_stored_as_such(function: FuncOp) -> bool:
    """Whether the buffers have the axes of their tensors."""
    pairs = zip(function.args, kernel_types(function), strict=True)
    return all(
        isinstance(v.type, MemRefType) and v.type.get_shape() == layout_of(t).stored_shape(t.get_shape())
        for v, t in pairs
    )


def _split(dispatch: DispatchOp, function: FuncOp, call: CallOp, axis: int, size: int) -> None:
    """Replace one kernel and its call."""
    types = kernel_types(function)
    extent = types[-1].get_shape()[axis]
    made: dict[int, FuncOp] = {}
    for start in range(0, extent, size):
        part = min(size, extent - start)
        views = [
            _view(value, type_, axis, (start, part), call) for value, type_ in zip(call.arguments, types, strict=True)
        ]
        if part not in made:
            made[part] = _function(dispatch, function, views, (axis, part), len(made))
            Rewriter.insert_op(made[part], InsertPoint.before(function))
        Rewriter.insert_op(CallOp(made[part].sym_name.data, views, []), InsertPoint.before(call))
    Rewriter.erase_op(call)
    Rewriter.erase_op(function)


def _view(buffer: SSAValue, type_: TensorType[Attribute], axis: int, span: tuple[int, int], call: CallOp) -> SSAValue:
    """The part of a buffer that a chunk touches."""
    view = part_of(buffer, type_, span_of(type_.get_shape(), axis, span))
    Rewriter.insert_op(view, InsertPoint.before(call))
    return view.result


def _function(
    dispatch: DispatchOp, function: FuncOp, views: Sequence[SSAValue], chunk: tuple[int, int], number: int
) -> FuncOp:
    """The kernel on views of one chunk's size."""
    block = Block(arg_types=[view.type for view in views])
    for argument, old in zip(block.args, function.args, strict=True):
        argument.name_hint = old.name_hint
    count = len(dispatch.inputs)
    body = chunk_body(dispatch, *chunk)
    attributes = {name: value for name, value in dispatch.attributes.items() if name != CHUNKS}
    kernel = dispatch.kernel.data
    inner = DispatchOp(
        dispatch.engine_name, kernel, block.args[:count], body, (), block.args[count:], attributes=attributes
    )
    block.add_ops([inner, ReturnOp()])
    name = f"{kernel}_{'rest' if number else 'chunk'}"
    types = FunctionType.from_lists(block.arg_types, [])
    new = FuncOp(name, types, Region(block), "private", arg_attrs=function.arg_attrs)
    new.attributes |= {**function.attributes, KERNEL: StringAttr(kernel)}
    return new
