"""Element-wise ONNX nodes with one constant number: factors and clips."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from htvm_ir.frontends.onnx.graph import INT8, INT32, UINT8, Graph, Node, Shape
from htvm_ir.frontends.onnx.integer.proof import Bound, Value, Vector, vector

_FLOATS = (1, 11)
"""onnx.TensorProto.DataType FLOAT and DOUBLE."""
INTEGERS = {
    2: UINT8,
    3: INT8,
    4: (0, 2**16 - 1),
    5: (-(2**15), 2**15 - 1),
    6: INT32,
    7: (-(2**63), 2**63 - 1),
    12: (0, 2**32 - 1),
}
"""Ranges of onnx.TensorProto.DataType UINT8, INT8, UINT16, INT16, INT32, INT64 and UINT32."""
_FLOAT32 = Fraction(1, 2**149), Fraction(2**128)
"""Bounds of the positive numbers of float32."""
CLIPS = ("Max", "Min", "Clip", "Relu")
FACTORS = ("Mul", "Div")
COPIES = ("Identity", "Dropout", "Cast")
"""Nodes that hand their operand on at inference (a Cast only if no value is lost)."""
TAILS = ("Softmax", "LogSoftmax", "Sigmoid", "Tanh")
"""Float functions that may end a network: the caller computes them."""


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


def numbers(graph: Graph, node: Node, name: str, shape: Shape) -> Vector:
    """The elements of constant ``name``: one, or one for each channel (axis 1) of a tensor of ``shape``."""
    array = graph.constants[name]
    if array.size == 1:
        return (number(graph, node, name),)
    if not np.isfinite(array).all():
        raise node.error(f"constant '{name}' must hold finite numbers only")
    try:
        channels = np.broadcast_to(array, (1, shape[1], *(1 for _ in shape[2:]))).reshape(-1)
    except (ValueError, IndexError):
        what = f"constant '{name}' of shape {list(array.shape)}"
        raise node.error(f"{what} must be one number or one for each channel of {list(shape)}") from None
    return vector(Fraction(value) for value in channels.tolist())


def factors(graph: Graph, node: Node, shape: Shape) -> Vector:
    """What a Mul multiplies a tensor of ``shape`` with, or the inverses of a Div's divisors."""
    _, constants = split(graph, node)
    is_constant = len(constants) == 1 and len(node.inputs) == 2
    if not is_constant or (node.op == "Div" and node.inputs[1] not in graph.constants):
        raise node.error("one operand must be computed, the other (a divisor) a constant number")
    found = numbers(graph, node, constants[0], shape)
    if not any(found) or (node.op == "Div" and not all(found)):
        raise node.error("scales by 0; only other numbers are supported")
    return found if node.op == "Mul" else tuple(1 / value for value in found)


def in_integers(graph: Graph, node: Node) -> bool:
    """Whether the operands of a node are integers by type: products do not round, quotients lose their fraction."""
    return all(np.issubdtype(graph.constants[name].dtype, np.integer) for name in split(graph, node)[1])


def scaled(graph: Graph, node: Node, value: Value, shape: Shape) -> Value:
    """``value`` after one of FACTORS; see ``Value.scales_by``."""
    whole = in_integers(graph, node)
    result = value.times(*factors(graph, node, shape), exact=whole)
    if any(scale and not _FLOAT32[0] <= abs(scale) <= _FLOAT32[1] for scale in result.scales):
        raise node.error("all factors together are beyond float32")
    return result.cut() if whole else result


def keeps(node: Node, value: Value | None) -> bool:
    """Whether one of COPIES hands ``value`` on unchanged: a Cast to integers must not truncate or wrap.

    ``None`` stands for a value that may be any real number.
    """
    target = node.integer("to", 0)
    if node.op != "Cast" or target in _FLOATS:
        return True
    return target in INTEGERS and value is not None and value.is_integer and value.fits(*INTEGERS[target])


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
