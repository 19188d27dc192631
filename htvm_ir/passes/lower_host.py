"""``lower-host``: kernels of the host core become loops, loads, stores and integer arithmetic.

One loop nest writes every element of a kernel's output once, in stored order, computed from the inputs on the spot; no
intermediate tensor is stored, so requantisation is part of the loop that accumulates.
"""

from __future__ import annotations

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
from htvm_ir.passes.host_loops import pointwise, pools, requant, shapes, windows
from htvm_ir.passes.host_loops.blocks import BlockLoops
from htvm_ir.passes.host_loops.buffers import Buffer, Constants
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Kernel, Lowering, integer_type
from htvm_ir.passes.host_loops.output import OutputLoops
from htvm_ir.passes.host_loops.reshapes import before_reshapes
from htvm_ir.passes.host_loops.word_moves import move_words
from htvm_ir.passes.lower_external import Calls, external_of, lower_external
from htvm_ir.passes.symbols import Symbols
from htvm_ir.passes.workloads import layout_of, module_target
from htvm_ir.targets.layout import WORD
from htvm_ir.targets.target import Target

LOWERINGS: dict[type[Operation], Lowering] = {
    graph.Conv2dOp: windows.conv2d,
    graph.DenseOp: windows.dense,
    graph.PoolOp: pools.pool,
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
    graph.ReverseOp: shapes.reverse,
    accel.ConvertLayoutOp: shapes.convert_layout,
    graph.RequantOp: requant.requant,
}
"""What the host can compute."""


@dataclass(frozen=True)
class LowerHost(ModulePass):
    """Replaces every ``accel.dispatch @cpu`` on buffers.

    Constants of a region become globals in the target's host memory, named after the function.

    Raises:
        HtvmError: an op without loops; the message names the op and the kernel.
    """

    name = "lower-host"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        symbols, calls = Symbols(op), Calls(op)
        for dispatch in accel.kernels(op):
            if dispatch.engine_name != accel.CPU or not dispatch.outputs:
                continue
            if (external := external_of(dispatch)) is not None:
                lower_external(dispatch, external, symbols, calls, module_target(op).host_memory)
            else:
                _lower(dispatch, symbols, module_target(op))


def _lower(dispatch: accel.DispatchOp, symbols: Symbols, target: Target) -> None:
    function = dispatch.parent_op()
    if not isinstance(function, func.FuncOp):
        raise HtvmError(f"kernel {dispatch.kernel} must be in a function of its own; run bufferize first")
    kernel = Kernel(
        name=function.sym_name.data,
        emit=Emitter(dispatch),
        buffers={
            argument: _buffer(memref, argument)
            for memref, argument in zip(dispatch.inputs, dispatch.body.block.args, strict=True)
        },
        constants=Constants(symbols, function, target.host_memory),
        lowerings=LOWERINGS,
    )
    has_words = target.memory(target.host_memory).alignment % WORD == 0
    for memref, value in zip(dispatch.outputs, dispatch.yielded, strict=True):
        output = _buffer(memref, value)
        if not (has_words and move_words(kernel, output, value)):
            written = before_reshapes(output, value)
            (BlockLoops.of(kernel, *written) or OutputLoops.of(kernel, *written)).write()
    kernel.emit.remove_unused()
    in_place.allow(function, in_place.pointwise_arguments(dispatch))
    Rewriter.erase_op(dispatch)


def _buffer(memref: SSAValue, tensor: SSAValue) -> Buffer:
    """The memory of a tensor of the region, whose type says how it is stored."""
    type_ = graph.tensor_type(tensor)
    integer_type(type_.element_type)
    return Buffer(memref, type_.get_shape(), layout_of(type_))
