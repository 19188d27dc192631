"""``cut-strips``: a kernel for each strip of the maps that ``accel.strips`` names. Decides nothing.

What comes from outside is read through slices, and what goes outside is put together again; both become views of
buffers, which nobody copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import DispatchOp, YieldOp
from htvm_ir.dialects.attributes import integer, integers
from htvm_ir.errors import HtvmError
from htvm_ir.passes.chunks import ROWS
from htvm_ir.passes.strips import STRIPS, Rows, Segment, Stage, refusal, rows_type, segments, strip_workload
from htvm_ir.passes.workloads import FIRST_ROW, activations, module_target
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Range


@dataclass(frozen=True)
class CutStrips(ModulePass):
    """Obeys ``accel.strips``."""

    name = "cut-strips"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        while found := segments(op):  # anew each time: what one segment reads another one may have computed
            segment = found[0]
            if segment.fault is not None:
                raise HtvmError(f"{STRIPS} of '{segment.stages[-1].dispatch.kernel.data}': {segment.fault}")
            _Cutting(segment, module_target(op)).run()


class _Cutting:
    """One segment; everything new stands before its last kernel."""

    def __init__(self, segment: Segment, target: Target):
        self.segment, self.target = segment, target
        self.end = segment.stages[-1].dispatch

    def run(self) -> None:
        parts = [self._strip(number, rows) for number, rows in enumerate(self.segment.strips()) if rows is not None]
        joined = graph.ConcatOp(parts, ROWS)
        Rewriter.replace_value_with_new_type(joined.result, self.segment.result.type)
        joined.result.name_hint = self.segment.result.name_hint
        Rewriter.replace_op(self.end, joined)
        for stage in reversed(self.segment.stages[:-1]):
            Rewriter.erase_op(stage.dispatch)

    def _strip(self, number: int, rows: Sequence[Rows]) -> SSAValue:
        """All kernels on the rows of one strip; what the last one computes."""
        made: dict[SSAValue, SSAValue] = {}
        slices: dict[tuple[SSAValue, Range], SSAValue] = {}
        for stage, spans in zip(self.segment.stages, rows, strict=True):
            workload = strip_workload(stage, spans, self.segment.inside)
            kernel, engine = stage.dispatch.kernel.data, self.target.engine(stage.dispatch.engine_name)
            if (reason := refusal(stage, engine, workload)) is not None:
                raise HtvmError(f"{STRIPS} of '{self.end.kernel.data}': kernel '{kernel}': {reason}")
            inputs: dict[SSAValue, SSAValue] = {}
            for value, span in zip(stage.operands[:-1], spans, strict=False):
                if value not in made and (value, span) not in slices:
                    slices[value, span] = self._rows_of(value, span)
                inputs[value] = made[value] if value in made else slices[value, span]
            made[stage.result] = self._kernel(stage, inputs, spans, number, workload.pads)
        return made[self.segment.result]

    def _rows_of(self, value: SSAValue, span: Range) -> SSAValue:
        """Some rows of a tensor from outside."""
        shape = graph.shape_of(value)
        if span == (0, shape[ROWS]):
            return value
        offsets = [span[0] if axis == ROWS else 0 for axis in range(len(shape))]
        sizes = [span[1] if axis == ROWS else extent for axis, extent in enumerate(shape)]
        rows = graph.SliceOp(value, offsets, sizes, [1] * len(shape))
        Rewriter.replace_value_with_new_type(rows.result, rows_type(value.type, span[1]))
        self._insert(rows)
        return rows.result

    def _kernel(
        self, stage: Stage, inputs: dict[SSAValue, SSAValue], spans: Rows, number: int, pads: Sequence[int]
    ) -> SSAValue:
        """One kernel on some rows; what it computes."""
        old = stage.dispatch
        attributes = {name: value for name, value in old.attributes.items() if name != STRIPS}
        new = DispatchOp(
            old.engine_name,
            f"{old.kernel.data}_strip{number}",
            [inputs[value] for value in old.inputs],
            old.body.clone(),
            [rows_type(stage.result.type, spans[-1][1])],
            refused=old.reasons,
            plan=old.plan,
            attributes=attributes,
        )
        _cut_body(new, spans, pads)
        new.results_[0].name_hint = stage.result.name_hint
        self._insert(new)
        return new.results_[0]

    def _insert(self, op: Operation) -> None:
        Rewriter.insert_op(op, InsertPoint.before(self.end))


def _cut_body(dispatch: DispatchOp, spans: Rows, pads: Sequence[int]) -> None:
    """Leave some rows to the ops of a kernel, and to a convolution the padding that is left."""
    for argument, (_, rows) in dict(zip(activations(dispatch), spans, strict=False)).items():  # one may be read twice
        Rewriter.replace_value_with_new_type(argument, rows_type(argument.type, rows))
    for op in dispatch.body.block.ops:
        if isinstance(op, ConstantOp | YieldOp):
            continue
        Rewriter.replace_value_with_new_type(op.results[0], rows_type(op.results[0].type, spans[-1][1]))
        op.attributes[FIRST_ROW] = integer(spans[-1][0])
        if isinstance(op, graph.Conv2dOp):
            op.pads = integers(pads)
