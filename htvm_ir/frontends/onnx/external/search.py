"""Which nodes have to be left to another compiler: those at which the conversion fails, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.external.kernel import Compiler
from htvm_ir.frontends.onnx.external.regions import DOMAIN, producers
from htvm_ir.frontends.onnx.graph import Graph, NodeError

_EDGE = "is computed here for --io float"

_INTEGER = frozenset({"QuantizeLinear", "Conv", "Gemm", "MatMul", "Floor", "Clip", "Max", "Min", "Relu"})
"""Operators at the edges that are no conversion to or from real numbers: they stay in the integer part."""


@dataclass(frozen=True)
class Importer:
    """The importer of a convention.

    convert: a graph without or with regions to its module. cut: nodes by their first result, with reasons, to a graph
    with regions.
    """

    convert: Callable[[Graph], ModuleOp]
    cut: Callable[[Graph, Mapping[str, str]], Graph]


def import_with(compiler: Compiler | None, graph: Graph, importer: Importer, io: str, hint: str) -> ModuleOp:
    """The module of a graph, with regions of nodes that cannot be converted cut out for ``compiler``.

    io: ``float`` = the real numbers of inputs and outputs are computed in the network. hint: what to
    install, for the errors of operators that are not known here.

    Raises:
        HtvmError: no compiler where one is needed, or it cannot compile a region either.
    """
    reasons = dict(_float_edges(graph)) if io == "float" else {}
    if reasons and compiler is None:
        raise HtvmError(f"--io float: htvm_ir leaves float edges to others; {hint or 'choose --fallback tvm'}")
    first: HtvmError | None = None
    while True:
        part = importer.cut(graph, reasons)
        if reasons and all(node.domain == DOMAIN for node in part.nodes):
            raise first or HtvmError("nothing of the network is quantised")
        try:
            return importer.convert(part)
        except NodeError as error:
            if compiler is None:
                raise HtvmError(f"{error}{f'; {hint}' if error.unknown and hint else ''}") from None
            if error.node.output in reasons or error.node.domain == DOMAIN:
                raise
            first = first or error
            reasons[error.node.output] = str(error).split("; ")[0]


def _float_edges(graph: Graph) -> Iterator[tuple[str, str]]:
    """The first nodes behind float inputs and the last ones before float outputs, with a reason."""
    made = producers(graph)
    for item in graph.inputs:
        if item.element == "FLOAT":
            yield from (
                (node.output, f"{node} {_EDGE}")
                for node in graph.readers(item.name)
                if node.op == "QuantizeLinear" or node.op not in _INTEGER
            )
    for name in graph.outputs:
        node = made.get(name)
        if node is not None and node.op not in _INTEGER and (node.op == "DequantizeLinear" or not node.domain):
            yield node.output, f"{node} {_EDGE}"
