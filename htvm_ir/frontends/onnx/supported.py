"""Everything the front ends convert, convention by convention: what ``htvm ops`` and the documentation print."""

from __future__ import annotations

from htvm_ir.frontends.onnx import typed
from htvm_ir.frontends.onnx.integer import EXPORTED
from htvm_ir.frontends.onnx.integer import OPERATORS as INTEGER
from htvm_ir.frontends.onnx.operators import Convention
from htvm_ir.frontends.onnx.qdq import OPERATORS as QDQ
from htvm_ir.frontends.onnx.qoperator import MICROSOFT
from htvm_ir.frontends.onnx.qoperator import OPERATORS as QOPERATOR

CONVENTIONS = (
    Convention("QDQ", "on real numbers between DequantizeLinear and QuantizeLinear", "", QDQ),
    Convention("QOperator", "on quantised tensors, with scales and zero points as operands", "", QOPERATOR),
    Convention("QOperator", "on quantised tensors, onnxruntime's own", "com.microsoft", MICROSOFT),
    Convention("integer tensors", "on int8 and uint8 as such, in a network of any quantised kind", "", typed.OPERATORS),
    Convention(
        "integer nets", "on float32 tensors that hold integers (DIANA's training flow, NEMO, QuantLab)", "", INTEGER
    ),
    Convention("integer nets", "as Deeploy writes them", "any", EXPORTED),
)
"""The conventions, as one network may mix them: all but those of integer nets, or those alone."""


def oldest_opset(name: str, domain: str, since: int) -> int:
    """The least opset in which an operator that is taken from opset ``since`` on exists, as ``onnx`` lists them."""
    from onnx.defs import get_all_schemas_with_history

    known = [s.since_version for s in get_all_schemas_with_history() if (s.name, s.domain) == (name, domain)]
    return max(since, min(known, default=since))
