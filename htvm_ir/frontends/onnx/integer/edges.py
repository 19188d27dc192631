"""The edges of the network: quantisation and dequantisation that are left to the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from xdsl.dialects.builtin import ArrayAttr, IntegerType, StringAttr, i8
from xdsl.ir import BlockArgument, SSAValue

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.emit import ROUNDING, TAIL, Edge
from htvm_ir.frontends.onnx.external.regions import is_external
from htvm_ir.frontends.onnx.graph import INT8, UINT8, Graph, Input, Node
from htvm_ir.frontends.onnx.integer.conventions import unstated_range
from htvm_ir.frontends.onnx.integer.elementwise import CLIPS, COPIES, FACTORS, clip_bounds, keeps, scaled, split
from htvm_ir.frontends.onnx.integer.net import IntegerNet, Tensor, ui8
from htvm_ir.frontends.onnx.integer.proof import Value

_UNBOUNDED = 2**63
"""Stands for the range of a float input; no clip to integers in use reaches it."""
_RANGES = {"INT8": INT8, "UINT8": UINT8}
"""What inputs of a type hold, by its ONNX name; for floats the first that is enough."""


@dataclass(frozen=True)
class _InputEdge:
    """``clip(floor(real / scale))`` with elements in ``low`` to ``high``, done by ``nodes``.

    ``tensor`` names the integer tensor the nodes make of the graph input. With ``half``, 1/2 is added before the floor.
    """

    scale: Fraction
    low: int
    high: int
    tensor: str
    nodes: tuple[Node, ...]
    half: bool


def _input_edge(graph: Graph, name: str) -> _InputEdge | None:
    """The leading ``[Div] -> [Add 1/2] -> Floor -> Max, Min`` of a graph input, ``None`` if it has no Floor.

    Raises HtvmError if the chain floors but does not clip on both sides.
    """
    value, tensor, nodes = Value.integers(-_UNBOUNDED, _UNBOUNDED), name, list[Node]()
    while (node := graph.sole_reader(tensor)) is not None and tensor in node.inputs:
        step = _step(graph, node, value)
        if step is None:
            break
        value, tensor = step, node.output
        nodes.append(node)
    if not value.floored:
        return None
    if value.clip_low is None or value.clip_high is None:
        raise HtvmError(
            f"input '{name}': {nodes[-1]} ends its quantisation without a clip; "
            "add Max and Min with the bounds of 8 bits"
        )
    low, high = value.interval
    return _InputEdge(1 / value.scale, low, high, tensor, tuple(nodes), value.offset != 0)


def _step(graph: Graph, node: Node, value: Value) -> Value | None:
    """``value`` after ``node``, ``None`` if the node is no part of an input's quantisation."""
    if node.domain or len(node.outputs) != 1:
        return None
    if node.op in COPIES:
        return value if keeps(node, value) else None
    if node.op in FACTORS and not value.floored and not value.offset:
        return _scaled_input(graph, node, value)
    if node.op == "Add" and not value.floored and not value.offset:
        constants = split(graph, node)[1]
        is_half = len(constants) == 1 and graph.scalar(constants[0]) == Fraction(1, 2)
        return value.plus(Fraction(1, 2)) if is_half else None
    if node.op == "Floor" and not value.floored:
        # the scale is the caller's, so the integers themselves are the new unit
        return value.floor()
    if node.op in CLIPS and value.floored:
        low, high = clip_bounds(graph, node)
        integral = all(bound is None or bound.denominator == 1 for bound in (low, high))
        return value.clipped(low, high) if integral else None
    return None


def _scaled_input(graph: Graph, node: Node, value: Value) -> Value:
    result = scaled(graph, node, value, ())
    if result.scale <= 0:
        raise node.error(f"scales an input by {float(result.scale):g}; only positive numbers are supported")
    return result


def add_input(net: IntegerNet, item: Input, stated: tuple[int, int] | None) -> None:
    """Adds the argument of a graph input: what its quantisation gives, else 8 bits of range ``stated``."""
    if item.element not in ("FLOAT", *_RANGES):
        raise HtvmError(f"input '{item.name}' holds {item.element}; use float32, int8 or uint8")
    if item.element == "FLOAT" and is_external(net.graph, item.name):
        net.floats[item.name] = net.emit.float_argument(item.shape, item.name)
        return
    found = _input_edge(net.graph, item.name) if item.element == "FLOAT" else None
    if found is not None and stated is not None:
        raise HtvmError(
            f"input '{item.name}' is quantised by the model itself to {found.low}..{found.high}; leave its range out"
        )
    low, high = (found.low, found.high) if found else stated or _RANGES.get(item.element) or unstated_range(net.graph)
    element = _element(item, low, high)
    edge, name = Edge(item.name), item.name
    if found is not None:
        edge, name = Edge(item.name, float(found.scale), aliases=[found.tensor]), found.tensor
        if found.half:
            edge.extra[ROUNDING] = StringAttr("half_up")
        net.handled.update(node.output for node in found.nodes)
    assumed = found is None and stated is None and item.element == "FLOAT"
    source = net.emit.argument(item.shape, edge, (low, high), assumed, element)
    net.tensors[name] = Tensor(name, source, Value.integers(low, high), item.shape)


def _element(item: Input, low: int, high: int) -> IntegerType:
    """The type of an input, int8 if the file leaves a choice and that holds the range."""
    where = f"the range {low}..{high} of input '{item.name}'"
    if low > high:
        raise HtvmError(f"{where} is empty")
    kinds = {item.element: _RANGES[item.element]} if item.element in _RANGES else _RANGES
    for kind, (least, greatest) in kinds.items():
        if least <= low and high <= greatest:
            return i8 if kind == "INT8" else ui8
    allowed = " or ".join(f"{least}..{greatest}" for least, greatest in kinds.values())
    raise HtvmError(f"{where} must lie in {allowed}: inputs have 8 bits")


def make_output(net: IntegerNet, name: str) -> tuple[SSAValue, Edge]:
    """The integers of graph output ``name`` and what turns them into its real numbers."""
    if name in net.graph.constants:
        raise HtvmError(f"output '{name}' is a constant; there is nothing to compute")
    if name in net.floats:
        return net.floats[name], Edge(name, None)
    if name in net.tails:
        before, operators = net.tails[name]
        source, edge = make_output(net, before)
        edge.extra[TAIL] = ArrayAttr([StringAttr(operator) for operator in operators])
        return source, edge
    node = next(node for node in net.graph.nodes if name in node.outputs)
    if name not in net.tensors:
        raise HtvmError(f"output '{name}' is the integer input itself, or a result without support")
    tensor = net.tensors[name]
    if tensor.mean is None and tensor.value.is_scaled:
        made, edge = _dequantised(net, node, tensor)
    else:
        made, edge = net.integers(node, name), Edge(name)
    if isinstance(made.source, BlockArgument):
        raise HtvmError(f"output '{name}' is an input unchanged; there is nothing to compile")
    present = net.emit.name_of(made.source)
    edge.aliases = [present] if present != name else []
    return made.source, edge


def _dequantised(net: IntegerNet, node: Node, tensor: Tensor) -> tuple[Tensor, Edge]:
    """The integers behind a trailing Mul(scale)."""
    value = tensor.value
    inner = value.integers_behind()
    if not inner.is_integer or (value.offset / value.scale).denominator != 1:
        raise node.error(f"output '{tensor.name}' is neither an integer nor one times a scale")
    # behind a clip of the scaled value the integers have no ONNX name of their own
    name = net.emit.name_of(tensor.source) if inner.is_source else f"{tensor.name}.integer"
    made = net.made(node, replace(tensor, name=name, value=inner))
    return made, Edge(tensor.name, float(value.scale), int(-value.offset / value.scale))
