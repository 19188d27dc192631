"""What is proven about the elements of a tensor."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, SSAValue
from xdsl.utils.hints import isa

from htvm_ir.dialects import accel, graph
from htvm_ir.dialects.attributes import Integers, values

RANGE = "graph.range"
"""Argument attribute: the least and the greatest integer that the caller promises."""

Interval = tuple[int, int]


def interval(value: SSAValue) -> Interval:
    """Bounds of a tensor's elements: what its producer or the caller promises, else what its type can hold."""
    match value.owner:
        case graph.RequantOp() as op:
            return op.lo.value.data, op.hi.value.data
        case graph.ReshapeOp() | graph.SliceOp() | graph.TransposeOp() | accel.ConvertLayoutOp() as op:
            return interval(op.input)
        case graph.PoolOp() as op if op.kind.data != "sum":
            return interval(op.input)
        case graph.SpaceToDepthOp() as op:
            low, high = interval(op.input)
            return min(low, 0), max(high, 0)
        case graph.ConcatOp() as op:
            lows, highs = zip(*map(interval, op.inputs), strict=True)
            return min(lows), max(highs)
        case accel.DispatchOp() as op if op.results_:
            return interval(op.yielded[op.results_.index(value)])
        case _:
            promised = _promised(value) if isinstance(value, BlockArgument) else None
            return promised or type_interval(value)


def type_interval(value: SSAValue) -> Interval:
    """What the element type of a tensor can hold; signless integers are signed."""
    return graph.element_limits(graph.tensor_type(value).element_type)


def _promised(value: BlockArgument) -> Interval | None:
    """The range of an argument: of a kernel's region that of the tensor outside, of the network what it states."""
    owner = value.block.parent_op()
    if isinstance(owner, accel.DispatchOp) and owner.results_:
        return interval(owner.inputs[value.index])
    if not isinstance(owner, FuncOp) or not isinstance(owner.arg_attrs, ArrayAttr):
        return None
    stated = owner.arg_attrs.data[value.index].data.get(RANGE)
    if not isa(stated, Integers):
        return None
    low, high = values(stated)
    return low, high
