"""What kernels of the CPU are predicted to take, whole or in chunks."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from xdsl.dialects.builtin import MemRefType, StridedLayoutAttr
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import DispatchOp
from htvm_ir.passes.chunks import chunks_of
from htvm_ir.passes.workloads import block_workload, layout_of
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Tensor


def host_cycles(dispatch: DispatchOp, target: Target) -> int:
    """Predicted cycles of a kernel, on tensors or on buffers; of all its chunks if it is to be computed in some."""
    chunks = chunks_of(dispatch)
    if chunks is not None and dispatch.results_:
        axis, size = chunks
        extent = graph.shape_of(dispatch.yielded[0])[axis]
        return sum(chunk_cycles(dispatch, axis, min(size, extent - n), target) for n in range(0, extent, size))
    block = dispatch.body.block
    layouts = [layout_of(value.type) for value in (*block.args, *dispatch.yielded)]
    apart = any(_has_gaps(value) for value in (*dispatch.inputs, *dispatch.outputs))
    return target.host.cycles(replace(block_workload(block), apart=apart), layouts)


def chunk_cycles(dispatch: DispatchOp, axis: int, size: int, target: Target) -> int:
    """Predicted cycles of one chunk of a kernel on tensors: ``size`` of an axis of its result."""
    values = [*dispatch.body.block.args, *dispatch.yielded]
    whole = block_workload(dispatch.body.block)
    workload = replace(
        whole,
        inputs=tuple(_part(tensor, axis, size) for tensor in whole.inputs),
        output=_part(whole.output, axis, size),
        apart=any(_is_cut(value, axis, size) for value in values),
    )
    return target.host.cycles(workload, [layout_of(value.type) for value in values])


def _part(tensor: Tensor, axis: int, size: int) -> Tensor:
    """A chunk of a tensor: all of a kernel have the same extent there."""
    return replace(tensor, shape=(*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]))


def _is_cut(value: SSAValue, axis: int, size: int) -> bool:
    """Whether a range of an axis is no contiguous part of a tensor."""
    shape, layout = graph.shape_of(value), layout_of(value.type)
    return size < shape[axis] and prod(layout.stored_shape(shape)[: layout.order.index(axis)]) > 1


def _has_gaps(value: SSAValue) -> bool:
    """Whether a value is a view of a part of a buffer with something else between its rows."""
    return isinstance(value.type, MemRefType) and isinstance(value.type.layout, StridedLayoutAttr)
