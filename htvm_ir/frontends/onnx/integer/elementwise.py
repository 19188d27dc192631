"""Element-wise ONNX nodes with one constant number: factors and clips."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from htvm_ir.frontends.onnx.graph import INT8, INT32, Graph, Node
from htvm_ir.frontends.onnx.integer.proof import Bound, Value

_FLOATS = (1, 11)
"""onnx.TensorProto.DataType FLOAT and DOUBLE."""
_INTEGERS = {3: INT8, 5: (-(2**15), 2**15 - 1), 6: INT32, 7: (-(2**63), 2**63 - 1)}
"""Ranges of onnx.TensorProto.DataType INT8, INT16, INT32 and INT64."""
_FLOAT32 = Fraction(1, 2**149), Fraction(2**128)
"""Bounds of the positive numbers of float32."""
CLIPS = ("Max", "Min", "Clip", "Relu")
FACTORS = ("Mul", "Div")
COPIES = ("Identity", "Dropout", "Cast")
"""Nodes that hand their operand on at inference (a Cast only if no value is lost)."""


def split(graph: Graph, node: Node) -> tuple[list[str], list[str]]:
    """The operands of a node that are computed, and those that are constants."""
    names = [name for name in node.inputs if name]
    computed = [name for name in names if name not in graph.constants]
    return computed, [name for name in names if name in graph.constants]


def only_computed(graph: Graph, node: Node) -> str:
    """The one computed operand of a node."""
    computed, _ = split(graph, node)
    if len(computed) != 1:
        raise node.error(f"needs exactly one operand that is not constant, has {len(computed)}")
    return computed[0]


def number(graph: Graph, node: Node, name: str) -> Fraction:
    """The value of a constant operand of one element."""
    value = graph.scalar(name)
    if value is None:
        raise node.error(f"operand '{name}' must be one finite number; values per channel are not supported here")
    return value


def _factor(graph: Graph, node: Node) -> Fraction:
    """The positive number a Mul multiplies with, or the inverse of a Div's divisor."""
    _, constants = split(graph, node)
    is_constant = len(constants) == 1 and len(node.inputs) == 2
    if not is_constant or (node.op == "Div" and node.inputs[1] not in graph.constants):
        raise node.error("one operand must be computed, the other (a divisor) a constant number")
    value = number(graph, node, constants[0])
    if value <= 0:
        raise node.error(f"scales by {float(value):g}; only positive numbers are supported")
    return value if node.op == "Mul" else 1 / value


def scaled(graph: Graph, node: Node, value: Value) -> Value:
    """``value`` after one of FACTORS."""
    result = value.times(_factor(graph, node))
    if not _FLOAT32[0] <= result.scale <= _FLOAT32[1]:
        raise node.error("all factors together are beyond float32")
    return result


def keeps(node: Node, value: Value | None) -> bool:
    """Whether one of COPIES hands ``value`` on unchanged: a Cast to integers must not truncate or wrap.

    ``None`` stands for a value that may be any real number.
    """
    target = node.integer("to", 0)
    if node.op != "Cast" or target in _FLOATS:
        return True
    return target in _INTEGERS and value is not None and value.is_integer and value.fits(*_INTEGERS[target])


def clip_bounds(graph: Graph, node: Node) -> tuple[Bound, Bound]:
    """(low, high) of ``min(max(x, low), high)`` for one of CLIPS."""
    match node.op:
        case "Relu":
            return Fraction(0), None
        case "Clip":
            low, high = _clip_bound(graph, node, "min", 1), _clip_bound(graph, node, "max", 2)
            # ONNX: where min exceeds max the result is max
            return (min(low, high) if low is not None and high is not None else low), high
        case kind:
            values = [number(graph, node, name) for name in split(graph, node)[1]]
            if not values:
                return None, None
            return (max(values), None) if kind == "Max" else (None, min(values))


def _clip_bound(graph: Graph, node: Node, attribute: str, index: int) -> Bound:
    name = node.operand(index)
    if name:
        if name not in graph.constants:
            raise node.error(f"bound '{name}' must be a constant")
        array = graph.constants[name]
        return None if array.size == 1 and np.isinf(array).all() else number(graph, node, name)
    if attribute not in node.attributes:
        return None
    value = node.number(attribute, 0.0)
    if np.isnan(value):
        raise node.error(f"bound '{attribute}' is not a number")
    return None if np.isinf(value) else Fraction(value)
