"""Pools, means, and nodes that change or read the shape."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from htvm_ir.dialects.graph import PoolOp, ReshapeOp, TransposeOp, shape_of
from htvm_ir.frontends.onnx.graph import Node
from htvm_ir.frontends.onnx.integer.net import IntegerNet, Tensor
from htvm_ir.frontends.onnx.shapes import Window, global_window, new_shape_in, pool_window


def convert_average(net: IntegerNet, node: Node) -> None:
    """AveragePool or GlobalAveragePool: a mean, until its Floor makes it a pool."""
    x = net.integers(node, node.operand(0))
    win = pool_window(node, x.shape)
    shape = (*x.shape[:2], *win.outputs(x.shape[2:]))
    net.derive(node, replace(x, shape=shape, mean=win))


def convert_reduce_mean(net: IntegerNet, node: Node) -> None:
    """ReduceMean over height and width."""
    x = net.integers(node, node.operand(0))
    axes = node.integers("axes", ())
    if node.operand(1):
        axes = tuple(int(v) for v in net.graph.constant(node, 1, "axes").reshape(-1))
    if len(x.shape) != 4 or {axis % 4 for axis in axes} != {2, 3}:
        raise node.error("only the mean over height and width of N, C, H, W is supported")
    shape = (*x.shape[:2], 1, 1) if node.integer("keepdims", 1) else x.shape[:2]
    net.derive(node, replace(x, shape=shape, mean=global_window(x.shape)))


def floor_of_mean(net: IntegerNet, node: Node, x: Tensor, win: Window) -> Tensor:
    """A pool, and a reshape if one lies between the mean and ``node``, its Floor."""
    half = x.value.offsets[0] % 1
    if not x.value.is_uniform or half not in (0, Fraction(1, 2)) or x.value.scale != 1:
        raise node.error(f"'{x.name}' must be an average, or one plus 1/2, without a factor")
    rounding = "half_up" if half else "floor"
    op = PoolOp("average", x.source, win.kernel, win.strides, win.pads, rounding)
    source = net.emit.append(node, op, node.output)
    if x.shape != shape_of(source):
        source = net.emit.append(node, ReshapeOp(source, x.shape), node.output)
    value = replace(x.value.floor(), offsets=(x.value.offset - half,), floored=False)
    return Tensor(node.output, source, value, x.shape)


def convert_max_pool(net: IntegerNet, node: Node) -> None:
    """MaxPool or GlobalMaxPool."""
    x = net.integers(node, node.operand(0))
    win = pool_window(node, x.shape)
    op = PoolOp("max", x.source, win.kernel, win.strides, win.pads, "floor")
    net.operation(node, op, x.value)


def convert_reshape(net: IntegerNet, node: Node) -> None:
    """Reshape, Flatten, Squeeze or Unsqueeze."""
    x = net.operand(node)
    shape = new_shape_in(net.graph, node, x.shape)
    if x.mean is not None or shape == x.shape:
        net.derive(node, replace(x, shape=shape))
        return
    if x.value.floored:
        x = net.integers(node, x.name)
    source = net.emit.append(node, ReshapeOp(x.source, shape), node.output)
    net.derive(node, replace(x, source=source, shape=shape))


def convert_transpose(net: IntegerNet, node: Node) -> None:
    """Transpose."""
    x = net.operand(node)
    order = node.integers("perm", range(len(x.shape))[::-1], len(x.shape))
    if sorted(order) != list(range(len(x.shape))):
        raise node.error(f"perm {list(order)} does not fit rank {len(x.shape)}")
    if x.mean is not None:
        raise node.error(f"'{x.name}' is an average; add a Floor before it is transposed")
    if x.value.floored or x.value.truncated or not x.value.is_uniform or shape_of(x.source) != x.shape:
        x = net.integers(node, x.name)
    source = net.emit.append(node, TransposeOp(x.source, order), node.output)
    net.derive(node, replace(x, source=source, shape=shape_of(source)))


def convert_shape(net: IntegerNet, node: Node) -> None:
    """Shape: a constant, since every shape is known."""
    shape = net.operand(node).shape
    part = shape[node.integer("start", 0) : node.integer("end", len(shape))]
    net.graph.constants[node.output] = np.array(part, np.int64)
