"""ONNX front end: a model file to a module of ``graph`` operations.

``reader`` checks the file and makes a light view of it; one package per quantisation convention turns the view into
operations: ``integer`` for integer nets in float clothing, ``quantised`` for QDQ and QOperator networks. What the graph
contains decides which.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.external.kernel import Compiler
from htvm_ir.frontends.onnx.external.search import Importer, import_with
from htvm_ir.frontends.onnx.graph import Graph
from htvm_ir.frontends.onnx.marks import may_be_quantised
from htvm_ir.frontends.onnx.reader import read_graph

if TYPE_CHECKING:
    import onnx

__all__ = ["Edges", "Rounding", "import_model"]

Rounding = Literal["onnx", "tflite"]
Edges = Literal["integer", "float"]


def import_model(
    source: Path | onnx.ModelProto,
    *,
    name: str | None = None,
    input_ranges: Mapping[str, tuple[int, int]] | None = None,
    rounding: Rounding = "onnx",
    compiler: Compiler | None = None,
    io: Edges = "integer",
    hint: str = "",
) -> ModuleOp:
    """A network as ``func.func @main`` on integer tensors, batch 1.

    ``name`` replaces the stem of the file. ``input_ranges`` gives the least and the greatest integer of
    inputs that the network does not quantise itself; they are int8 otherwise. ``rounding`` says whose results
    a QDQ or QOperator network is to have, onnxruntime's or those of TFLite's reference kernels; an integer net has only
    one meaning. ``compiler`` makes kernels of what is not implemented, with ``io=float`` of the float edges as well,
    which the caller computes otherwise; ``hint`` says in errors how to get one. Raises HtvmError, with the file and the
    node, for anything that is not quantised or not supported.
    """
    try:
        graph = read_graph(source, name)
        return import_with(compiler, graph, _importer(graph, rounding, input_ranges or {}, compiler), io, hint)
    except HtvmError as error:
        where = str(source) if isinstance(source, Path) else "the model"
        raise HtvmError(_one_line(f"{where}: {error}")) from None


def _importer(
    graph: Graph, rounding: Rounding, input_ranges: Mapping[str, tuple[int, int]], compiler: Compiler | None
) -> Importer:
    """The importer of a network's convention; the other one is not even loaded, if that is plain to see."""
    if may_be_quantised(graph):
        from htvm_ir.frontends.onnx.quantised.cutting import cut_quantised
        from htvm_ir.frontends.onnx.quantised.network import import_quantised, is_quantised

        if is_quantised(graph):
            return Importer(lambda part: import_quantised(part, rounding, input_ranges, compiler), cut_quantised)
    from htvm_ir.frontends.onnx.integer import import_integer
    from htvm_ir.frontends.onnx.integer.cutting import cut_integer

    return Importer(lambda part: import_integer(part, input_ranges, compiler), cut_integer)


def _one_line(message: str) -> str:
    """``message`` without the control characters that names in a damaged file may hold."""
    return "".join(c if c.isprintable() else "?" for c in message)
