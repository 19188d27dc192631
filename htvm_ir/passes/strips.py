"""Strips: kernels of engines one after the other on some rows at a time, and which rows those are.

A strip of the last map needs some rows of the map before it, a few more if a kernel looks at its neighbours, and so on
up to the tensors that come from outside. Rows that two strips need are computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from functools import cached_property

from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp, TensorType
from xdsl.ir import Attribute, SSAValue

from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.graph import shape_of
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.passes.chunks import ROWS
from htvm_ir.passes.mappings import by_layouts
from htvm_ir.passes.workloads import activations, block_layouts, dispatch_workload
from htvm_ir.targets.target import Engine
from htvm_ir.targets.workload import Range, Workload, tile_workload, windows

STRIPS = "accel.strips"
"""Attribute of kernels that are computed strip by strip: the number of their ``segment`` of the network, and ``rows``
of its last map at a time."""

KINDS = ("conv2d", "add", "pool")
"""Kinds of workload whose output rows need some rows of their operands."""

Rows = tuple[Range, ...]
"""First row and number of rows of the operands of one kernel: inputs, then the output."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A kernel of an engine, its workload, and the tensors of its operands: inputs, then the output."""

    dispatch: DispatchOp
    workload: Workload
    operands: tuple[SSAValue, ...]

    @staticmethod
    def of(dispatch: DispatchOp) -> Stage:
        inputs = (dispatch.inputs[argument.index] for argument in activations(dispatch))
        return Stage(dispatch, dispatch_workload(dispatch), (*inputs, *dispatch.results_))

    @property
    def result(self) -> SSAValue:
        """What it computes."""
        return self.operands[-1]

    @property
    def fault(self) -> str | None:
        """Why it has no strips; None if it may have some."""
        kind = self.workload.kind
        if self.dispatch.engine_name == CPU:
            return "runs on the CPU"
        if isinstance(self.dispatch.plan, PlanAttr):
            return "has a plan for its whole map"
        if kind not in KINDS or len(self.workload.output.shape) != 4:
            return f"computes a {kind}, which has no strips"
        return "pads a pool" if kind == "pool" and any(self.workload.pads) else None  # what lies outside must not count

    def reads(self, rows: Range) -> Rows:
        """The rows of each input that some output rows need."""
        axes = windows(self.workload, ("y",))
        spans = [w[ROWS].span({"y": rows}, t.shape[ROWS]) for w, t in zip(axes, self.workload.inputs, strict=False)]
        return tuple((start, size) for start, size, _, _ in spans)


def strip_workload(stage: Stage, rows: Rows, inside: Set[SSAValue]) -> Workload:
    """The workload of a kernel on some rows, with the maps inside its segment in local memory."""
    tensors = (*stage.workload.inputs, stage.workload.output)
    pairs = list(enumerate(zip(stage.operands, rows, tensors, strict=True)))
    resident = frozenset(index for index, (value, _, _) in pairs if value in inside)
    cut = frozenset(index for index, (_, span, tensor) in pairs if span != (0, tensor.shape[ROWS]))
    return replace(tile_workload(stage.workload, {"y": rows[-1]}), strips=cut - resident, resident=resident)


def refusal(stage: Stage, engine: Engine, workload: Workload) -> str | None:
    """Why an engine does not compute a kernel on some rows; None if it does."""
    if block_layouts(stage.dispatch.body.block) not in by_layouts(engine, workload):
        return "rows of its maps lie in memory in another way than its whole maps do"
    return engine.match(workload)


@dataclass(frozen=True)
class Segment:
    """Consecutive kernels, the last of which writes what is read outside, and rows of its result at a time."""

    stages: tuple[Stage, ...]
    rows: int

    @property
    def result(self) -> SSAValue:
        """What the last kernel computes."""
        return self.stages[-1].result

    @cached_property
    def inside(self) -> frozenset[SSAValue]:
        """The tensors between the kernels."""
        return frozenset(stage.result for stage in self.stages[:-1])

    @property
    def fault(self) -> str | None:
        """Why the kernels cannot be computed strip by strip; None if they can."""
        for stage in self.stages:
            if stage.fault is not None:
                return f"kernel '{stage.dispatch.kernel.data}' {stage.fault}"
        members = {stage.dispatch for stage in self.stages}
        if any({use.operation for use in value.uses} - members for value in self.inside):
            return "a map between the kernels is read elsewhere"
        if not 0 < self.rows < shape_of(self.result)[ROWS]:
            return f"{self.rows} rows are no part of {shape_of(self.result)[ROWS]}"
        if any(strip is None for strip in self.strips()):
            return "two kernels need different rows of a map between them, or one sees nothing but padding"
        return None

    def strips(self) -> Iterator[tuple[Rows, ...] | None]:
        """For each strip the rows of every kernel's operands; None where these cannot be told."""
        extent = shape_of(self.result)[ROWS]
        for start in range(0, extent, self.rows):
            yield self._strip((start, min(self.rows, extent - start)))

    def _strip(self, last: Range) -> tuple[Rows, ...] | None:
        wanted, found = {self.result: last}, list[Rows]()
        for stage in reversed(self.stages):
            if stage.result not in wanted:
                return None
            rows = (*stage.reads(wanted[stage.result]), wanted[stage.result])
            for value, span in zip(stage.operands[:-1], rows, strict=False):
                if value in self.inside and wanted.setdefault(value, span) != span:
                    return None
            found.append(rows)
        return tuple(reversed(found)) if all(size for rows in found for _, size in rows) else None


def rows_type(type_: Attribute, rows: int) -> TensorType[Attribute]:
    """The type of some rows of a map."""
    assert isinstance(type_, TensorType)
    shape = [rows if axis == ROWS else extent for axis, extent in enumerate(type_.get_shape())]
    return TensorType(type_.element_type, shape, type_.encoding)


def set_segment(segment: Segment, number: int) -> None:
    """Say that kernels are to be computed strip by strip."""
    for stage in segment.stages:
        stage.dispatch.attributes[STRIPS] = DictionaryAttr({"segment": integer(number), "rows": integer(segment.rows)})


def segments(module: ModuleOp) -> list[Segment]:
    """The segments of a module, as its kernels say."""
    found: dict[int, list[DispatchOp]] = {}
    rows: dict[int, int] = {}
    for kernel in kernels(module):
        strips = kernel.attributes.get(STRIPS)
        if isinstance(strips, DictionaryAttr):
            number = _number(strips, "segment")
            found.setdefault(number, []).append(kernel)
            rows[number] = _number(strips, "rows")
    return [Segment(tuple(map(Stage.of, found[number])), rows[number]) for number in sorted(found)]


def _number(strips: DictionaryAttr, name: str) -> int:
    value = strips.data.get(name)
    return value.value.data if isinstance(value, IntegerAttr) else 0
