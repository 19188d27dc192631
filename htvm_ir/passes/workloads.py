"""Between the IR and the plain workloads of the engine contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IntegerAttr,
    IntegerType,
    MemRefType,
    ModuleOp,
    NoneAttr,
    StringAttr,
    TensorType,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue

from htvm_ir.dialects import accel, external, graph, tiled
from htvm_ir.dialects.attributes import values
from htvm_ir.errors import HtvmError
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.intervals import interval
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.registry import target_with_engines
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Requant, Tensor, Window, Workload

ELEMENTWISE = (graph.AddOp, graph.SubOp, graph.MulOp)
"""Ops on two tensors of one shape."""

ANCHORS = (
    graph.Conv2dOp,
    graph.DenseOp,
    *ELEMENTWISE,
    graph.PoolOp,
    graph.SpaceToDepthOp,
    graph.LookupOp,
    graph.ConcatOp,
    graph.SliceOp,
    graph.PadOp,
    graph.TransposeOp,
    graph.ReverseOp,
)
"""Ops that start a kernel; a requantisation follows into it."""

TYPES = "accel.types"
"""Attribute of a kernel function: the logical tensor types, with layouts, of its buffers."""

RESIDENT = "accel.resident"
"""Attribute of an engine's kernel: operand of its workload (inputs, then the output) -> bytes of the buffer in the
engine's local memory in which it stays from one kernel to the next."""

ROOM = "accel.room"
"""Attribute of an engine's kernel: bytes of the local memory it may use, where other tensors take the rest."""

ENGINE = "accel.engine"
"""Attribute of a kernel function: the engine it runs on."""

KERNEL = "accel.kernel"
"""Attribute of a function that does a part of a kernel: the kernel's name."""

TURNED = "graph.turned"
"""Discardable attribute: the tensor of ``graph.name`` is stored with its axes in this order."""

MIRRORED = "graph.mirrored"
"""Discardable attribute: after that, in reverse order along the last axis."""


FIRST_ROW = "graph.first_row"
"""Discardable attribute: what is stored are rows of the tensor of ``graph.name``, from this one on."""


LAYOUTS = "accel.layouts"
"""Attribute of a dispatch whose engine reads or writes other layouts than its usual ones: inputs, then output."""


def module_target(module: ModuleOp) -> Target:
    """The target the module was set to.

    Raises:
        HtvmError: no ``set-target`` pass ran before.
    """
    attribute = module.attributes.get(accel.TARGET)
    if not isinstance(attribute, accel.TargetAttr):
        raise HtvmError("the module has no target; run set-target first, e.g. -p 'set-target{target=diana},...'")
    return target_with_engines(attribute.target.data, attribute.engine_names)


def blocks_of(module: ModuleOp) -> list[Block]:
    """The bodies of functions."""
    return [block for function in module.ops if isinstance(function, FuncOp) for block in function.body.blocks]


def main_function(module: ModuleOp) -> FuncOp:
    """The network's entry, ``@main``.

    Raises:
        HtvmError: there is none.
    """
    for op in module.ops:
        if isinstance(op, FuncOp) and op.sym_name.data == "main":
            return op
    raise HtvmError("the module has no function @main")


def tensor_of(type_: Attribute) -> Tensor:
    """Shape and element type in plain data."""
    assert isinstance(type_, TensorType | MemRefType)
    return Tensor(tuple(type_.get_shape()), _name(type_.element_type))


@cache
def _name(element: Attribute) -> str:
    """An element type as it is printed."""
    return str(element)


def layout_attr(layout: Layout) -> accel.LayoutAttr | None:
    """The IR form of a layout; None for row-major."""
    if layout.is_row_major:
        return None
    return accel.LayoutAttr(layout.order, layout.multiple, layout.xor)


def layout_of(type_: Attribute) -> Layout:
    """The layout of a tensor type, row-major if it has none."""
    assert isinstance(type_, TensorType)
    attribute = accel.layout_of(type_)
    if attribute is None:
        return Layout.row_major(len(type_.get_shape()))
    return Layout(attribute.axes, attribute.multiples, attribute.xor.data)


def layouts_attr(layouts: Sequence[Layout]) -> ArrayAttr[Attribute]:
    """The IR form of several layouts."""
    return ArrayAttr([layout_attr(layout) or NoneAttr() for layout in layouts])


def stored_type(type_: Attribute, memory: str | None) -> MemRefType[Attribute]:
    """The buffer that holds a tensor: its stored shape, in a memory (None = the caller's)."""
    assert isinstance(type_, TensorType)
    shape = layout_of(type_).stored_shape(type_.get_shape())
    space = NoneAttr() if memory is None else StringAttr(memory)
    return MemRefType(type_.element_type, shape, NoneAttr(), space)


def requant_of(op: graph.RequantOp) -> Requant:
    """The requantisation in plain data."""
    return Requant(
        op.rounding.data,
        values(op.multiplier),
        values(op.shift),
        op.zero_point.value.data,
        op.lo.value.data,
        op.hi.value.data,
        op.addends,
    )


def following_requant(op: Operation) -> graph.RequantOp | None:
    """The requantisation that is the only use of an op's result and runs with it."""
    use = op.results[0].get_user_of_unique_use()
    return use if isinstance(use, graph.RequantOp) and not widens_for_user(use) else None


def widens_for_user(op: Operation) -> bool:
    """Whether an op is of those that make 8 bits 32 for one sum or product: they rather run with that."""
    use = op.results[0].get_user_of_unique_use() if op.results else None
    return _widens(op) and use is not None and (isinstance(use, ELEMENTWISE) or widens_for_user(use))


def _widens(op: object) -> bool:
    """Whether a requantisation has a wider result than operand, or follows one that has for it alone."""
    if not isinstance(op, graph.RequantOp):
        return False
    before, after = (graph.tensor_type(value).element_type for value in (op.input, op.result))
    assert isinstance(before, IntegerType) and isinstance(after, IntegerType)
    if before.width.data < after.width.data:
        return True
    return before.width.data == after.width.data == 32 and op.input.has_one_use() and _widens(op.input.owner)


def workload_of(anchor: Operation, requant: graph.RequantOp | None) -> Workload:
    """The workload of one anchoring op and the requantisation that follows it."""
    result = (requant or anchor).results[0]
    scaling = anchor if isinstance(anchor, graph.RequantOp) else requant
    inputs = computed_inputs(anchor)
    return Workload(
        kind=anchor.name.removeprefix("graph.").removeprefix("accel."),
        inputs=tuple(tensor_of(value.type) for value in inputs),
        output=tensor_of(result.type),
        ranges=tuple(interval(value) for value in inputs),
        requant=None if scaling is None else requant_of(scaling),
        **_parameters(anchor),
    )


def _parameters(anchor: Operation) -> dict[str, Any]:
    """The fields of a workload that only some kinds of op have."""
    match anchor:
        case graph.Conv2dOp():
            return _constants(anchor) | {
                "strides": values(anchor.strides),
                "pads": values(anchor.pads),
                "dilations": values(anchor.dilations),
                "groups": anchor.groups.value.data,
                "zero_point": graph.number(anchor.zero_point),
            }
        case graph.DenseOp():
            return _constants(anchor) | {"zero_point": graph.number(anchor.zero_point)}
        case external.ExternalOp():
            return {"work": anchor.work.value.data}
        case graph.ReverseOp():
            return {"reversed_axes": values(anchor.axes)}
        case graph.PoolOp():
            return {
                "window": values(anchor.kernel),
                "mode": anchor.kind.data,
                "mean_rounding": anchor.rounding.data,
                "strides": values(anchor.strides),
                "pads": values(anchor.pads),
            }
        case _:
            return {}


def _constants(anchor: graph.Conv2dOp | graph.DenseOp) -> dict[str, Any]:
    """Weights and bias of a workload."""
    bias = None if anchor.bias is None else constant_array(anchor.bias)
    computed = anchor.bias is not None and bias is None
    return {"weights": constant_array(anchor.weights), "bias": bias, "bias_is_computed": computed}


def computed_inputs(anchor: Operation) -> tuple[SSAValue, ...]:
    """The activations an op reads; weights, biases and constant operands are none."""
    if isinstance(anchor, graph.Conv2dOp | graph.DenseOp):
        return (anchor.input,)
    return tuple(value for value in anchor.operands if not isinstance(value.owner, ConstantOp))


def block_workload(block: Block) -> Workload:
    """The workload of a kernel's region: its anchor and the requantisation after it."""
    first = _anchor(block)
    return workload_of(first, following_requant(first) if isinstance(first, ANCHORS) else None)


def block_layouts(block: Block) -> tuple[Layout, ...]:
    """The layouts of the activations of a kernel's region, and of what it yields."""
    assert block.last_op is not None
    return tuple(layout_of(value.type) for value in (*computed_inputs(_anchor(block)), *block.last_op.operands))


def _anchor(block: Block) -> Operation:
    return next(op for op in block.ops if not isinstance(op, ConstantOp) and not widens_for_user(op))


def resident_bytes(kernel: Operation) -> dict[int, int]:
    """The operands of a kernel's workload that stay in local memory, and the bytes of their buffers there."""
    stays = kernel.attributes.get(RESIDENT)
    if not isinstance(stays, DictionaryAttr):
        return {}
    return {int(k): v.value.data for k, v in stays.data.items() if isinstance(v, IntegerAttr)}


def activations(dispatch: accel.DispatchOp) -> list[BlockArgument]:
    """The anchor's operands that are computed, in its order; one that it reads twice is there twice."""
    operands = [v for op in dispatch.body.block.ops for v in op.operands]
    return [v for v in operands if isinstance(v, BlockArgument)]


def dispatch_workload(dispatch: accel.DispatchOp) -> Workload:
    """The workload of an engine's kernel on whole tensors, with its plan's mapping and what stays in local memory."""
    mapping = dispatch.plan.mapping.data if isinstance(dispatch.plan, tiled.PlanAttr) else ""
    resident = frozenset(resident_bytes(dispatch))
    return replace(block_workload(dispatch.body.block), mapping=mapping, resident=resident, strips=_strips(dispatch))


def _strips(dispatch: accel.DispatchOp) -> frozenset[int]:
    """The operands that are rows of a larger tensor: slices of one, and what is put together to one."""
    inputs = (dispatch.inputs[argument.index] for argument in activations(dispatch))
    found = {index for index, value in enumerate(inputs) if isinstance(value.owner, graph.SliceOp)}
    if any(isinstance(use.operation, graph.ConcatOp) for value in dispatch.results_ for use in value.uses):
        found.add(len(activations(dispatch)))
    return frozenset(found)


def kernel_target(dispatch: accel.DispatchOp, target: Target) -> Target:
    """The target as a kernel sees it: with the local memory that other tensors leave it."""
    room = dispatch.attributes.get(ROOM)
    if not isinstance(room, IntegerAttr):
        return target
    return with_room(target, target.engine(dispatch.engine_name).local, room.value.data)


def with_room(target: Target, memory: str, size: int) -> Target:
    """The target with another size of one memory."""
    return replace(target, memories=tuple(replace(m, size=size) if m.name == memory else m for m in target.memories))


def window_of(attribute: tiled.WindowAttr) -> tuple[Window, ...]:
    """The windows of one operand in plain data."""
    return tuple(Window(name, stride, offset, extent) for name, stride, offset, extent in attribute.axes)


def window_attr(windows: Sequence[Window]) -> tiled.WindowAttr:
    """The IR form of one operand's windows."""
    return tiled.WindowAttr([(w.dimension, w.stride, w.offset, w.extent) for w in windows])


def kernel_name(function: FuncOp) -> str:
    """The kernel that a function is, or is a part of."""
    part_of = function.attributes.get(KERNEL)
    return part_of.data if isinstance(part_of, StringAttr) else function.sym_name.data


def kernel_types(function: FuncOp) -> list[TensorType[Attribute]]:
    """The logical types of a kernel function's buffers, inputs then output.

    Raises:
        HtvmError: the function does not say.
    """
    types = function.attributes.get(TYPES)
    if not isinstance(types, ArrayAttr):
        raise HtvmError(f"@{function.sym_name.data} has no {TYPES}; run bufferize first")
    return [t for t in types if isinstance(t, TensorType)]
