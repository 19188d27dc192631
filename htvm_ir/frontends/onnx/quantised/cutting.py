"""Regions of a quantised network: they end where tensors of 8 bits begin.

A region takes the DequantizeLinear of what it reads and the QuantizeLinear of what it computes with it, and every node
between that computes with real numbers. So tensors between kernels are integers, or real numbers that another region
or the caller computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from htvm_ir.frontends.onnx.external.model import FLOAT, INT8, INT32, UINT8
from htvm_ir.frontends.onnx.external.regions import cut, producers
from htvm_ir.frontends.onnx.graph import Graph, Node

if TYPE_CHECKING:
    import onnx

_STORED = (FLOAT, UINT8, INT8, INT32)
_DEQUANTIZE = "DequantizeLinear"


def cut_quantised(graph: Graph, reasons: Mapping[str, str]) -> Graph:
    """``graph`` with a node for each region around the nodes in ``reasons`` (first result -> why)."""
    if not reasons:
        return graph
    kinds = _element_types(graph)
    external = _grown(graph, reasons, kinds)
    copied = {
        node.output
        for node in graph.nodes
        if node.output not in reasons
        and (node.op == _DEQUANTIZE or not all(kinds.get(name, FLOAT) in _STORED for name in node.outputs if name))
    }
    return cut(graph, external, copied)


def _grown(graph: Graph, reasons: Mapping[str, str], kinds: Mapping[str, int]) -> dict[str, str]:
    """All nodes that compute with real numbers which the given ones read or make."""
    made, inputs = producers(graph), {item.name for item in graph.inputs}
    external = dict(reasons)
    waiting = [node for node in graph.nodes if node.output in external]

    def add(node: Node, other: Node) -> None:
        if node.output not in external:
            external[node.output] = f"{node} shares real numbers with {other}"
            waiting.append(node)

    while waiting:
        node = waiting.pop()
        for name in filter(None, node.inputs):
            source = made.get(name)
            if source is not None and source.op != _DEQUANTIZE and kinds.get(name, FLOAT) == FLOAT:
                add(source, node)
            elif name in inputs and kinds.get(name) == FLOAT:
                for reader in graph.readers(name):
                    add(reader, node)
        for name in filter(None, node.outputs):
            for reader in graph.readers(name) if kinds.get(name, FLOAT) == FLOAT else ():
                add(reader, node)
    return external


def _element_types(graph: Graph) -> dict[str, int]:
    """The ONNX number of each tensor's element type, as far as it is known."""
    from onnx import helper, numpy_helper, shape_inference

    inputs = [_input(item.name, item.element, item.shape) for item in graph.inputs]
    weights = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in graph.outputs]
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    nodes = [node.proto for node in graph.nodes]
    proto = helper.make_graph(nodes, "types", inputs, results, weights)
    inferred = shape_inference.infer_shapes(helper.make_model(proto, opset_imports=opsets)).graph
    known = (*inferred.input, *inferred.value_info, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in known if value.type.tensor_type.elem_type}
    for node in graph.nodes:
        if node.domain and node.op != _DEQUANTIZE and node.output not in found:
            found[node.output] = UINT8  # operators of com.microsoft are on quantised tensors
    return found


def _input(name: str, element: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.DataType.Value(element), shape)
