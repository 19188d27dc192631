"""Folding of nodes whose operands are constants: ``Constant`` itself and shape arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from htvm_ir.frontends.onnx.graph import Array, Graph, Node
from htvm_ir.frontends.onnx.shapes import new_shape

_LARGEST = 1 << 24
"""Elements a folded constant may have: more than any microcontroller network, little for a laptop."""


def fold(node: Node, operands: Sequence[Array]) -> Array | None:
    """The constant result of ``node`` on constant ``operands``, ``None`` if it is not foldable.

    Raises HtvmError if the operands do not fit the operator.
    """
    rule = _RULES.get(node.op) if node.domain == "" and len(node.outputs) == 1 else None
    if rule is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return rule(node, operands)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
        raise node.error(f"does not fit its constant operands: {error}".split("\n")[0]) from None


def fold_late(graph: Graph, node: Node) -> bool:
    """Fold a node if what it reads are constants by now: Shape and quantised weights give some that no file holds."""
    known = graph.constants
    names = [name for name in node.inputs if name]
    if not all(name in known for name in names):
        return False
    result = fold(node, [known[name] for name in names])
    if result is not None:
        known[node.output] = result
    return result is not None


def _constant(node: Node, _: Sequence[Array]) -> Array:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in node.attributes:
            value = node.attributes[name]
            return np.asarray(value, np.float32 if "float" in name else None)
    raise ValueError("Constant has no numeric value")


def _binary(apply: Callable[[Array, Array], Array]) -> Callable[[Node, Sequence[Array]], Array]:
    def rule(_: Node, operands: Sequence[Array]) -> Array:
        a, b = operands
        if prod(np.broadcast_shapes(a.shape, b.shape)) > _LARGEST:
            raise ValueError(f"the result has more than {_LARGEST} elements")
        return np.asarray(apply(a, b), np.result_type(a, b))

    return rule


def _divide(a: Array, b: Array) -> Array:
    if not np.issubdtype(np.result_type(a, b), np.integer):
        return np.divide(a, b)
    if not b.all():
        raise ValueError("division of integers by zero")
    # ONNX divides integers as C does, towards zero
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


_CASTS = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 11: "f8", 12: "u4"}
"""onnx.TensorProto.DataType to numpy."""


def _cast(node: Node, operands: Sequence[Array]) -> Array:
    return operands[0].astype(_CASTS[node.integer("to", 0)])


def _reshape(node: Node, operands: Sequence[Array]) -> Array:
    return operands[0].reshape(new_shape(node, operands[0].shape, operands[1:]))


def _transpose(node: Node, operands: Sequence[Array]) -> Array:
    order = node.integers("perm", range(operands[0].ndim)[::-1])
    return np.ascontiguousarray(operands[0].transpose(order))


def _concatenate(node: Node, operands: Sequence[Array]) -> Array:
    if sum(operand.size for operand in operands) > _LARGEST:
        raise ValueError(f"the result has more than {_LARGEST} elements")
    return np.concatenate(operands, axis=node.integer("axis", 0))


def _gather(node: Node, operands: Sequence[Array]) -> Array:
    data, indices = operands
    if indices.size > _LARGEST or data.size * max(indices.size, 1) > _LARGEST:
        raise ValueError(f"the result may have more than {_LARGEST} elements")
    return np.take(data, indices, axis=node.integer("axis", 0))


_RULES: dict[str, Callable[[Node, Sequence[Array]], Array]] = {
    "Constant": _constant,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Neg": lambda _, operands: np.negative(operands[0]),
    "Floor": lambda _, operands: np.floor(operands[0]),
    "Identity": lambda _, operands: operands[0],
    "Cast": _cast,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Flatten": _reshape,
    "Transpose": _transpose,
    "Concat": _concatenate,
    "Gather": _gather,
}

FOLDED = frozenset(_RULES)
"""Operators that are computed while a file is read, on constants."""
