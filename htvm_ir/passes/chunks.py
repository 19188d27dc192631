"""Kernels of the CPU in chunks: ranges of one axis of their result that need the same range of their input."""

from __future__ import annotations

from math import gcd, lcm, prod

from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, TensorType
from xdsl.ir import Operation, Region, SSAValue
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import ConvertLayoutOp, DispatchOp, YieldOp
from htvm_ir.dialects.attributes import integer, values
from htvm_ir.passes.workloads import layout_of
from htvm_ir.targets.layout import WORD

CHUNKS = "accel.chunks"
"""Attribute of a kernel of the CPU: its ``axis`` and how much of it (``size``) it computes at a time."""

CHANNELS, ROWS = 1, 2
"""Axes of feature maps; the elements of a vector are its channels."""


def set_chunks(dispatch: DispatchOp, axis: int, size: int) -> None:
    """Say that a kernel is to be computed in chunks."""
    dispatch.attributes[CHUNKS] = DictionaryAttr({"axis": integer(axis), "size": integer(size)})


def chunks_of(dispatch: DispatchOp) -> tuple[int, int] | None:
    """Axis and size of a kernel's chunks, None if it is computed at once."""
    chunks = dispatch.attributes.get(CHUNKS)
    if not isinstance(chunks, DictionaryAttr):
        return None
    axis, size = chunks.data["axis"], chunks.data["size"]
    assert isinstance(axis, IntegerAttr) and isinstance(size, IntegerAttr)
    return axis.value.data, size.value.data


def chunk_step(dispatch: DispatchOp, axis: int) -> int | None:
    """What sizes of chunks along an axis have to be multiples of; None if there cannot be any.

    Each op of the kernel has one operand, and an element of its result depends on one place of the axis.
    """
    values_ = [*dispatch.body.block.args, *(r for op in dispatch.body.block.ops for r in op.results)]
    if len(dispatch.inputs) != 1 or len(dispatch.yielded) != 1:
        return None
    if not all(_is_local(op, axis) for op in dispatch.body.block.ops if not isinstance(op, YieldOp)):
        return None
    shapes = [graph.shape_of(value) for value in values_]
    if any(len(shape) <= axis for shape in shapes) or len({shape[axis] for shape in shapes}) != 1:
        return None
    return lcm(*(_step(value, axis) for value in (*dispatch.body.block.args, *dispatch.yielded)))


def _is_local(op: Operation, axis: int) -> bool:
    match op:
        case ConvertLayoutOp():
            return True
        case graph.ReverseOp():
            return axis not in values(op.axes)
        case graph.RequantOp():
            return len(values(op.multiplier)) == len(values(op.shift)) == len(op.addends) == 1
        case graph.PoolOp():
            return axis == CHANNELS
        case graph.ReshapeOp():
            return axis == CHANNELS and graph.shape_of(op.input)[:2] == graph.shape_of(op.result)[:2]
        case _:
            return False


def _step(value: SSAValue, axis: int) -> int:
    """Elements of an axis that are stored together, and behind which the next one begins with a word.

    The CPU copies whole words where it can.
    """
    layout, shape = layout_of(value.type), graph.shape_of(value)
    together = lcm(layout.multiple[axis], layout.xor + 1 if layout.order[-1] == axis else 1)
    inner = prod(layout.stored_shape(shape)[layout.order.index(axis) + 1 :])
    return lcm(together, WORD // gcd(inner, WORD))


def chunk_body(dispatch: DispatchOp, axis: int, size: int) -> Region:
    """The region of a kernel for a chunk of ``size``."""
    region = dispatch.body.clone()
    block = region.block
    for value in [*block.args, *(result for op in block.ops for result in op.results)]:
        type_ = value.type
        assert isinstance(type_, TensorType)
        shape = [size if n == axis else extent for n, extent in enumerate(type_.get_shape())]
        Rewriter.replace_value_with_new_type(value, TensorType(type_.element_type, shape, type_.encoding))
    return region
