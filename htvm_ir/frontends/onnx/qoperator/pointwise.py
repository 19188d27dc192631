"""com.microsoft's operators on 8-bit tensors: each is its float operator between two formats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from htvm_ir.frontends.onnx.graph import Node
from htvm_ir.frontends.onnx.qdq.boundaries import define_quantised
from htvm_ir.frontends.onnx.qdq.elementwise import combined, constant_operand
from htvm_ir.frontends.onnx.qdq.moves import joined
from htvm_ir.frontends.onnx.qdq.spatial import average, reduced_mean
from htvm_ir.frontends.onnx.qoperator.layers import dequantised
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.tables import apply
from htvm_ir.frontends.onnx.quantised.tensors import Affine, Parameter, Tail


def convert_binary(net: QuantisedNet, node: Node) -> None:
    """QLinearAdd or QLinearMul(a, scale, zero, b, scale, zero, y scale, y zero); one of a and b may be constant."""
    constants = [node.operand(index) in net.graph.constants for index in (0, 3)]
    if all(constants):
        raise node.error("both operands are constants; fold them before quantising")
    computed = [None if fixed else dequantised(net, node, i) for fixed, i in zip(constants, (0, 3), strict=True)]
    shape = next(x.shape for x in computed if x is not None)
    lhs, rhs = (_constant(net, node, i, shape) if x is None else x for x, i in zip(computed, (0, 3), strict=True))
    kind = "add" if node.op == "QLinearAdd" else "mul"
    define_quantised(net, node, combined(node, lhs, rhs, kind), net.format(node, 6, 7))


def _constant(net: QuantisedNet, node: Node, index: int, shape: tuple[int, ...]) -> Affine:
    form = net.format(node, index + 1, index + 2)
    integers = net.graph.constants[node.operand(index)].astype(np.int64)
    rank = (1,) * integers.ndim
    scale, zero_point = np.full(rank, form.scale), np.full(rank, form.zero_point)
    return constant_operand(net, node, Parameter(node.operand(index), integers, scale, zero_point), shape)


def convert_average(net: QuantisedNet, node: Node) -> None:
    """QLinearAveragePool or QLinearGlobalAveragePool(x, scale, zero, y scale, y zero)."""
    if node.integer("channels_last", 0):
        raise node.error("channels_last is not supported; export the model with channels first")
    pool = replace(node, op=node.op.removeprefix("QLinear"))
    define_quantised(net, node, average(net, pool, dequantised(net, node, 0)), net.format(node, 3, 4))


def convert_reduce_mean(net: QuantisedNet, node: Node) -> None:
    """QLinearReduceMean(x, scale, zero, y scale, y zero)."""
    define_quantised(net, node, reduced_mean(net, node, dequantised(net, node, 0)), net.format(node, 3, 4))


def convert_concat(net: QuantisedNet, node: Node) -> None:
    """QLinearConcat(y scale, y zero, then tensor, scale, zero for each operand)."""
    parts = [dequantised(net, node, index) for index in range(2, len(node.inputs), 3)]
    define_quantised(net, node, joined(net, node, parts), net.format(node, 0, 1))


def convert_function(net: QuantisedNet, node: Node) -> None:
    """QLinearSigmoid or QLinearLeakyRelu(x, scale, zero, y scale, y zero)."""
    table = dequantised(net, node, 0).table()
    function = replace(node, op=node.op.removeprefix("QLinear"))
    define_quantised(net, node, table.mapped(apply(function, table.values)), net.format(node, 3, 4))


def convert_softmax(net: QuantisedNet, node: Node) -> None:
    """QLinearSoftmax at the end of the network."""
    source = dequantised(net, node, 0)
    net.define(node, Tail(source, (str(node),), source.shape))
