"""Integer nets in float clothing, as DIANA's training flow exports them, to ``graph`` operations.

Every float tensor is followed as an exact expression of an integer tensor (``proof``), and ``graph.requant`` is
emitted where such an expression ends: so ``Conv -> Div(2^k) -> Floor -> Max -> Min`` becomes two operations, in
whatever order and operand order the file has them. A tensor that is not provably an integer, away from the float
edges of the network, is an error that names the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.folding import fold
from htvm_ir.frontends.onnx.graph import Graph, Node
from htvm_ir.frontends.onnx.integer.edges import add_input, make_output
from htvm_ir.frontends.onnx.integer.elementwise import CLIPS, COPIES, FACTORS
from htvm_ir.frontends.onnx.integer.layers import convert_conv, convert_gemm, convert_matmul
from htvm_ir.frontends.onnx.integer.net import IntegerNet
from htvm_ir.frontends.onnx.integer.pointwise import (
    convert_add,
    convert_clip,
    convert_copy,
    convert_factor,
    convert_floor,
)
from htvm_ir.frontends.onnx.integer.spatial import (
    convert_average,
    convert_max_pool,
    convert_reduce_mean,
    convert_reshape,
    convert_shape,
    convert_transpose,
)

__all__ = ["import_integer"]

_HANDLERS: dict[str, Callable[[IntegerNet, Node], None]] = {
    "Conv": convert_conv,
    "Gemm": convert_gemm,
    "MatMul": convert_matmul,
    "Add": convert_add,
    "Floor": convert_floor,
    "GlobalAveragePool": convert_average,
    "AveragePool": convert_average,
    "ReduceMean": convert_reduce_mean,
    "MaxPool": convert_max_pool,
    "GlobalMaxPool": convert_max_pool,
    "Shape": convert_shape,
    "Transpose": convert_transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), convert_reshape),
    **dict.fromkeys(FACTORS, convert_factor),
    **dict.fromkeys(CLIPS, convert_clip),
    **dict.fromkeys(COPIES, convert_copy),
}


def import_integer(graph: Graph, input_ranges: Mapping[str, tuple[int, int]]) -> ModuleOp:
    """The module of an integer net.

    ``input_ranges`` are (least, greatest) of inputs that the net does not quantise. Raises HtvmError
    if the graph is not provably one of integers, or uses what is not supported.
    """
    names = [item.name for item in graph.inputs]
    for name in input_ranges:
        if name not in names:
            raise HtvmError(f"no input '{name}' to set the range of; there is {', '.join(names)}")
    net = IntegerNet(graph)
    for item in graph.inputs:
        add_input(net, item, input_ranges.get(item.name))
    for node in graph.nodes:
        if node.output not in net.handled:
            _convert(net, node)
    return net.emit.module(graph.name, [make_output(net, name) for name in graph.outputs])


def _convert(net: IntegerNet, node: Node) -> None:
    if not node.output or not any(node.inputs):
        raise node.error("has no operands or no result")
    if _folded(net, node):
        return
    handler = _HANDLERS.get(node.op) if node.domain == "" else None
    if handler is None:
        domain = f" of domain '{node.domain}'" if node.domain else ""
        raise node.error(
            f"operator{domain} is not supported in an integer net; supported are {', '.join(sorted(_HANDLERS))}"
        )
    for name in filter(None, node.inputs):
        if name not in net.graph.constants and name not in net.tensors:
            raise node.error(f"operand '{name}' is a result that is not supported")
    if any(net.graph.is_used(name) for name in node.outputs[1:]):
        raise node.error("only its first result is supported")
    handler(net, node)
    _settle(net, node)


def _folded(net: IntegerNet, node: Node) -> bool:
    """Whether a node reads only constants that were found since the file was read (by Shape)."""
    known = net.graph.constants
    names = [name for name in node.inputs if name]
    if not all(name in known for name in names):
        return False
    result = fold(node, [known[name] for name in names])
    if result is not None:
        known[node.output] = result
    return result is not None


def _settle(net: IntegerNet, node: Node) -> None:
    """Makes the integers of a finished expression at once, next to the layer they come from."""
    tensor = net.tensors.get(node.output)
    if tensor is None:
        return
    reader = net.graph.sole_reader(node.output)
    if tensor.value.floored and (reader is None or not _continues(net, reader)):
        net.integers(node, node.output)


def _continues(net: IntegerNet, node: Node) -> bool:
    """Whether a node extends the expression of an integer rather than read the integer."""
    is_term = node.op == "Add" and any(name in net.graph.constants for name in node.inputs)
    return is_term or node.op == "Floor" or node.op in CLIPS or node.op in COPIES
