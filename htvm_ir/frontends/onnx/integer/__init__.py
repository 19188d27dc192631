"""Integer nets in float clothing, as DIANA's flow, NEMO, QuantLab and Deeploy write them, to ``graph`` operations.

Every float tensor is followed as an exact expression of an integer tensor (``proof``), and ``graph.requant`` is
emitted where such an expression ends: so ``Conv -> Div(2^k) -> Floor -> Max -> Min`` becomes two operations, in
whatever order and operand order the file has them. The conventions differ in the nodes such an expression is made of,
and in what the file leaves unsaid (``conventions``). A tensor that is not provably an integer, away from the float
edges of the network, is an error that names the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.external.kernel import Compiler
from htvm_ir.frontends.onnx.external.regions import region_of
from htvm_ir.frontends.onnx.folding import fold_late
from htvm_ir.frontends.onnx.graph import Graph, Node
from htvm_ir.frontends.onnx.integer.edges import add_input, make_output
from htvm_ir.frontends.onnx.integer.elementwise import CLIPS, COPIES, TAILS
from htvm_ir.frontends.onnx.integer.layers import convert_conv, convert_gemm, convert_matmul
from htvm_ir.frontends.onnx.integer.moves import convert_gather
from htvm_ir.frontends.onnx.integer.net import IntegerNet
from htvm_ir.frontends.onnx.integer.pointwise import (
    convert_add,
    convert_clip,
    convert_copy,
    convert_factor,
    convert_floor,
    convert_tail,
)
from htvm_ir.frontends.onnx.integer.regions import convert_region
from htvm_ir.frontends.onnx.integer.requant_shift import convert_requant_shift
from htvm_ir.frontends.onnx.integer.spatial import (
    convert_average,
    convert_max_pool,
    convert_reduce_mean,
    convert_reshape,
    convert_shape,
    convert_transpose,
)
from htvm_ir.frontends.onnx.operators import Operator, operator_of

__all__ = ["import_integer"]

_POOL = "N, C, H, W; no dilation"
_TYPES = ("float32", "int8", "uint8")
_ENDS = "a Floor follows"


def _entry(
    convert: Callable[[IntegerNet, Node], None], *becomes: str, limits: str = "", since: int = 1
) -> Operator[IntegerNet]:
    return Operator(convert, becomes, limits, _TYPES, since=since)


_RESHAPE = _entry(convert_reshape, "reshape", limits="shape and axes constant")
_CLIP = _entry(convert_clip, "requant", limits="bounds constant numbers")
_FACTOR = _entry(convert_factor, "requant", limits="with constant numbers, one or one for each channel", since=7)

OPERATORS: Mapping[str, Operator[IntegerNet]] = {
    "Conv": _entry(convert_conv, "conv2d", limits="1-D or 2-D, any groups; constant integer weights and bias"),
    "Gemm": _entry(
        convert_gemm, "dense", limits="[1, C] times constant integers; alpha = beta = 1, no transA", since=7
    ),
    "MatMul": _entry(convert_matmul, "dense", limits="[1, C] times constant integers"),
    "Add": Operator(
        convert_add,
        ("add", "requant"),
        "one shape, or constant numbers, one or one for each channel, or a layer's bias",
        _TYPES,
        computed=None,
        since=7,
    ),
    "Floor": _entry(
        convert_floor, "requant", limits="of integers times integers over a power of two, or of an average"
    ),
    "Mul": _entry(
        convert_factor,
        "requant",
        "conv2d",
        limits="with constant numbers, one or one for each channel",
        since=7,
    ),
    "Div": _FACTOR,
    "GlobalAveragePool": _entry(convert_average, "pool", limits=f"N, C, H, W; {_ENDS}"),
    "AveragePool": _entry(convert_average, "pool", limits=f"{_POOL}; padding does not count; {_ENDS}"),
    "ReduceMean": _entry(convert_reduce_mean, "pool", limits=f"over H and W of N, C, H, W; {_ENDS}"),
    "MaxPool": _entry(convert_max_pool, "pool", limits=f"{_POOL}; first result only"),
    "GlobalMaxPool": _entry(convert_max_pool, "pool", limits="N, C, H, W"),
    "Shape": _entry(convert_shape, limits="a constant: every shape is known"),
    "Gather": _entry(convert_gather, "slice", "concat", "reshape", limits="constant indices"),
    "Transpose": _entry(convert_transpose, "transpose"),
    "Identity": _entry(convert_copy),
    "Dropout": _entry(convert_copy, limits="as at inference", since=7),
    "Cast": _entry(convert_copy, limits="to a type that holds the numbers; to integers it cuts fractions off", since=6),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _RESHAPE),
    "Relu": _entry(convert_clip, "requant"),
    **dict.fromkeys(("Clip", "Max", "Min"), _CLIP),
    **dict.fromkeys(TAILS, _entry(convert_tail, limits="at the end of the network, left to the caller")),
}
"""Operators of the standard domain."""

EXPORTED: Mapping[str, Operator[IntegerNet]] = {
    "RequantShift": _entry(
        convert_requant_shift, "requant", limits="mul and add constant; div, n_levels or n_levels_out"
    ),
}
"""Operators that exporters put into whatever domain is theirs."""


def import_integer(
    graph: Graph, input_ranges: Mapping[str, tuple[int, int]], compiler: Compiler | None = None
) -> ModuleOp:
    """The module of an integer net; ``compiler`` makes the kernels of regions that were cut out of the graph.

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
        region = region_of(node)
        if region is not None and compiler is not None:
            convert_region(net, node, region, compiler)
        elif node.output not in net.handled:
            _convert(net, node)
    return net.emit.module(graph.name, [make_output(net, name) for name in graph.outputs])


def _convert(net: IntegerNet, node: Node) -> None:
    if not node.output or not any(node.inputs):
        raise node.error("has no operands or no result")
    if fold_late(net.graph, node):
        return
    operator = operator_of(net.graph, node, _domains(node), "an integer net")
    for name in filter(None, node.inputs):
        if name in net.tails and node.op not in TAILS:
            raise node.error(f"reads '{name}', which only the caller computes; cut the network there", unknown=True)
        if name not in net.graph.constants and name not in net.tensors and name not in net.tails:
            raise node.error(f"operand '{name}' is a result that is not supported")
    operator.convert(net, node)
    _settle(net, node)


def _domains(node: Node) -> dict[str, Mapping[str, Operator[IntegerNet]]]:
    """The operators by domain; a domain of the node's own may hold what exporters put anywhere."""
    domains: dict[str, Mapping[str, Operator[IntegerNet]]] = {"": {**OPERATORS, **EXPORTED}}
    return {**domains, node.domain: EXPORTED} if node.domain else domains


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
