"""The float edge at a graph input: the quantisation that is left to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.elementwise import CLIPS, COPIES, FACTORS, clip_bounds, factor
from htvm_ir.frontends.onnx.graph import Graph, Node
from htvm_ir.frontends.onnx.proof import Value

_UNBOUNDED = 2**63
"""Stands for the range of a float input; no clip to integers in use reaches it."""


@dataclass(frozen=True)
class InputEdge:
    """``clip(floor(real / scale))`` with elements in ``low`` to ``high``, done by ``nodes``.

    ``tensor`` names the integer tensor the nodes make of the graph input.
    """

    scale: Fraction
    low: int
    high: int
    tensor: str
    nodes: tuple[Node, ...]


def input_edge(graph: Graph, name: str) -> InputEdge | None:
    """The leading ``[Div] -> Floor -> Max, Min`` of a graph input, ``None`` if it has no Floor.

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
    return InputEdge(1 / value.scale, low, high, tensor, tuple(nodes))


def _step(graph: Graph, node: Node, value: Value) -> Value | None:
    """``value`` after ``node``, ``None`` if the node is no part of an input's quantisation."""
    if node.domain or len(node.outputs) != 1:
        return None
    if node.op in COPIES:
        return value
    if node.op in FACTORS and not value.floored:
        return value.times(factor(graph, node))
    if node.op == "Floor" and not value.floored:
        # the scale is the caller's, so the integers themselves are the new unit
        return value.floor()
    if node.op in CLIPS and value.floored:
        low, high = clip_bounds(graph, node)
        integral = all(bound is None or bound.denominator == 1 for bound in (low, high))
        return value.clipped(low, high) if integral else None
    return None
