"""Layers on 8-bit operands: QLinearConv, QLinearMatMul, QGemm, and those that give 32-bit sums."""

from __future__ import annotations

import numpy as np

from htvm_ir.frontends.onnx.graph import Array, Node
from htvm_ir.frontends.onnx.qdq.boundaries import define_quantised
from htvm_ir.frontends.onnx.qdq.layers import biased, check_gemm, convolution, product
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet, element_of
from htvm_ir.frontends.onnx.quantised.tensors import Affine, Format, Parameter


def convert_conv(net: QuantisedNet, node: Node) -> None:
    """QLinearConv(x, scale, zero, w, scale, zero, y scale, y zero, bias)."""
    x = dequantised(net, node, 0)
    layer = convolution(net, node, x, _weights(net, node, 3, axis=0))
    if node.operand(8):
        layer = biased(net, node, layer, node.operand(8))
    define_quantised(net, node, layer, net.format(node, 6, 7))


def convert_matmul(net: QuantisedNet, node: Node) -> None:
    """QLinearMatMul(a, scale, zero, b, scale, zero, y scale, y zero) with constant b."""
    layer = product(net, node, dequantised(net, node, 0), _weights(net, node, 3, axis=1), transposed=False)
    define_quantised(net, node, layer, net.format(node, 6, 7))


def convert_gemm(net: QuantisedNet, node: Node) -> None:
    """QGemm(a, scale, zero, b, scale, zero, bias, y scale, y zero); without y scale the result is float."""
    check_gemm(node)
    is_transposed = bool(node.integer("transB", 0))
    weights = _weights(net, node, 3, axis=0 if is_transposed else 1)
    layer = product(net, node, dequantised(net, node, 0), weights, is_transposed)
    if node.operand(6):
        layer = biased(net, node, layer, node.operand(6))
    if node.operand(7):
        define_quantised(net, node, layer, net.format(node, 7, 8))
    else:
        net.define(node, layer)


def convert_conv_integer(net: QuantisedNet, node: Node) -> None:
    """ConvInteger(x, w, x zero, w zero): sums of scale 1."""
    net.define(node, convolution(net, node, _unscaled(net, node), _unscaled_weights(net, node, 0)))


def convert_matmul_integer(net: QuantisedNet, node: Node) -> None:
    """MatMulInteger(a, b, a zero, b zero) with constant b: sums of scale 1."""
    net.define(node, product(net, node, _unscaled(net, node), _unscaled_weights(net, node, 1), transposed=False))


def dequantised(net: QuantisedNet, node: Node, index: int) -> Affine:
    """Operand ``index`` with the scale and zero point that follow it."""
    x = net.integers(node, index)
    return net.dequantised(node, x, net.format(node, index + 1, index + 2, element_of(x.source)))


def _weights(net: QuantisedNet, node: Node, index: int, axis: int) -> Parameter:
    """Constant weights with the scales and zero points that follow them, one or one for each index of ``axis``."""
    integers = net.graph.constant(node, index, "weights")
    scale = net.graph.constant(node, index + 1, "scale of the weights")
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise node.error("the scales of the weights must be positive numbers")
    zero = net.graph.constant(node, index + 2, "zero point of the weights") if node.operand(index + 2) else None
    return _parameter(net, node, index, integers, (scale, zero), axis)


def _parameter(
    net: QuantisedNet, node: Node, index: int, integers: Array, scaling: tuple[Array, Array | None], axis: int
) -> Parameter:
    if str(integers.dtype) not in ("int8", "uint8"):
        raise node.error(f"the weights hold {integers.dtype}, not int8 or uint8")
    scale, zero = scaling
    kinds = (np.float64, np.int64)
    parts = [
        _along(node, values.astype(kind), integers.shape, axis)
        for values, kind in zip((scale, np.zeros(1) if zero is None else zero), kinds, strict=True)
    ]
    return Parameter(node.operand(index), integers.astype(np.int64), *parts)


def _along(node: Node, values: Array, shape: tuple[int, ...], axis: int) -> Array:
    if values.size not in (1, shape[axis]):
        raise node.error(f"the weights have {shape[axis]} output channels, but {values.size} scales or zero points")
    return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _unscaled(net: QuantisedNet, node: Node) -> Affine:
    x = net.integers(node, 0)
    zero = net.graph.constant(node, 2, "zero point") if node.operand(2) else np.zeros(1, np.int64)
    if zero.size != 1:
        raise node.error("the operand must have one zero point")
    return Affine(shape=x.shape, source=x.source, format=Format(1.0, int(zero.reshape(-1)[0]), element_of(x.source)))


def _unscaled_weights(net: QuantisedNet, node: Node, axis: int) -> Parameter:
    integers = net.graph.constant(node, 1, "weights")
    zero = net.graph.constant(node, 3, "zero point of the weights") if node.operand(3) else None
    return _parameter(net, node, 1, integers, (np.ones(1), zero), axis)
