"""The edges of a quantised network: float inputs and outputs are left to the caller, as 8-bit integers with a scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import ArrayAttr, StringAttr, i8, i32
from xdsl.ir import BlockArgument, SSAValue

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.emit import ROUNDING, TAIL, Edge
from htvm_ir.frontends.onnx.external.regions import is_external
from htvm_ir.frontends.onnx.graph import Input, Node, NodeError
from htvm_ir.frontends.onnx.marks import BYTES
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet, ui8
from htvm_ir.frontends.onnx.quantised.requantise import accumulators
from htvm_ir.frontends.onnx.quantised.tensors import Accumulated, Affine, Floats, Format, Integers, Table, Tail

_MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Pad", "Slice")
ELEMENTS = dict(zip(BYTES, (i8, ui8), strict=True))
"""Element types of integer inputs."""


def add_input(net: QuantisedNet, item: Input) -> None:
    """Adds the argument of a graph input: 8-bit integers in the format of the network's first quantisation."""
    if item.element == "FLOAT" and is_external(net.graph, item.name):
        net.tensors[item.name] = Floats(net.emit.float_argument(item.shape, item.name), item.shape)
        return
    if item.element == "FLOAT":
        form = _quantised_input(net, item)
    elif item.element in ELEMENTS:
        found = {net.format(node, 1, 2) for node in _ends(net, item.name) if _states_format(net, node)}
        form = next(iter(found)) if len(found) == 1 else None
    else:
        raise HtvmError(f"input '{item.name}' holds {item.element}; use float32, int8 or uint8")
    element = ELEMENTS[item.element] if form is None or item.element in ELEMENTS else form.element
    limits = Format(1.0, 0, element).limits
    edge = Edge(item.name, *((1.0, 0) if form is None else (form.scale, form.zero_point)))
    edge.extra[ROUNDING] = StringAttr("half_away" if net.follows_tflite else "half_even")
    source = net.emit.argument(item.shape, edge, limits, element=element)
    if item.element == "FLOAT":
        assert form is not None
        # quantised by the caller: what the QuantizeLinear then makes of it are the same integers
        net.tensors[item.name] = Affine(shape=item.shape, source=source, format=form)
    else:
        net.tensors[item.name] = Integers(source, item.shape, form)


def _quantised_input(net: QuantisedNet, item: Input) -> Format:
    """The one format in which the network quantises a float input."""
    formats: set[Format] = set()
    for node in _ends(net, item.name):
        if node.op != "QuantizeLinear":
            reason = f"input '{item.name}' is float32 and read by {node}; quantise it first with QuantizeLinear"
            raise NodeError(node, reason, unknown=True)
        formats.add(net.format(node, 1, 2))
    if len(formats) != 1:
        raise HtvmError(f"input '{item.name}' is quantised on {len(formats)} scales; one QuantizeLinear must serve all")
    return formats.pop()


def _ends(net: QuantisedNet, name: str) -> Iterator[Node]:
    """The nodes that read a tensor, or a rearrangement of it."""
    for node in net.graph.readers(name):
        if node.op in _MOVES and node.domain == "":
            yield from _ends(net, node.output)
        else:
            yield node


def _states_format(net: QuantisedNet, node: Node) -> bool:
    is_named = node.op == "DequantizeLinear" or node.op.startswith(("QLinear", "QGemm"))
    scale = net.graph.constants.get(node.operand(1))
    return is_named and scale is not None and scale.size == 1 and scale.dtype.kind == "f"


def make_output(net: QuantisedNet, name: str) -> tuple[SSAValue, Edge]:
    """The integers of graph output ``name`` and what turns them into its real numbers."""
    if name in net.graph.constants:
        raise HtvmError(f"output '{name}' is a constant; there is nothing to compute")
    tensor = net.tensors[name]
    node = next((node for node in net.graph.nodes if name in node.outputs), None)
    if node is None:
        raise HtvmError(f"output '{name}' is an input unchanged; there is nothing to compile")
    match tensor:
        case Tail():
            source, form = tensor.source.source, tensor.source.format
            edge = _left_to_caller(net, source, tensor.operators)
        case Table():
            source, form = tensor.source, tensor.format
            edge = _left_to_caller(net, source, _functions(net, name))
        case Integers() | Affine():
            source, form, edge = tensor.source, tensor.format, Edge(name)
        case Floats():
            source, form, edge = tensor.source, None, Edge(name, None)
        case Accumulated():
            source, form, edge = _sums(net, node, tensor), None, Edge(name, float(tensor.scale[0]))
        case _:
            raise node.error(f"output '{name}' has no integers; end the network with QuantizeLinear")
    if isinstance(source, BlockArgument):
        raise HtvmError(f"output '{name}' is an input unchanged; there is nothing to compile")
    if form is not None:
        edge.scale, edge.zero_point = form.scale, form.zero_point
    present = net.emit.name_of(source)
    edge.aliases = [present] if present != edge.name else []
    return source, edge


def _left_to_caller(net: QuantisedNet, source: SSAValue, operators: Sequence[str]) -> Edge:
    return Edge(net.emit.name_of(source), extra={TAIL: ArrayAttr([StringAttr(operator) for operator in operators])})


def _functions(net: QuantisedNet, name: str) -> list[str]:
    """The float operators between the last integers and tensor ``name``, in order."""
    wanted, found = {name}, list[str]()
    for node in reversed(net.graph.nodes):
        if node.output in wanted and isinstance(net.tensors[node.output], Table):
            wanted.update(node.inputs)
            found.insert(0, str(node))
    return found


def _sums(net: QuantisedNet, node: Node, layer: Accumulated) -> SSAValue:
    """The 32-bit sums of a layer that ends the network without requantisation."""
    if layer.scale.size > 1 or layer.is_clipped or any(move.fills for move in layer.moves):
        raise node.error("ends the network without QuantizeLinear; quantise its result")
    source = accumulators(net, node, layer)
    for index, move in enumerate(layer.moves, 1):
        name = node.output if index == len(layer.moves) else f"{node.output}.unmoved{index}"
        source = net.emit.append(move.node, move.make(source, Format(float(layer.scale[0]), 0, i32)), name)
    return source
