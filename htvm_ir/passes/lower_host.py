"""``lower-host``: kernels of the host core become loops, loads, stores and integer arithmetic.

One loop nest writes every element of a kernel's output once, in stored order, computed from the inputs on the spot; no
intermediate tensor is stored, so requantisation is part of the loop that accumulates.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import accel, graph
from htvm_ir.errors import HtvmError
from htvm_ir.passes import in_place
from htvm_ir.passes.host_loops import pointwise, requant, shapes, windows
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer, Constants
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Kernel, Lowering, integer_type
from htvm_ir.passes.workloads import layout_of, module_target

LOWERINGS: dict[type[Operation], Lowering] = {
    graph.Conv2dOp: windows.conv2d,
    graph.DenseOp: windows.dense,
    graph.PoolOp: windows.pool,
    graph.AddOp: pointwise.add,
    graph.SubOp: pointwise.sub,
    graph.MulOp: pointwise.mul,
    graph.LookupOp: pointwise.lookup,
    graph.ReshapeOp: shapes.reshape,
    graph.SpaceToDepthOp: shapes.space_to_depth,
    graph.ConcatOp: shapes.concat,
    graph.SliceOp: shapes.slice_,
    graph.PadOp: shapes.pad,
    graph.TransposeOp: shapes.transpose,
    accel.ConvertLayoutOp: shapes.convert_layout,
    graph.RequantOp: requant.requant,
}
"""What the host can compute."""

AXES = {2: ("n", "k"), 3: ("n", "k", "x"), 4: ("n", "k", "y", "x")}
"""Names of the loops over an output, by rank."""


@dataclass(frozen=True)
class LowerHost(ModulePass):
    """Replaces every ``accel.dispatch @cpu`` on buffers.

    Constants of a region become globals in the target's host memory, named after the function.

    Raises:
        HtvmError: an op without loops; the message names the op and the kernel.
    """

    name = "lower-host"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for dispatch in accel.kernels(op):
            if dispatch.engine_name == accel.CPU and dispatch.outputs:
                _lower(op, dispatch)


def _lower(module: ModuleOp, dispatch: accel.DispatchOp) -> None:
    function = dispatch.parent_op()
    if not isinstance(function, func.FuncOp):
        raise HtvmError(f"kernel {dispatch.kernel} must be in a function of its own; run bufferize first")
    name = function.sym_name.data
    kernel = Kernel(
        name=name,
        emit=Emitter(dispatch),
        buffers={
            argument: _buffer(memref, argument)
            for memref, argument in zip(dispatch.inputs, dispatch.body.block.args, strict=True)
        },
        constants=Constants(module, function, name, module_target(module).host_memory),
        lowerings=LOWERINGS,
    )
    for memref, value in zip(dispatch.outputs, dispatch.yielded, strict=True):
        _write(kernel, _buffer(memref, value), value)
    kernel.emit.remove_unused()
    in_place.allow(function, in_place.pointwise_arguments(dispatch))
    Rewriter.erase_op(dispatch)


def _buffer(memref: SSAValue, tensor: SSAValue) -> Buffer:
    """The memory of a tensor of the region, whose type says how it is stored."""
    type_ = graph.tensor_type(tensor)
    integer_type(type_.element_type)
    return Buffer(memref, type_.get_shape(), layout_of(type_))


def _write(kernel: Kernel, output: Buffer, value: SSAValue) -> None:
    """Loops over the stored extents in stored order: the element where there is one, zero in the padding."""
    rank = len(output.shape)
    names = AXES.get(rank) or tuple(f"i{axis}" for axis in range(rank))
    order, stored_shape = output.layout.order, output.layout.stored_shape(output.shape)
    unroll, border = _unroll(kernel, output, value), _border(value)
    zero_type = integer_type(graph.tensor_type(value).element_type)

    def store(element: SSAValue, stored: Sequence[Value]) -> None:
        memref, at = output.address(kernel.emit, stored)
        kernel.emit.store(element, memref, at)

    def nest(stored: tuple[Value, ...], inside: bool) -> None:
        depth = len(stored)
        if depth == rank and inside:
            index = tuple(stored[order.index(axis)] for axis in range(rank))
            store(kernel.element(value, index), stored)
        elif depth == rank:
            store(kernel.emit.constant(0, zero_type), stored)
        else:
            loops(stored, inside, order[depth])

    def loops(stored: tuple[Value, ...], inside: bool, axis: int) -> None:
        depth = len(stored)
        extent = output.shape[axis] if inside else 0
        copies = unroll if depth == rank - 1 else 1
        cuts = [0, *(border if inside and axis == rank - 1 else ()), extent]
        for low, high in itertools.pairwise(cuts):
            kernel.emit.loop(low, high, names[axis], lambda i: nest((*stored, i), inside), copies)
        kernel.emit.loop(extent, stored_shape[depth], names[axis], lambda i: nest((*stored, i), False), copies)

    nest((), True)


def _producer(value: SSAValue) -> tuple[Operation | SSAValue, list[Operation]]:
    """Where an element comes from through ops that keep its index, and those ops."""
    passed: list[Operation] = []
    while isinstance(value.owner, graph.RequantOp | graph.LookupOp | accel.ConvertLayoutOp):
        passed.append(value.owner)
        value = value.owner.input
    return value.owner if isinstance(value.owner, Operation) else value, passed


def _border(value: SSAValue) -> tuple[int, ...]:
    """Where to cut the loop over columns so that the windows of its middle part touch no padding.

    There the loop over the window's columns has a known length, and the C compiler unrolls it.
    """
    low, high = _interior(value)
    return (low, high) if low < high else ()


def _interior(value: SSAValue) -> tuple[int, int]:
    """The columns of a map whose windows touch no padding, nor do those of the map they lie on, if it is not stored."""
    producer, _ = _producer(value)
    if not isinstance(producer, graph.Conv2dOp | graph.PoolOp):
        return (0, 0)
    window = windows.windows_of(producer)[1]
    below = _interior(producer.input)
    return window.inside(*below) if below[0] < below[1] else window.interior


def _unroll(kernel: Kernel, output: Buffer, value: SSAValue) -> int:
    """How many elements of the innermost axis to write in a row.

    Where bytes are permuted in groups, the addresses in a group are then a base plus constants.
    """
    producer, passed = _producer(value)
    groups = [output.layout.xor + 1, *(b.layout.xor + 1 for b in kernel.buffers.values())]
    return max(groups) if isinstance(producer, SSAValue) and passed else 1
