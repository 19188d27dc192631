"""Operators on tensors of 8-bit integers, in the arithmetic of their type: sums and products wrap around, as C's do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import i32
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.graph import AddOp, MulOp, RequantOp, SubOp, element_limits
from htvm_ir.frontends.onnx.graph import INT32, Node
from htvm_ir.frontends.onnx.operators import Operator
from htvm_ir.frontends.onnx.qdq.moves import (
    convert_concat,
    convert_copy,
    convert_pad,
    convert_reshape,
    convert_shape,
    convert_slice,
    convert_split,
    convert_transpose,
)
from htvm_ir.frontends.onnx.qdq.spatial import convert_max_pool
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet, element_of
from htvm_ir.frontends.onnx.quantised.quantise import tabulated
from htvm_ir.frontends.onnx.quantised.tensors import Format, Integers

Codes = NDArray[np.int64]

_OPS: Mapping[str, Callable[[SSAValue, SSAValue], Operation]] = {"Add": AddOp, "Sub": SubOp, "Mul": MulOp}
_FUNCTIONS: Mapping[str, Callable[[Codes], Codes]] = {"Abs": np.abs, "Neg": np.negative, "Sign": np.sign}


def _convert_binary(net: QuantisedNet, node: Node) -> None:
    """Add, Sub or Mul: the 32-bit result, wrapped."""
    like = _like(net, node)
    lhs, rhs = (_operand(net, node, index, like) for index in (0, 1))
    wide = net.emit.append(node, _OPS[node.op](lhs, rhs), f"{node.output}.wide")
    source = _wrapped(net, node, wide, like)
    net.define(node, Integers(source, like.shape))


def _wrapped(net: QuantisedNet, node: Node, wide: SSAValue, like: Integers) -> SSAValue:
    """32-bit numbers less the multiple of 256 that brings them into the type of ``like``."""
    low, high = element_limits(element_of(like.source))

    def step(op: Operation, what: str) -> SSAValue:
        return net.emit.append(node, op, f"{node.output}.{what}")

    rounding = "half_up" if low < 0 else "floor"
    turns = step(RequantOp(wide, i32, rounding=rounding, shift=[8], lo=INT32[0], hi=INT32[1]), "turns")
    multiple = step(RequantOp(turns, i32, multiplier=[256], lo=INT32[0], hi=INT32[1]), "multiple")
    rest = step(SubOp(wide, multiple), "rest")
    return net.emit.append(node, RequantOp(rest, element_of(like.source), lo=low, hi=high), node.output)


def _convert_divide(net: QuantisedNet, node: Node) -> None:
    """Div by a constant number, towards zero."""
    divisor = _number(net, node, 1)
    if divisor is None or not isinstance(net.tensors.get(node.operand(0)), Integers):
        raise node.error("divides by more than one constant number; multiply with quantised reciprocals")
    if divisor == 0:
        raise node.error("divides by zero")
    _apply(net, node, lambda x: np.sign(x) * np.sign(divisor) * (np.abs(x) // abs(divisor)))


def _convert_function(net: QuantisedNet, node: Node) -> None:
    """Abs, Neg or Sign; the result wraps."""
    _apply(net, node, _FUNCTIONS[node.op])


def _convert_clip(net: QuantisedNet, node: Node) -> None:
    """Clip with constant bounds, or Relu."""
    like = _like(net, node)
    low, high = element_limits(element_of(like.source))
    bounds = [0, None] if node.op == "Relu" else [_bound(net, node, index) for index in (1, 2)]
    least, most = (given if given is not None else limit for given, limit in zip(bounds, (low, high), strict=True))
    # ONNX: where the lower bound exceeds the upper one, the result is the upper one
    _apply(net, node, lambda x: np.minimum(np.maximum(x, least), most))


def _bound(net: QuantisedNet, node: Node, index: int) -> int | None:
    if not node.operand(index):
        return None
    bound = _number(net, node, index)
    if bound is None:
        raise node.error(f"bound '{node.operand(index)}' must be one constant number")
    return bound


def _convert_extreme(net: QuantisedNet, node: Node) -> None:
    """Max or Min of any number of tensors: ``a + max(b - a, 0)``, which 32 bits hold."""
    like = _like(net, node)
    operands = [_operand(net, node, index, like) for index in range(len(node.inputs))]
    low, high = element_limits(element_of(like.source))
    lo, hi = (0, INT32[1]) if node.op == "Max" else (INT32[0], 0)

    def pair(a: SSAValue, b: tuple[int, SSAValue]) -> SSAValue:
        index, other = b
        name = node.output if index == len(operands) - 1 else f"{node.output}.{index}"
        beyond = net.emit.append(node, SubOp(other, a), f"{name}.difference")
        excess = net.emit.append(node, RequantOp(beyond, i32, lo=lo, hi=hi), f"{name}.excess")
        total = net.emit.append(node, AddOp(a, excess), f"{name}.wide")
        return net.emit.append(node, RequantOp(total, element_of(like.source), lo=low, hi=high), name)

    source = reduce(pair, enumerate(operands[1:], 1), operands[0])
    net.define(node, Integers(source, like.shape, like.format))


def _apply(net: QuantisedNet, node: Node, function: Callable[[Codes], Codes]) -> None:
    """Any function of one tensor, wrapped to its type."""
    x = net.integers(node)
    element = element_of(x.source)
    low, high = element_limits(element)
    results = function(np.arange(low, high + 1))
    codes = (results - low) % 256 + low
    source = tabulated(net, node, x.source, codes, Format(1.0, 0, element), node.output)
    net.define(node, Integers(source, x.shape))


def _like(net: QuantisedNet, node: Node) -> Integers:
    """The first computed operand."""
    found = (net.tensors.get(name) for name in node.inputs)
    return next(x for x in found if isinstance(x, Integers))


def _operand(net: QuantisedNet, node: Node, index: int, like: Integers) -> SSAValue:
    """An operand of the shape and type of ``like``; constants are broadcast."""
    name, element = node.operand(index), element_of(like.source)
    if name in net.graph.constants:
        return net.emit.constant(name, str(like.shape), _broadcast(net, node, name, like))
    x = net.integers(node, index)
    if x.shape != like.shape or element_of(x.source) != element:
        raise node.error(f"operands of shapes {list(like.shape)} and {list(x.shape)} must be alike, and of one type")
    return x.source


def _broadcast(net: QuantisedNet, node: Node, name: str, like: Integers) -> NDArray[Any]:
    values, low = net.graph.constants[name], element_limits(element_of(like.source))[0]
    if values.dtype != (np.int8 if low < 0 else np.uint8):
        raise node.error(f"constant '{name}' holds {values.dtype}, the other operand does not")
    try:
        return np.broadcast_to(values, like.shape)
    except ValueError:
        shapes = f"{list(values.shape)} does not broadcast to {list(like.shape)}"
        raise node.error(f"a constant of shape {shapes}") from None


def _number(net: QuantisedNet, node: Node, index: int) -> int | None:
    """A constant operand of one element."""
    values = net.graph.constants.get(node.operand(index))
    if values is None or values.size != 1 or values.dtype.kind not in "iu":
        return None
    return int(values.reshape(-1)[0])


def _element_wise(
    convert: Callable[[QuantisedNet, Node], None], *becomes: str, limits: str, since: int
) -> Operator[QuantisedNet]:
    return Operator(convert, becomes, limits, computed=None, since=since, host_only=True)


_SAME = "one shape and type, constants broadcast"
_RESHAPE = Operator(convert_reshape, ("reshape",), "shape and axes constant")
_EXTREME = _element_wise(_convert_extreme, "sub", "requant", "add", limits=_SAME, since=8)
_TABLE = Operator(_convert_function, ("lookup",), "wraps")

OPERATORS: Mapping[str, Operator[QuantisedNet]] = {
    "Add": _element_wise(_convert_binary, "add", "requant", "sub", limits=f"{_SAME}; wraps", since=7),
    "Sub": _element_wise(_convert_binary, "sub", "requant", limits=f"{_SAME}; wraps", since=7),
    "Mul": _element_wise(_convert_binary, "mul", "requant", "sub", limits=f"{_SAME}; wraps", since=7),
    "Div": Operator(_convert_divide, ("lookup",), "by a constant number, towards zero", since=7),
    "Max": _EXTREME,
    "Min": _EXTREME,
    "Clip": Operator(_convert_clip, ("requant",), "bounds constant numbers", since=12),
    "Relu": Operator(_convert_clip, ("requant",), since=14),
    "Abs": _TABLE,
    "Neg": _TABLE,
    "Sign": _TABLE,
    "MaxPool": Operator(convert_max_pool, ("pool",), "N, C, (H,) W; no dilation; first result only", since=12),
    "Concat": Operator(convert_concat, ("concat",), "of one type", computed=None),
    "Pad": Operator(convert_pad, ("pad",), "mode constant", since=2),
    "Slice": Operator(convert_slice, ("slice",), "bounds constant, steps positive"),
    "Split": Operator(convert_split, ("slice",), "sizes constant", since=2, has_results=True),
    "Transpose": Operator(convert_transpose, ("transpose",)),
    "Shape": Operator(convert_shape, (), "a constant: every shape is known"),
    "Identity": Operator(convert_copy, ()),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _RESHAPE),
}
"""Operators of the standard domain that have a meaning on integers."""
