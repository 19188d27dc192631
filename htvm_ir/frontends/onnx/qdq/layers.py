"""Conv, MatMul and Gemm on dequantised operands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.graph import Conv2dOp, DenseOp, ReshapeOp, TransposeOp
from htvm_ir.frontends.onnx.accumulate import narrowed
from htvm_ir.frontends.onnx.graph import INT32, Array, Node, Shape
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.quantise import affine
from htvm_ir.frontends.onnx.quantised.tensors import Accumulated, Affine, Integers, Move, Parameter, Real
from htvm_ir.frontends.onnx.shapes import lifted, window

_SAME_SCALE = 1e-5
"""Relative difference up to which a bias' scale is that of the accumulators: it is their product rounded to float32."""


def convert_conv(net: QuantisedNet, node: Node) -> None:
    """Conv in one or two dimensions, grouped or not."""
    layer = convolution(net, node, affine(net, node), parameter(net, node, 1))
    if node.operand(2):
        layer = biased(net, node, layer, node.operand(2))
    net.define(node, layer)


def convolution(net: QuantisedNet, node: Node, x: Affine, weights: Parameter) -> Accumulated:
    """The sums of a convolution of ``x`` with weights [K, C/groups, (FY,) FX], without bias."""
    kernels = weights.centred
    if len(x.shape) == 3 and kernels.ndim == 3:
        return _convolution_1d(net, node, x, weights)
    if kernels.ndim != 4:
        raise node.error(f"weights of shape {list(kernels.shape)}; only 1-D and 2-D convolutions are supported")
    win = window(node, x.shape, kernels.shape[2:])
    groups = node.integer("group", 1)
    if groups < 1 or x.shape[1] != kernels.shape[1] * groups or kernels.shape[0] % groups:
        raise node.error(f"weights {list(kernels.shape)} in {groups} groups do not fit the {x.shape[1]} input channels")
    constant = net.emit.constant(weights.name, "", narrowed(kernels))
    zero_point = x.format.zero_point

    def make(bias: SSAValue | None) -> Operation:
        return Conv2dOp(x.source, constant, bias, win.strides, win.pads, win.dilations, groups, zero_point)

    shape = (1, kernels.shape[0], *win.outputs(x.shape[2:]))
    return _layer(node, make, shape, x, weights, kernels, "gemmlowp")


def _convolution_1d(net: QuantisedNet, node: Node, x: Affine, weights: Parameter) -> Accumulated:
    """As one of two dimensions with height 1."""

    def tall(values: Array) -> Array:
        return values[:, :, None]

    flat = (*x.shape[:2], 1, x.shape[2])
    planar = Move(node, lambda value, _: ReshapeOp(value, flat), flat)
    image = net.moved(x, planar, f"{net.emit.name_of(x.source)}.planar")
    assert isinstance(image, Affine)
    kernels = Parameter(weights.name, *(tall(v) for v in (weights.integers, weights.scale, weights.zero_point)))
    layer = convolution(net, lifted(node), image, kernels)
    shape = (*layer.shape[:2], layer.shape[3])
    return replace(layer, shape=shape, moves=(Move(node, lambda value, _: ReshapeOp(value, shape), shape),))


def convert_matmul(net: QuantisedNet, node: Node) -> None:
    """MatMul of [1, C] with constant weights [C, K]."""
    net.define(node, product(net, node, affine(net, node), parameter(net, node, 1), transposed=False))


def convert_gemm(net: QuantisedNet, node: Node) -> None:
    """Gemm with constant weights and bias; the factors must be 1."""
    check_gemm(node)
    layer = product(net, node, affine(net, node), parameter(net, node, 1), bool(node.integer("transB", 0)))
    if node.operand(2):
        layer = biased(net, node, layer, node.operand(2))
    net.define(node, layer)


def check_gemm(node: Node) -> None:
    """Raises HtvmError for attributes of a Gemm that are not supported."""
    if node.integer("transA", 0):
        raise node.error("transA is not supported; transpose the operand")
    if node.number("alpha", 1.0) != 1 or node.number("beta", 1.0) != 1:
        raise node.error("alpha and beta must be 1; fold them into the weights")


def product(net: QuantisedNet, node: Node, x: Affine, weights: Parameter, transposed: bool) -> Accumulated:
    """The sums of ``x`` [..., C] times weights, [K, C] if ``transposed``, else [C, K]; without bias."""
    rank = len(x.shape)
    if weights.integers.ndim != 2 or rank < 2 or x.shape[-1] != weights.shape[1 if transposed else 0]:
        raise node.error(
            f"operands of shapes {list(x.shape)} and {list(weights.shape)}; only [..., C] times a matrix is supported"
        )
    if not transposed:
        parts = (weights.integers.T, weights.scale.T, weights.zero_point.T)
        weights = Parameter(weights.name, *parts)
    matrix = np.ascontiguousarray(weights.centred)
    if rank > 2 or x.shape[0] > 1:
        return _product_of_rows(net, node, x, weights, matrix)
    constant = net.emit.constant(weights.name, "" if transposed else "transposed", narrowed(matrix))

    def make(bias: SSAValue | None) -> Operation:
        return DenseOp(x.source, constant, bias, x.format.zero_point)

    return _layer(node, make, (1, matrix.shape[0]), x, weights, matrix, "single")


def _product_of_rows(net: QuantisedNet, node: Node, x: Affine, weights: Parameter, matrix: Array) -> Accumulated:
    """A matrix [..., C] times one [K, C] transposed, as the 1x1 convolution whose pixels are the rows."""
    (*rows, depth), outputs = x.shape, len(matrix)
    count = prod(rows)

    def reshape(shape: Shape) -> Move:
        return Move(node, lambda value, _: ReshapeOp(value, shape), shape)

    def transpose(order: Shape, shape: Shape) -> Move:
        return Move(node, lambda value, _: TransposeOp(value, order), shape)

    image: Integers | Real = x
    for move, what in (
        (reshape((1, 1, count, depth)), "rows"),
        (transpose((0, 3, 1, 2), (1, depth, 1, count)), "image"),
    ):
        image = net.moved(image, move, f"{node.output}.{what}")
    assert isinstance(image, Affine)
    source, zero_point = image.source, x.format.zero_point
    constant = net.emit.constant(weights.name, "pointwise", narrowed(matrix.reshape(outputs, depth, 1, 1)))

    def make(bias: SSAValue | None) -> Operation:
        return Conv2dOp(source, constant, bias, (1, 1), (0, 0, 0, 0), zero_point=zero_point)

    shape = (*rows, outputs)
    layer = _layer(node, make, shape, x, weights, matrix, "single")
    return replace(layer, moves=(transpose((0, 2, 3, 1), (1, 1, count, outputs)), reshape(shape)))


def _layer(
    node: Node,
    make: Callable[[SSAValue | None], Operation],
    shape: tuple[int, ...],
    x: Affine,
    weights: Parameter,
    kernels: Array,
    rounding: str,
) -> Accumulated:
    low, high = x.format.limits
    reach = max(high - x.format.zero_point, x.format.zero_point - low)
    extent = np.abs(kernels).reshape(kernels.shape[0], -1).sum(axis=1) * reach
    scale = _per_output(node, weights) * x.format.scale
    return Accumulated(
        shape=shape, node=node, name=node.output, make=make, scale=scale, extent=extent, rounding=rounding
    )


def _per_output(node: Node, weights: Parameter) -> NDArray[np.float64]:
    """The scales of weights [K, ...], [1] or [K]."""
    scale = weights.scale
    if scale.size not in (1, scale.shape[0]):
        raise node.error("the weights must have one scale or one for each output channel")
    return scale.reshape(-1)


def parameter(net: QuantisedNet, node: Node, index: int) -> Parameter:
    """A dequantised constant operand of 8 bits or less."""
    name = node.operand(index)
    tensor = net.tensors.get(name)
    if not isinstance(tensor, Parameter):
        raise node.error(f"the weights '{name}' must be constants of the file behind a DequantizeLinear")
    return tensor


def biased(net: QuantisedNet, node: Node, layer: Accumulated, name: str) -> Accumulated:
    """``layer`` plus its bias operand, constant ``name`` of shape [K] or what broadcasts to [1, K]."""
    if name not in net.graph.constants and not isinstance(net.tensors.get(name), Parameter):
        raise node.error(f"the bias '{name}' must be a constant of the file")
    return shifted(net, node, layer, name, (1, layer.extent.size))


def shifted(net: QuantisedNet, node: Node, layer: Accumulated, name: str, target: Shape) -> Accumulated:
    """``layer`` plus constant ``name``, which broadcasts to ``target`` = [1, K, 1...], in steps of the accumulators."""
    tensor, scale = net.tensors.get(name), layer.scale
    if name in net.graph.constants and net.graph.constants[name].dtype == np.int32:
        steps = _broadcast(node, net.graph.constants[name], target).astype(np.int64)
    elif isinstance(tensor, Parameter):
        ratio = tensor.scale.reshape(-1) / scale
        steps = _broadcast(node, tensor.centred, target)
        steps = steps if np.abs(ratio - 1).max() < _SAME_SCALE else np.rint(steps * ratio)
    else:
        steps = np.rint(_broadcast(node, net.graph.constants[name].astype(np.float64), target) / scale)
    total = steps if layer.bias is None else steps + layer.bias
    if not np.isfinite(total).all() or np.abs(total).max(initial=0) > INT32[1]:
        raise node.error("the bias is beyond int32 in steps of the accumulators; give the weights a larger scale")
    return replace(layer, name=node.output, bias=total.astype(np.int64))


def _broadcast(node: Node, values: Array, target: Shape) -> Array:
    """A bias [K]."""
    try:
        return np.broadcast_to(values, target).reshape(-1)
    except ValueError:
        raise node.error(f"bias of shape {list(values.shape)} does not fit {target[1]} output channels") from None
