"""Element-wise operators on real numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import i8

from htvm_ir.frontends.onnx.graph import Array, Node
from htvm_ir.frontends.onnx.qdq.layers import shifted
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet, ui8
from htvm_ir.frontends.onnx.quantised.quantise import affine
from htvm_ir.frontends.onnx.quantised.tables import apply, finite
from htvm_ir.frontends.onnx.quantised.tensors import (
    Accumulated,
    Affine,
    Combined,
    Format,
    Parameter,
    Pending,
    Real,
    Table,
)

_KINDS = {"Add": "add", "Sub": "sub", "Mul": "mul"}


def convert_function(net: QuantisedNet, node: Node) -> None:
    """A function of one number, as a table."""
    x = _table(net, node, net.real(node))
    net.define(node, x.mapped(apply(node, x.values)))


def convert_clip(net: QuantisedNet, node: Node) -> None:
    """Relu, Clip, and Max or Min with a number."""
    names = [name for name in node.inputs if name]
    computed = [i for i, name in enumerate(node.inputs) if name and _number(net, name) is None]
    if len(computed) != 1 or (node.op == "Clip" and computed != [0]):
        raise node.error(f"needs one operand that is computed and bounds that are numbers, has {len(names)} operands")
    low, high = _bounds(net, node)
    net.define(node, clipped(net.real(node, computed[0]), low, high))


def clipped(real: Real, low: float, high: float) -> Real:
    """``min(max(real, low), high)``."""
    if isinstance(real, Pending):
        return real.clipped(low, high)
    table = real.table() if isinstance(real, Affine) else real
    return table.mapped(np.minimum(np.maximum(table.values, low), high))


def _bounds(net: QuantisedNet, node: Node) -> tuple[float, float]:
    if node.op == "Relu":
        return 0.0, np.inf
    if node.op == "Clip":
        low = node.number("min", -np.inf) if not node.operand(1) else _number(net, node.operand(1))
        high = node.number("max", np.inf) if not node.operand(2) else _number(net, node.operand(2))
        assert low is not None and high is not None
        return low, high
    values = [value for name in node.inputs if (value := _number(net, name)) is not None]
    if node.op == "Max":
        return max(values, default=-np.inf), np.inf
    return -np.inf, min(values, default=np.inf)


def _number(net: QuantisedNet, name: str) -> float | None:
    """A constant of one element, dequantised if need be."""
    tensor = net.tensors.get(name)
    values = tensor.reals if isinstance(tensor, Parameter) else net.graph.constants.get(name)
    if values is None or values.size != 1 or values.dtype.kind not in "iuf":
        return None
    number = float(values.reshape(-1)[0])
    return None if np.isnan(number) else number


def convert_binary(net: QuantisedNet, node: Node) -> None:
    """Add, Sub, Mul or Div of two tensors, of a tensor and a number, or of a layer and its bias or factor."""
    if len(node.inputs) != 2:
        raise node.error(f"needs two operands, has {len(node.inputs)}")
    constants = [_is_constant(net, name) for name in node.inputs]
    if all(constants):
        raise node.error("both operands are constants; fold them before quantising")
    if any(constants):
        _with_constant(net, node, constants.index(True))
        return
    a, b = net.real(node, 0), net.real(node, 1)
    if _is_one_table(net, a, b):
        left, right = _table(net, node, a), _table(net, node, b)
        net.define(node, left.mapped(_arithmetic(node, left.values, right.values)))
        return
    net.define(node, combined(node, affine(net, node, 0), affine(net, node, 1)))


def _is_one_table(net: QuantisedNet, a: Real, b: Real) -> bool:
    """Whether two operands are functions of one tensor; TFLite computes with its integers where there are such."""
    if not (isinstance(a, Affine | Table) and isinstance(b, Affine | Table)):
        return False
    has_integers = isinstance(a, Affine) and isinstance(b, Affine)
    return a.source == b.source and a.shape == b.shape and not (net.follows_tflite and has_integers)


def combined(node: Node, lhs: Affine, rhs: Affine, op: str | None = None) -> Combined:
    """Two tensors of one shape, added, subtracted or multiplied."""
    kind = op or _KINDS.get(node.op)
    if kind is None:
        raise node.error("division by a computed tensor is not supported; multiply with the reciprocal")
    if lhs.shape != rhs.shape:
        raise node.error(f"operands of shapes {list(lhs.shape)} and {list(rhs.shape)} must be alike")
    return Combined(shape=lhs.shape, op=kind, lhs=lhs, rhs=rhs)


def _is_constant(net: QuantisedNet, name: str) -> bool:
    return name in net.graph.constants or isinstance(net.tensors.get(name), Parameter)


def _with_constant(net: QuantisedNet, node: Node, index: int) -> None:
    """``index`` is that of the constant operand."""
    real, name = net.real(node, 1 - index), node.inputs[index]
    if isinstance(real, Accumulated):
        net.define(node, _on_layer(net, node, real, index))
        return
    number = _number(net, name)
    if number is None:
        constant = constant_affine(net, node, index, real.shape)
        x = affine(net, node, 1 - index)
        net.define(node, combined(node, constant, x) if index == 0 else combined(node, x, constant))
        return
    x = _table(net, node, real)
    if np.ndim(net.array(node, index, "operand")) > len(x.shape):
        raise node.error(f"constant '{name}' has more dimensions than the operand")
    other = np.float32(number)
    pair = (other, x.values) if index == 0 else (x.values, other)
    net.define(node, x.mapped(_arithmetic(node, *pair)))


def _arithmetic(node: Node, a: Any, b: Any) -> NDArray[Any]:
    """In float32, as the float operator computes it."""
    functions = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
    with np.errstate(all="ignore"):
        return finite(node, functions[node.op](a, b, dtype=np.float32))


def _on_layer(net: QuantisedNet, node: Node, layer: Accumulated, index: int) -> Accumulated:
    """A bias, or a positive factor, behind a layer; ``index`` is that of the constant operand."""
    if layer.moves or layer.is_clipped:
        raise node.error("comes behind a clip or reshape of a layer that is not quantised yet; move it before them")
    channels = layer.extent.size
    target = (1, channels) + (1,) * (len(layer.shape) - 2)
    name = node.inputs[index]
    if node.op == "Add":
        return shifted(net, node, layer, name, target)
    values = net.array(node, index, "factor").astype(np.float64)
    if node.op == "Sub" or (node.op == "Div" and index == 0):
        raise node.error("is not supported between a layer and its QuantizeLinear; quantise the layer's result")
    try:
        factor = np.broadcast_to(values, target).reshape(-1) if values.size > 1 else values.reshape(-1)
    except ValueError:
        raise node.error(f"a factor of shape {list(values.shape)} does not fit {channels} output channels") from None
    if not (factor > 0).all():
        raise node.error("the factors behind a layer must be positive; fold them into the weights")
    return replace(layer, scale=layer.scale * factor if node.op == "Mul" else layer.scale / factor)


def constant_affine(net: QuantisedNet, node: Node, index: int, shape: tuple[int, ...]) -> Affine:
    """A dequantised constant of 8 bits, broadcast to ``shape``."""
    tensor = net.tensors.get(node.inputs[index])
    if not isinstance(tensor, Parameter) or tensor.scale.size != 1:
        raise node.error(f"constant '{node.inputs[index]}' must be 8-bit integers of one scale behind DequantizeLinear")
    return constant_operand(net, node, tensor, shape)


def constant_operand(net: QuantisedNet, node: Node, constant: Parameter, shape: tuple[int, ...]) -> Affine:
    """``constant`` as a tensor of ``shape``."""
    low, high = int(constant.integers.min()), int(constant.integers.max())
    zero_point = int(constant.zero_point.reshape(-1)[0])
    is_signed = low < 0 or zero_point < 0
    dtype = np.dtype(np.int8 if is_signed else np.uint8)
    limits = np.iinfo(dtype)
    if low < limits.min or high > limits.max:
        raise node.error(f"constant '{constant.name}' does not fit 8 bits; quantise it to int8 or uint8")
    try:
        values: Array = np.broadcast_to(constant.integers, shape).astype(dtype)
    except ValueError:
        raise node.error(f"a constant of shape {list(constant.shape)} does not broadcast to {list(shape)}") from None
    source = net.emit.constant(constant.name, str(shape), values)
    form = Format(float(constant.scale.reshape(-1)[0]), zero_point, i8 if is_signed else ui8)
    return Affine(shape=shape, source=source, format=form)


def _table(net: QuantisedNet, node: Node, real: Real) -> Table:
    if isinstance(real, Affine):
        return real.table()
    if isinstance(real, Table):
        return real
    raise node.error("its operand has no 8-bit integers; put QuantizeLinear and DequantizeLinear before it")
