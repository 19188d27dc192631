"""Operators on turned feature maps: what computes the turned result from turned operands, where there is such an op."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from numpy.typing import NDArray
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.workloads import ELEMENTWISE, workload_of
from htvm_ir.targets.workload import Tensor, Workload

Array = NDArray[Any]
Item = TypeVar("Item")

COMMUTING = (
    graph.Conv2dOp,
    graph.PoolOp,
    graph.RequantOp,
    graph.LookupOp,
    *ELEMENTWISE,
    graph.ConcatOp,
    graph.PadOp,
    graph.SliceOp,
)
"""Ops that have a turned form."""


@dataclass(frozen=True)
class Turn:
    """Exchanges height and width of every map; its own inverse."""

    @property
    def permutation(self) -> tuple[int, int, int, int]:
        """The axes of a turned map, as a ``graph.transpose`` states them."""
        return 0, 1, 3, 2

    def array(self, x: Array) -> Array:
        """A map or a kernel, turned: its last two axes."""
        return x.swapaxes(-1, -2)

    def axes(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """One item for each axis of a map."""
        return tuple(items[axis] for axis in self.permutation)

    def pair(self, items: tuple[Item, Item]) -> tuple[Item, Item]:
        """One item for the rows, one for the columns."""
        return items[1], items[0]

    def pads(self, pads: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Top, left, bottom, right."""
        top, left, bottom, right = pads
        return left, top, right, bottom

    def keeps(self, shape: Sequence[int]) -> bool:
        """Whether nothing of a tensor moves: it is a map of one pixel, or none."""
        return len(shape) != 4 or tuple(shape[2:]) == (1, 1)

    def workload(self, workload: Workload) -> Workload:
        """What the turned op computes."""

        def tensor(t: Tensor) -> Tensor:
            return replace(t, shape=self.axes(t.shape)) if len(t.shape) == 4 else t

        is_conv = workload.kind == "conv2d" and workload.weights is not None
        return replace(
            workload,
            inputs=tuple(map(tensor, workload.inputs)),
            output=tensor(workload.output),
            weights=self.array(workload.weights) if is_conv and workload.weights is not None else workload.weights,
            strides=self.pair(workload.strides),
            pads=self.pads(workload.pads),
            dilations=self.pair(workload.dilations),
            window=self.pair(workload.window),
        )


def commutes(op: Operation) -> bool:
    """Whether an op has a turned form: then :func:`turned` gives it."""
    if not isinstance(op, COMMUTING) or len(graph.shape_of(op.results[0])) != 4:
        return False
    return not isinstance(op, graph.Conv2dOp) or constant_array(op.weights) is not None


def maps_of(op: Operation) -> Sequence[SSAValue]:
    """The operands of a commuting op that its turned form takes turned."""
    return op.operands[:1] if isinstance(op, graph.Conv2dOp | graph.LookupOp) else op.operands


def turned(op: Operation, maps: Sequence[SSAValue], turn: Turn) -> list[Operation]:
    """The ops that compute the turned result of ``op`` from its turned ``maps``; the last has the result."""
    match op:
        case graph.Conv2dOp():
            return _conv(op, maps[0], turn)
        case graph.PoolOp():
            w = turn.workload(workload_of(op, None))
            return [graph.PoolOp(op.kind.data, maps[0], w.window, w.strides, w.pads, op.rounding.data)]
        case graph.ConcatOp():
            return [graph.ConcatOp(maps, turn.permutation.index(op.axis.value.data))]
        case graph.PadOp():
            before, after = turn.axes(values(op.before)), turn.axes(values(op.after))
            return [graph.PadOp(maps[0], before, after, op.value.value.data)]
        case graph.SliceOp():
            offsets, sizes, strides = (turn.axes(values(a)) for a in (op.offsets, op.sizes, op.strides))
            return [graph.SliceOp(maps[0], offsets, sizes, strides)]
        case graph.LookupOp():
            return [graph.LookupOp(maps[0], op.table)]
        case _:
            return [_elementwise(op, maps)]


def _conv(op: graph.Conv2dOp, x: SSAValue, turn: Turn) -> list[Operation]:
    workload = turn.workload(workload_of(op, None))
    assert workload.weights is not None
    weights = constant(workload.weights)
    spatial = (workload.strides, workload.pads, workload.dilations, workload.groups, workload.zero_point)
    return [weights, graph.Conv2dOp(x, weights.result, op.bias, *spatial)]


def _elementwise(op: Operation, maps: Sequence[SSAValue]) -> Operation:
    match op:
        case graph.RequantOp():
            requant = type(op)(maps[0], graph.tensor_type(op.result).element_type)
            requant.properties = dict(op.properties)
            return requant
        case graph.AddOp() | graph.SubOp():
            return type(op)(maps[0], maps[1])
        case graph.MulOp():
            return graph.MulOp(maps[0], maps[1], values(op.zero_points))
        case _:
            raise ValueError(f"{op.name} has no turned form")
