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
COLUMNS = 3
"""The axis of a map that is mirrored."""

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
    """Exchanges height and width of every map (``swap``), then reverses the order of its columns (``mirror``)."""

    swap: bool = False
    mirror: bool = False

    @property
    def permutation(self) -> tuple[int, int, int, int]:
        """Where each axis of a turned map was, as a ``graph.transpose`` states it."""
        return (0, 1, 3, 2) if self.swap else (0, 1, 2, 3)

    def array(self, x: Array) -> Array:
        """A map or a kernel, turned: its last two axes."""
        swapped = x.swapaxes(-1, -2) if self.swap else x
        return swapped[..., ::-1] if self.mirror else swapped

    def axes(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """One item for each axis of a map."""
        return tuple(items[axis] for axis in self.permutation)

    def pair(self, items: tuple[Item, Item]) -> tuple[Item, Item]:
        """One item for the rows, one for the columns."""
        return (items[1], items[0]) if self.swap else items

    def keeps(self, shape: Sequence[int]) -> bool:
        """Whether nothing of a tensor moves: no map, or one of a single pixel, or of a single column."""
        if len(shape) != 4:
            return True
        return tuple(shape[2:]) == (1, 1) or (not self.swap and shape[3] == 1)

    def workload(self, workload: Workload) -> Workload:
        """What the turned op computes; it has none if a pad would be less than 0."""
        is_conv = workload.kind == "conv2d" and workload.weights is not None
        top, left, bottom, right = workload.pads
        swapped = replace(
            workload,
            inputs=tuple(map(self._tensor, workload.inputs)),
            output=self._tensor(workload.output),
            weights=self.array(workload.weights) if is_conv and workload.weights is not None else workload.weights,
            strides=self.pair(workload.strides),
            pads=(left, top, right, bottom) if self.swap else workload.pads,
            dilations=self.pair(workload.dilations),
            window=self.pair(workload.window),
        )
        return replace(swapped, pads=_mirrored_pads(swapped)) if self.mirror else swapped

    def _tensor(self, tensor: Tensor) -> Tensor:
        return replace(tensor, shape=self.axes(tensor.shape)) if len(tensor.shape) == 4 else tensor


def _mirrored_pads(workload: Workload) -> tuple[int, int, int, int]:
    """On the left what the last window needs on the right, which may be less than is there."""
    if workload.kind not in ("conv2d", "pool"):
        return workload.pads
    top, left, bottom, _ = workload.pads
    taps = workload.kernel[1] if workload.kind == "conv2d" else workload.window[1]
    end = (workload.output.shape[3] - 1) * workload.strides[1] + (taps - 1) * workload.dilations[1] + 1
    return top, end - left - workload.inputs[0].shape[3], bottom, left


def commutes(op: Operation, turn: Turn) -> bool:
    """Whether an op has a turned form: then :func:`turned` gives it."""
    if not isinstance(op, COMMUTING) or len(graph.shape_of(op.results[0])) != 4:
        return False
    if isinstance(op, graph.Conv2dOp) and constant_array(op.weights) is None:
        return False
    has_pads = turn.mirror and isinstance(op, graph.Conv2dOp | graph.PoolOp)
    return not has_pads or min(turn.workload(workload_of(op, None)).pads) >= 0


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
            axis = turn.permutation.index(op.axis.value.data)
            return [graph.ConcatOp(maps[::-1] if turn.mirror and axis == COLUMNS else maps, axis)]
        case graph.PadOp():
            return [_pad(op, maps[0], turn)]
        case graph.SliceOp():
            return [_slice(op, maps[0], turn)]
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


def _pad(op: graph.PadOp, x: SSAValue, turn: Turn) -> Operation:
    before, after = (list(turn.axes(values(a))) for a in (op.before, op.after))
    if turn.mirror:
        before[COLUMNS], after[COLUMNS] = after[COLUMNS], before[COLUMNS]
    return graph.PadOp(x, before, after, op.value.value.data)


def _slice(op: graph.SliceOp, x: SSAValue, turn: Turn) -> Operation:
    offsets, sizes, strides = (list(turn.axes(values(a))) for a in (op.offsets, op.sizes, op.strides))
    if turn.mirror:
        last = offsets[COLUMNS] + (sizes[COLUMNS] - 1) * strides[COLUMNS]
        offsets[COLUMNS] = graph.shape_of(x)[COLUMNS] - 1 - last
    return graph.SliceOp(x, offsets, sizes, strides)


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
