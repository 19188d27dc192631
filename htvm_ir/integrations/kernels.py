"""One operator with its requantisation, read from the calls of another compiler's graph.

The calls have the names that Relay and Relax share (see ``forms``). What follows the operator, element by element
and with constants only, becomes one requantisation, wherever that provably gives the same integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.integrations.requantisation import Refused, Requantisation, limits

Array = NDArray[Any]

KINDS = {"conv2d": "conv2d", "matmul": "dense", "dense": "dense", "add": "add"}
"""Calls that are operators of engines, and the kind of workload they are; a sum only if no operand is constant."""


@dataclass(frozen=True, eq=False)
class Activation:
    """A tensor computed outside of the kernel; one object stands for one tensor."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor known at compile time."""

    array: Array


@dataclass(frozen=True, eq=False)
class Call:
    """An operator on nodes; ``attributes`` hold what is no tensor, under the names of Relay and Relax."""

    op: str
    arguments: tuple[Node, ...]
    shape: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])


Node = Activation | Constant | Call


@dataclass(frozen=True, eq=False)
class Kernel:
    """What one kernel computes.

    kind: of the workload. activations: its operands. weights: [K, C/groups, FY, FX] or [K, C]; None for a sum.
    pads: top, left, bottom, right. shape: of the result.
    """

    kind: str
    activations: tuple[Activation, ...]
    shape: tuple[int, ...]
    requant: Requantisation
    weights: Array | None = None
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


def read_kernel(root: Call) -> Kernel:
    """The kernel whose last call is ``root``.

    Raises:
        Refused: it is none, or not provably exact; says why.
    """
    chain: list[Call] = []
    node: Node = root
    while isinstance(node, Call) and not _is_operator(node):
        chain.append(node)
        node = _followed(node)
    if not isinstance(node, Call):
        raise Refused(f"{root.op} does not end a convolution, dense layer or sum")
    kernel = _operator(node)
    for call in reversed(chain):
        kernel.requant.apply(call.op, call.dtype, _constant_operand(call), call.attributes)
    kernel.requant.finish()
    return kernel


def _is_operator(call: Call) -> bool:
    return call.op in KINDS and not (call.op == "add" and any(isinstance(a, Constant) for a in call.arguments))


def _followed(call: Call) -> Node:
    """The operand of an element by element call that is no constant."""
    computed = [a for a in call.arguments if not isinstance(a, Constant)]
    if len(computed) != 1:
        raise Refused(f"{call.op} of {len(computed)} tensors is not part of a requantisation")
    return computed[0]


def _constant_operand(call: Call) -> Array | None:
    found = [a.array for a in call.arguments if isinstance(a, Constant)]
    return found[0] if found else None


def _operator(call: Call) -> Kernel:
    kind = KINDS[call.op]
    if call.dtype != "int32" and not (kind == "add" and call.dtype in ("int16", "int64")):
        raise Refused(f"{call.op} gives {call.dtype}; engines accumulate in int32 (out_dtype, or widen the operands)")
    if kind == "add":
        first, second = (_activation(a) for a in call.arguments)
        if first.shape != second.shape:
            raise Refused(f"a sum of shapes {list(first.shape)} and {list(second.shape)}; they must be equal")
        ends = [sum(pair) for pair in zip(limits(first.dtype), limits(second.dtype), strict=True)]
        return Kernel("add", (first, second), call.shape, Requantisation(None, len(call.shape), (ends[0], ends[1])))
    activation, weights = _activation(call.arguments[0]), _weights(call.arguments[1])
    if call.op == "matmul":
        weights = weights.T
    if kind == "dense" and (weights.ndim != 2 or len(activation.shape) != 2):
        raise Refused("a product of other than a matrix of activations and one of weights")
    requant = Requantisation(len(weights), len(call.shape), _sums(weights, activation.dtype))
    options = _geometry(call) if kind == "conv2d" else {}
    return Kernel(kind, (activation,), call.shape, requant, np.ascontiguousarray(weights), **options)


def _activation(node: Node) -> Activation:
    """An operand, with or without widening, which changes no integer."""
    if isinstance(node, Call) and node.op == "cast":
        inner = _activation(node.arguments[0])
        (low, high), (least, most) = limits(inner.dtype), limits(node.dtype)
        if least <= low and high <= most:
            return inner
    if not isinstance(node, Activation):
        raise Refused("an operand that is neither a tensor of the network nor one widened")
    return node


def _weights(node: Node) -> Array:
    match node:
        case Constant(array):
            return array
        case Call("cast", (Constant(array),)):
            return array.astype(node.dtype)
        case Call("transpose", (inner,)) if not node.attributes.get("axes") or tuple(node.attributes["axes"]) == (1, 0):
            return _weights(inner).T
        case _:
            raise Refused("the weights are not constant; engines take weights that are packed at compile time")


def _sums(weights: Array, dtype: str) -> tuple[int, int]:
    """The least and greatest sum of a window; one that could wrap can be anything."""
    rows = weights.reshape(len(weights), -1).astype(np.int64)
    products = np.stack([rows * end for end in limits(dtype)])
    return int(products.min(0).sum(1).min()), int(products.max(0).sum(1).max())


def _geometry(call: Call) -> dict[str, Any]:
    given = call.attributes
    layouts = (given.get("data_layout", "NCHW"), given.get("kernel_layout", "OIHW"))
    if layouts != ("NCHW", "OIHW") or given.get("out_layout") not in ("", None, "NCHW"):
        raise Refused(f"layouts {layouts[0]} and {layouts[1]}; convert the network to NCHW and OIHW before")
    pads = tuple(int(n) for n in given.get("padding", (0,)))
    return {
        "strides": tuple(int(n) for n in given.get("strides", (1, 1))),
        "pads": {1: pads * 4, 2: pads * 2}.get(len(pads), pads),
        "dilations": tuple(int(n) for n in given.get("dilation", (1, 1))),
        "groups": int(given.get("groups", 1)),
    }
