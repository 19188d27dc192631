"""QuantizeLinear and DequantizeLinear, of activations and of constants."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import IntegerType, i8, i32

from htvm_ir.dialects.graph import tensor_type
from htvm_ir.frontends.onnx.graph import Array, Node
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet, ui8
from htvm_ir.frontends.onnx.quantised.quantise import quantise
from htvm_ir.frontends.onnx.quantised.tensors import Affine, Format, Integers, Parameter, Real, Tail

_ELEMENTS = {2: ui8, 3: i8}
"""onnx.TensorProto.DataType UINT8 and INT8."""


def convert_quantize(net: QuantisedNet, node: Node) -> None:
    """QuantizeLinear of an expression, which ends it, or of a constant."""
    name = node.operand(0)
    if name in net.graph.constants:
        _quantize_constant(net, node)
        return
    tensor = net.tensors.get(name)
    form = net.format(node, 1, 2, _stated(node))
    if isinstance(tensor, Tail):
        net.define(node, Tail(tensor.source, tensor.operators, tensor.shape))
        return
    define_quantised(net, node, net.real(node), form)


def define_quantised(net: QuantisedNet, node: Node, real: Real, form: Format) -> None:
    """Makes the integers of ``real`` the result of ``node``."""
    source = quantise(net, node, real, form, node.output)
    net.define(node, Integers(source, real.shape, form))


def _stated(node: Node) -> IntegerType | None:
    kind = node.integer("output_dtype", 0)
    if kind and kind not in _ELEMENTS:
        raise node.error("quantises to another type than int8 or uint8; only these are supported")
    return _ELEMENTS.get(kind)


def convert_dequantize(net: QuantisedNet, node: Node) -> None:
    """DequantizeLinear of an 8-bit tensor, of accumulators, or of a constant."""
    name = node.operand(0)
    if name in net.graph.constants or isinstance(net.tensors.get(name), Parameter):
        _dequantize_constant(net, node)
        return
    tensor = net.tensors.get(name)
    if isinstance(tensor, Tail):
        net.define(node, tensor)
        return
    integers = net.integers(node)
    element = tensor_type(integers.source).element_type
    if element == i32:
        raise node.error("dequantises int32 sums; use Cast and Mul, or quantise the layer")
    assert isinstance(element, IntegerType)
    form = net.format(node, 1, 2, element)
    known = net.dequantised(node, integers, form)
    net.define(node, Affine(shape=known.shape, source=known.source, format=form))


def _quantize_constant(net: QuantisedNet, node: Node) -> None:
    """The integers of float weights that the file quantises itself."""
    values = net.graph.constants[node.operand(0)]
    scale, zero_point = _per_axis(net, node, values.ndim)
    kind = net.graph.constants[node.operand(2)].dtype if node.operand(2) else np.dtype(np.uint8)
    limits = np.iinfo(kind)
    codes = np.rint(values.astype(np.float32) / scale.astype(np.float32)) + zero_point
    net.graph.constants[node.output] = np.clip(codes, limits.min, limits.max).astype(kind)


def _dequantize_constant(net: QuantisedNet, node: Node) -> None:
    name = node.operand(0)
    integers = net.graph.constants[name]
    if integers.dtype.kind not in "iu":
        raise node.error(f"constant '{name}' holds {integers.dtype}, not integers")
    scale, zero_point = _per_axis(net, node, integers.ndim)
    net.define(node, Parameter(name, integers.astype(np.int64), scale, zero_point))


def _per_axis(net: QuantisedNet, node: Node, rank: int) -> tuple[Array, Array]:
    """Scale (float64) and zero point (int64) of a constant, with its rank."""
    scale = net.graph.constant(node, 1, "scale").astype(np.float64)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise node.error("the scales must be positive numbers")
    if node.operand(2):
        zero_point = net.graph.constant(node, 2, "zero point").astype(np.int64)
    else:
        zero_point = np.zeros(scale.shape, np.int64)
    if scale.size == 1 and zero_point.size == 1:
        return scale.reshape((1,) * rank), zero_point.reshape((1,) * rank)
    axis = node.integer("axis", 1)
    if node.integer("block_size", 0) or scale.ndim != 1 or not -rank <= axis < rank:
        raise node.error("scales of constants must be one, or one for each index of an axis")
    shape = [1] * rank
    shape[axis] = -1
    return scale.reshape(shape), np.broadcast_to(zero_point, scale.shape).reshape(shape)
