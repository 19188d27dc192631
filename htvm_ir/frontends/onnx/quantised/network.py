"""Quantised networks, QDQ or QOperator or a mixture, to ``graph`` operations.

``tensors`` says how the real numbers of the file are followed, ``quantise`` what becomes of them where they are
quantised again; the operators themselves are in ``qdq`` and ``qoperator``.
"""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from htvm_ir.dialects.graph import shape_of
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.external.kernel import Compiler
from htvm_ir.frontends.onnx.external.model import append_kernel, is_float
from htvm_ir.frontends.onnx.external.regions import Region, region_of
from htvm_ir.frontends.onnx.folding import fold_late
from htvm_ir.frontends.onnx.graph import Graph, Node, Shape
from htvm_ir.frontends.onnx.marks import BYTES, MARKS, MICROSOFT_DOMAIN
from htvm_ir.frontends.onnx.operators import operator_of
from htvm_ir.frontends.onnx.qdq import OPERATORS as QDQ
from htvm_ir.frontends.onnx.qoperator import MICROSOFT
from htvm_ir.frontends.onnx.qoperator import OPERATORS as QOPERATOR
from htvm_ir.frontends.onnx.quantised.edges import add_input, make_output
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.tensors import Floats, Integers
from htvm_ir.frontends.onnx.typed import OPERATORS as TYPED

_DOMAINS = {"": {**QDQ, **QOPERATOR}, MICROSOFT_DOMAIN: MICROSOFT}
_TYPED = {"": TYPED}


def is_quantised(graph: Graph) -> bool:
    """Whether the network states its quantisation with operators made for it, or with the types of its tensors."""
    if any(node.op in MARKS or (node.domain == MICROSOFT_DOMAIN and node.op in MICROSOFT) for node in graph.nodes):
        return True
    are_bytes = all(item.element in BYTES for item in graph.inputs)
    return are_bytes and all(node.domain == "" and node.op in TYPED for node in graph.nodes)


def import_quantised(
    graph: Graph, rounding: str, input_ranges: Mapping[str, tuple[int, int]], compiler: Compiler | None = None
) -> ModuleOp:
    """The module of a quantised network; ``rounding`` is onnx or tflite, the reference whose results are wanted.

    ``compiler`` makes the kernels of regions that were cut out of the graph.

    Raises HtvmError if something is not supported, or ``input_ranges`` names an input: their types say it all.
    """
    for name in input_ranges:
        raise HtvmError(f"input '{name}' is quantised by the model itself; leave its range out")
    net = QuantisedNet(graph, rounding)
    for item in graph.inputs:
        add_input(net, item)
    for node in graph.nodes:
        region = region_of(node)
        if region is not None and compiler is not None:
            _convert_region(net, node, region, compiler)
        else:
            _convert(net, node)
    return net.emit.module(graph.name, [make_output(net, name) for name in graph.outputs])


def _convert(net: QuantisedNet, node: Node) -> None:
    if not node.output or not any(node.inputs):
        raise node.error("has no operands or no result")
    if fold_late(net.graph, node):
        return
    is_typed = node.op in TYPED and any(isinstance(net.tensors.get(name), Integers) for name in node.inputs)
    operator_of(net.graph, node, _TYPED if is_typed else _DOMAINS, "a quantised network").convert(net, node)


def _convert_region(net: QuantisedNet, node: Node, region: Region, compiler: Compiler) -> None:
    """The kernel of a region on what exists: integers, or real numbers of another region or the caller."""
    operands: dict[str, tuple[SSAValue, Shape]] = {}
    for name in node.inputs:
        tensor = net.tensors.get(name)
        if not isinstance(tensor, Integers | Floats):
            raise HtvmError(f"{region.reason}; its operand '{name}' is computed in real numbers that exist nowhere")
        operands[name] = tensor.source, tensor.shape
    source = append_kernel(net.emit, net.graph, node, region, operands, compiler)
    shape, last = shape_of(source), region.last
    if is_float(source):
        net.define(node, Floats(source, shape))
    else:
        form = net.format(last, 1, 2) if last.op == "QuantizeLinear" else None
        net.define(node, Integers(source, shape, form))
