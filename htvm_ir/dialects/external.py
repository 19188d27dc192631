"""``accel.external``: a kernel of the host that is given as C, because no op of ``graph`` has its meaning."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntegerAttr, MemRefType, StringAttr, TensorType
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.attributes import integer


@irdl_op_definition
class ExternalOp(IRDLOperation):
    """Calls the C function ``symbol`` of ``source``: ``void symbol(inputs..., output, uint8_t *workspace)``.

    On tensors it has one result; after ``lower-host`` it writes the first of ``outs``, and the second one, if
    ``workspace`` is not 0, is so many bytes that hold nothing before and after. All tensors are row-major. ``source``
    needs no headers but ``stdint.h`` and calls no function it does not define; what it computes on the host of the
    compiler, to the last bit, is the op's meaning. ``work`` counts arithmetic operations, for predictions; ``reason``
    says in words why this is no op of ``graph``.
    """

    name = "accel.external"
    inputs = var_operand_def()
    outputs = var_operand_def(MemRefType)
    symbol = prop_def(StringAttr)
    source = prop_def(StringAttr)
    workspace = prop_def(IntegerAttr)
    work = prop_def(IntegerAttr)
    reason = prop_def(StringAttr)
    results_ = var_result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = (
        "$symbol `ins` `(` ($inputs^ `:` type($inputs))? `)`"
        " (`outs` `(` $outputs^ `:` type($outputs) `)`)?"
        " `workspace` $workspace `work` $work `reason` $reason `source` $source attr-dict"
        " (`->` type($results_)^)?"
    )

    def __init__(
        self,
        symbol: str,
        source: str,
        inputs: Sequence[SSAValue],
        results: Sequence[Attribute] = (),
        outputs: Sequence[SSAValue] = (),
        workspace: int = 0,
        work: int = 0,
        reason: str = "",
    ):
        super().__init__(
            operands=[inputs, outputs],
            properties={
                "symbol": StringAttr(symbol),
                "source": StringAttr(source),
                "workspace": integer(workspace),
                "work": integer(work),
                "reason": StringAttr(reason),
            },
            result_types=[results],
        )

    def on_buffers(self, inputs: Sequence[SSAValue], outputs: Sequence[SSAValue]) -> ExternalOp:
        """The same call on buffers."""
        return ExternalOp(
            self.symbol.data,
            self.source.data,
            inputs,
            outputs=outputs,
            workspace=self.workspace.value.data,
            work=self.work.value.data,
            reason=self.reason.data,
        )

    def verify_(self) -> None:
        buffers = 0 if self.results_ else 1 + bool(self.workspace.value.data)
        if len(self.results_) > 1 or len(self.outputs) != buffers:
            raise VerifyException("an external kernel has one result, or writes one buffer and its workspace")
        kind = TensorType if self.results_ else MemRefType
        if not all(isinstance(value.type, kind) for value in self.inputs):
            raise VerifyException(
                "the inputs of an external kernel that writes a buffer must be buffers, and tensors else"
            )
