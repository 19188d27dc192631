"""``bufferize``: one function for each kernel, and buffers instead of tensors.

Every dispatch and nest of ``@main`` becomes a function that reads and writes caller-given buffers; ``@main`` allocates
what lives between kernels, in the host's memory or where ``accel.resident`` says, and takes the network's outputs as
arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FunctionType,
    MemRefType,
    ModuleOp,
    NoneAttr,
    StringAttr,
    TensorType,
    UnitAttr,
    i8,
)
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue, Use
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects.accel import CPU, DispatchOp
from htvm_ir.dialects.attributes import integers, values
from htvm_ir.dialects.graph import NAME, ConcatOp, SliceOp, shape_of
from htvm_ir.dialects.tiled import NestOp
from htvm_ir.errors import HtvmError
from htvm_ir.passes.intervals import RANGE, interval, type_interval
from htvm_ir.passes.views import part_of, span_of
from htvm_ir.passes.workloads import (
    ENGINE,
    FIRST_ROW,
    MIRRORED,
    TURNED,
    TYPES,
    main_function,
    module_target,
    resident_bytes,
    stored_type,
)
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Range

CARRIED = (NAME, TURNED, MIRRORED, FIRST_ROW)
"""Attributes that say which tensor of the model a kernel computes."""

OUTPUT = "accel.output"
"""Unit attribute of the arguments of ``@main`` that the network writes."""


@dataclass(frozen=True)
class Bufferize(ModulePass):
    """Outlines kernels and rewrites tensors to buffers of their stored shape."""

    name = "bufferize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        function = main_function(op)
        block, buffers = _entry(function)
        functions: list[FuncOp] = []
        for inner in function.body.block.ops:
            if isinstance(inner, DispatchOp | NestOp):
                functions.append(_outline(inner, buffers, block, target))
            elif isinstance(inner, SliceOp) and inner.input in buffers and set(values(inner.strides)) == {1}:
                spans = list(zip(values(inner.offsets), values(inner.sizes), strict=True))
                buffers[inner.result] = _view(buffers[inner.input], inner.input, spans, block)
            elif not isinstance(inner, ConstantOp | ReturnOp) and not _is_written(inner):
                raise HtvmError(f"'{inner.name}' is in no kernel; run dispatch first")
        block.add_op(ReturnOp())
        types = FunctionType.from_lists(block.arg_types, [])
        attributes = _argument_attributes(function)
        main = FuncOp("main", types, Region(block), function.sym_visibility, arg_attrs=attributes)
        Rewriter.replace_op(function, [*functions, main], [])


def _entry(function: FuncOp) -> tuple[Block, dict[SSAValue, SSAValue]]:
    """The body of the new ``@main``: its arguments are the old ones and the results; tensor -> buffer."""
    old = function.body.block
    assert isinstance(old.last_op, ReturnOp)
    tensors = [*old.args, *old.last_op.operands]
    block = Block(arg_types=[stored_type(value.type, None) for value in tensors])
    for tensor, buffer in zip(tensors, block.args, strict=True):
        buffer.name_hint = tensor.name_hint if tensor.owner is old else "output"
    return block, dict(zip(tensors, block.args, strict=True))


def _argument_attributes(function: FuncOp) -> ArrayAttr[DictionaryAttr]:
    """The attributes of the inputs, then those of the outputs, which are marked."""
    inputs, outputs = function.function_type.inputs, function.function_type.outputs
    arguments = list(function.arg_attrs or [DictionaryAttr({})] * len(inputs))
    results = list(function.res_attrs or [DictionaryAttr({})] * len(outputs))
    return ArrayAttr([*arguments, *(DictionaryAttr({**r.data, OUTPUT: UnitAttr()}) for r in results)])


def _outline(op: DispatchOp | NestOp, buffers: dict[SSAValue, SSAValue], main: Block, target: Target) -> FuncOp:
    """The function of one kernel; ``main`` gets its call and the buffer it writes."""
    tensors = [v for v in op.inputs if not isinstance(v.owner, ConstantOp)]
    for result in op.results_:
        if (use := _part_of(result)) is not None:
            whole = use.operation.results[0]
            _allocate(whole, stored_type(whole.type, target.host_memory), buffers, main)
            buffers[result] = _view(buffers[whole], whole, _place(use), main)
        _allocate(result, _buffer_type(op, result, target), buffers, main)
    arguments = [buffers[value] for value in (*tensors, *op.results_)]
    main.add_op(CallOp(op.kernel.data, arguments, []))
    block = Block(arg_types=[argument.type for argument in arguments])
    mapping: dict[SSAValue, SSAValue] = dict(zip(tensors, block.args, strict=False))
    for value in op.inputs:
        if isinstance(value.owner, ConstantOp):
            block.add_op(constant := value.owner.clone())
            mapping[value] = constant.result
    inputs = [mapping[value] for value in op.inputs]
    block.add_ops([_on_buffers(op, inputs, block.args[len(tensors) :]), ReturnOp()])
    type_ = FunctionType.from_lists(block.arg_types, [])
    function = FuncOp(op.kernel.data, type_, Region(block), "private")
    ranges = [_range(value) for value in tensors]
    if op.engine_name == CPU and any(range_.data for range_ in ranges):
        function.arg_attrs = ArrayAttr([*ranges, *(DictionaryAttr({}) for _ in op.results_)])
    types = [value.type for value in (*tensors, *op.results_)]
    computed = op.yielded[0].owner
    if isinstance(computed, Operation):
        function.attributes |= {key: a for key, a in computed.attributes.items() if key in CARRIED}
    function.attributes |= {ENGINE: StringAttr(op.engine_name), TYPES: ArrayAttr(types)}
    return function


def _allocate(value: SSAValue, type_: MemRefType[Attribute], buffers: dict[SSAValue, SSAValue], main: Block) -> None:
    """Give a tensor a buffer, if it has none."""
    if value not in buffers:
        main.add_op(alloc := AllocOp([], [], type_))
        buffers[value] = alloc.memref


def _part_of(value: SSAValue) -> Use | None:
    """The use of a tensor that does nothing but become a part of another one."""
    use = next(iter(value.uses), None)
    return use if use is not None and value.has_one_use() and isinstance(use.operation, ConcatOp) else None


def _is_written(op: Operation) -> bool:
    """Whether an op puts together what kernels have written where it belongs."""
    parts = op.inputs if isinstance(op, ConcatOp) else ()
    return bool(parts) and all(_part_of(p) and isinstance(p.owner, DispatchOp | NestOp) for p in parts)


def _place(use: Use) -> list[Range]:
    """Where a part is put, along each axis."""
    assert isinstance(use.operation, ConcatOp)
    axis, parts = use.operation.axis.value.data, use.operation.inputs
    start = sum(shape_of(part)[axis] for part in parts[: use.index])
    return span_of(shape_of(use.operation.result), axis, (start, shape_of(parts[use.index])[axis]))


def _view(buffer: SSAValue, tensor: SSAValue, spans: Sequence[Range], main: Block) -> SSAValue:
    """Some of the buffer of a tensor."""
    assert isinstance(tensor.type, TensorType)
    main.add_op(view := part_of(buffer, tensor.type, spans))
    return view.result


def _buffer_type(op: DispatchOp | NestOp, result: SSAValue, target: Target) -> MemRefType[Attribute]:
    """The buffer of a kernel's result: bytes in its engine's local memory if it stays there, else in the host's."""
    size = None if isinstance(op, DispatchOp) else resident_bytes(op).get(op.activations)
    if size is None:
        return stored_type(result.type, target.host_memory)
    return MemRefType(i8, [size], NoneAttr(), StringAttr(target.engine(op.engine_name).local))


def _range(tensor: SSAValue) -> DictionaryAttr:
    """What a kernel may rely on that its buffer's type does not say: bounds of the elements, where there are some."""
    bounds = interval(tensor)
    return DictionaryAttr({} if bounds == type_interval(tensor) else {RANGE: integers(bounds)})


def _on_buffers(
    op: DispatchOp | NestOp, inputs: Sequence[SSAValue], outputs: Sequence[SSAValue]
) -> DispatchOp | NestOp:
    """The same kernel in destination-passing form."""
    body = op.body.clone()
    if isinstance(op, DispatchOp):
        return DispatchOp(op.engine_name, op.kernel.data, inputs, body, (), outputs, op.reasons, op.plan, op.attributes)
    windows, depths = list(op.windows), values(op.buffers)
    return NestOp(
        op.engine_name,
        op.kernel.data,
        op.grid,
        windows,
        depths,
        inputs,
        body,
        (),
        outputs,
        op.attributes,
        op.mapping_name,
        op.constant_depth,
    )
