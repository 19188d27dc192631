"""Regions of an integer net: they end where it quantises real numbers, at a clip behind a Floor."""

from __future__ import annotations

from collections.abc import Mapping

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.external.model import INT8, UINT8
from htvm_ir.frontends.onnx.external.regions import cut, producers
from htvm_ir.frontends.onnx.graph import INT8 as SIGNED
from htvm_ir.frontends.onnx.graph import UINT8 as UNSIGNED
from htvm_ir.frontends.onnx.graph import Graph, Node
from htvm_ir.frontends.onnx.integer.elementwise import CLIPS, clip_bounds

Interval = tuple[int, int]


def cut_integer(graph: Graph, reasons: Mapping[str, str]) -> Graph:
    """``graph`` with a node for each region around the nodes in ``reasons`` (first result -> why)."""
    if not reasons:
        return graph
    external, inputs = dict(reasons), {item.name for item in graph.inputs if item.element == "FLOAT"}
    waiting = [node for node in graph.nodes if node.output in external]
    while waiting:
        node = waiting.pop()
        names = [name for name in node.inputs if name in inputs]
        names += [] if quantised_range(graph, node.output) else [name for name in node.outputs if name]
        for reader in [reader for name in names for reader in graph.readers(name)]:
            if reader.output not in external:
                external[reader.output] = f"{reader} shares real numbers with {node}"
                waiting.append(reader)
    return cut(graph, external, ())


def quantised_range(graph: Graph, name: str) -> Interval | None:
    """The 8-bit range of a tensor that clips behind a Floor make, ``None`` if they do not."""
    made = producers(graph)
    low: int | None = None
    high: int | None = None
    while (node := made.get(name)) is not None and node.op in CLIPS and node.domain == "":
        below, above = _bounds(graph, node)
        low, high = (below if low is None else low), (above if high is None else high)
        name = next((operand for operand in node.inputs if operand not in graph.constants), "")
    if node is None or node.op != "Floor" or low is None or high is None:
        return None
    fits = any(least <= low <= high <= most for least, most in (SIGNED, UNSIGNED))
    return (low, high) if fits else None


def stored_as(interval: Interval) -> int:
    """The ONNX number of the type that holds a range."""
    return INT8 if SIGNED[0] <= interval[0] and interval[1] <= SIGNED[1] else UINT8


def _bounds(graph: Graph, node: Node) -> tuple[int | None, int | None]:
    """The bounds of a clip that are integers; of others nothing is known."""
    try:
        found = clip_bounds(graph, node)
    except HtvmError:
        return None, None
    low, high = (None if bound is None or bound.denominator != 1 else int(bound) for bound in found)
    return low, high
