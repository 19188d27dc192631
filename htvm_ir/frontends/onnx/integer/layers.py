"""Layers that accumulate: Conv, Gemm, MatMul, and the Mul of each channel, with the Add of a bias behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from xdsl.dialects.builtin import i8
from xdsl.ir import SSAValue

from htvm_ir.dialects.graph import Conv2dOp, DenseOp, ReshapeOp, tensor_type
from htvm_ir.frontends.onnx.accumulate import accumulated_range, bias_of, integer_array, narrowed
from htvm_ir.frontends.onnx.graph import INT8, Array, Node
from htvm_ir.frontends.onnx.integer.elementwise import only_computed, split
from htvm_ir.frontends.onnx.integer.net import IntegerNet, Tensor
from htvm_ir.frontends.onnx.integer.proof import Value
from htvm_ir.frontends.onnx.shapes import lifted, window


def convert_conv(net: IntegerNet, node: Node) -> None:
    """``graph.conv2d`` with weights [K, C/groups, (FY,) FX]; one dimension is two of height 1."""
    x = net.integers(node, node.operand(0))
    weights, rank = _weights(net, node), len(x.shape)
    if rank == weights.ndim == 3:
        node, weights, x = lifted(node), weights[:, :, None], _planar(net, node, x)
    if weights.ndim != 4:
        raise node.error(f"weights of shape {list(weights.shape)}; only 1-D and 2-D convolutions are supported")
    win = window(node, x.shape, weights.shape[2:])
    groups = node.integer("group", 1)
    if x.shape[1] != weights.shape[1] * groups:
        raise node.error(f"weights take {weights.shape[1]} channels in {groups} groups, the input has {x.shape[1]}")
    bias, name = _bias(net, node, weights.shape[0], rank, node.operand(2))
    interval = accumulated_range(node, weights, bias, x.value.interval, padded=any(win.pads))
    op = Conv2dOp(
        x.source,
        net.emit.constant(node.operand(1), "", narrowed(weights)),
        _bias_constant(net, node, bias, node.operand(2)),
        win.strides,
        win.pads,
        win.dilations,
        groups,
    )
    size = win.outputs(x.shape[2:])
    shape = (1, weights.shape[0], *size[4 - rank :])
    net.operation(node, op, Value.integers(*interval), name, shape)


def _planar(net: IntegerNet, node: Node, x: Tensor) -> Tensor:
    """A tensor [1, C, L] as [1, C, 1, L]."""
    shape = (*x.shape[:2], 1, x.shape[2])
    source = net.emit.append(node, ReshapeOp(x.source, shape), f"{x.name}.planar")
    return replace(x, source=source, shape=shape)


def is_channel_scale(net: IntegerNet, node: Node) -> bool:
    """Whether a Mul takes an 8-bit map times a constant integer for each channel, more than one number in all."""
    computed, constants = split(net.graph, node)
    if node.op != "Mul" or len(computed) != 1 or len(constants) != 1:
        return False
    x, array = net.tensors[computed[0]], net.graph.constants[constants[0]]
    is_byte = x.value.is_integer and x.value.fits(*INT8)
    is_map = len(x.shape) == 4 and (x.value.is_rounded or tensor_type(x.source).element_type == i8)
    return array.size > 1 and is_byte and is_map and np.array_equal(array, np.rint(array))


def convert_channel_scale(net: IntegerNet, node: Node) -> None:
    """``graph.conv2d`` with one 1x1 kernel a channel: what follows an analog layer's converters.

    The product and the Add behind it are exact there, and an engine can compute them.
    """
    x = net.integers(node, only_computed(net.graph, node))
    name = split(net.graph, node)[1][0]
    channels = x.shape[1]
    factors = integer_array(node, net.graph.constants[name], "factors")
    factors = bias_of(node, factors, channels, 4).reshape(channels, 1, 1, 1)
    bias, result = _bias(net, node, channels, 4, "")
    interval = accumulated_range(node, factors, bias, x.value.interval, padded=False)
    weights = net.emit.constant(name, "for each channel", narrowed(factors))
    spatial = ((1, 1), (0, 0, 0, 0), (1, 1), channels)
    op = Conv2dOp(x.source, weights, _bias_constant(net, node, bias, ""), *spatial)
    net.operation(node, op, Value.integers(*interval), result)


def convert_gemm(net: IntegerNet, node: Node) -> None:
    """``graph.dense``; the factors of a Gemm must be 1."""
    if node.integer("transA", 0):
        raise node.error("transA is not supported")
    if node.number("alpha", 1.0) != 1 or node.number("beta", 1.0) != 1:
        raise node.error("alpha and beta must be 1 in an integer net; fold them into the weights")
    _convert_dense(net, node, transposed=bool(node.integer("transB", 0)))


def convert_matmul(net: IntegerNet, node: Node) -> None:
    """``graph.dense`` from weights [C, K]."""
    _convert_dense(net, node, transposed=False)


def _convert_dense(net: IntegerNet, node: Node, transposed: bool) -> None:
    """Weights are [K, C] if ``transposed``, else [C, K]."""
    x = net.integers(node, node.operand(0))
    weights = _weights(net, node)
    if len(x.shape) != 2 or weights.ndim != 2:
        raise node.error(
            f"operands of shapes {list(x.shape)} and {list(weights.shape)}; only [1, C] times a matrix is supported"
        )
    weights = weights if transposed else np.ascontiguousarray(weights.T)
    bias, name = _bias(net, node, weights.shape[0], 2, node.operand(2))
    interval = accumulated_range(node, weights, bias, x.value.interval, padded=False)
    form = "" if transposed else "transposed"
    op = DenseOp(
        x.source,
        net.emit.constant(node.operand(1), form, narrowed(weights)),
        _bias_constant(net, node, bias, node.operand(2)),
    )
    net.operation(node, op, Value.integers(*interval), name)


def _weights(net: IntegerNet, node: Node) -> Array:
    return integer_array(node, net.graph.constant(node, 1, "weights"), "weights")


def _bias(net: IntegerNet, node: Node, channels: int, rank: int, operand: str) -> tuple[Array | None, str]:
    """The bias of a layer, Add nodes that follow it included, and the name of the last sum."""
    bias = None
    if operand:
        bias = bias_of(node, net.graph.constant(node, 2, "bias"), channels, rank)
    name = node.output
    while (term := _following_term(net, name)) is not None:
        reader, array = term
        extra = bias_of(reader, array, channels, rank)
        bias = extra if bias is None else bias + extra
        name = reader.output
        net.handled.add(name)
    return bias, name


def _following_term(net: IntegerNet, name: str) -> tuple[Node, Array] | None:
    """The Add of integer constants that alone reads ``name``, and the constants."""
    reader = net.graph.sole_reader(name)
    if reader is None or reader.op != "Add" or reader.domain or len(reader.inputs) != 2:
        return None
    other = reader.inputs[1] if reader.inputs[0] == name else reader.inputs[0]
    array = net.graph.constants.get(other)
    if array is None or not np.array_equal(array, np.rint(array)):
        return None
    return reader, array


def _bias_constant(net: IntegerNet, node: Node, bias: Array | None, operand: str) -> SSAValue | None:
    if bias is None:
        return None
    kept = integer_array(node, bias, "bias values").astype(np.int32)
    return net.emit.constant(operand or f"{node.output}.bias", f"bias of {node.output}", kept)
