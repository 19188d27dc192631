"""Element-wise nodes: they extend the expression of a tensor, a residual Add excepted."""

from __future__ import annotations

from dataclasses import replace

from htvm_ir.dialects.graph import AddOp
from htvm_ir.frontends.onnx.graph import INT32, Node
from htvm_ir.frontends.onnx.integer.elementwise import (
    INTEGERS,
    clip_bounds,
    factors,
    keeps,
    numbers,
    only_computed,
    scaled,
    split,
)
from htvm_ir.frontends.onnx.integer.layers import convert_channel_scale, is_channel_scale
from htvm_ir.frontends.onnx.integer.net import IntegerNet, Tensor
from htvm_ir.frontends.onnx.integer.proof import Value
from htvm_ir.frontends.onnx.integer.spatial import floor_of_mean
from htvm_ir.frontends.onnx.operators import check_inference


def convert_add(net: IntegerNet, node: Node) -> None:
    """``graph.add`` of two tensors; a constant number joins the expression of the other operand."""
    computed, constants = split(net.graph, node)
    if len(computed) + len(constants) != 2:
        raise node.error(f"needs two operands, has {len(node.inputs)}")
    if len(computed) == 2:
        _convert_residual(net, node)
        return
    x = _extended(net, node)
    terms = numbers(net.graph, node, constants[0], x.shape)
    if not x.value.adds(terms):
        x = net.integers(node, x.name)
    net.derive(node, replace(x, value=x.value.plus(*terms)))


def _convert_residual(net: IntegerNet, node: Node) -> None:
    a, b = (net.integers(node, name) for name in node.inputs)
    if a.shape != b.shape:
        raise node.error(f"operands of shapes {list(a.shape)} and {list(b.shape)} must be alike")
    (a_low, a_high), (b_low, b_high) = a.value.interval, b.value.interval
    low, high = a_low + b_low, a_high + b_high
    if low < INT32[0] or high > INT32[1]:
        raise node.error(f"the sum may span {low} to {high}, beyond int32; clip its operands")
    net.operation(node, AddOp(a.source, b.source), Value.integers(low, high))


def convert_factor(net: IntegerNet, node: Node) -> None:
    """Mul or Div with a number, or with one for each channel."""
    if is_channel_scale(net, node):
        convert_channel_scale(net, node)
        return
    x = _extended(net, node)
    if not x.value.scales_by(factors(net.graph, node, x.shape)):
        x = net.integers(node, x.name)
    net.derive(node, replace(x, value=scaled(net.graph, node, x.value, x.shape)))


def convert_clip(net: IntegerNet, node: Node) -> None:
    """Max, Min, Clip or Relu."""
    x = _extended(net, node)
    low, high = clip_bounds(net.graph, node)
    if x.value.floored:
        # a fractional bound may only be one that no integer in range reaches
        low = None if low is not None and low <= x.value.low and low.denominator != 1 else low
        high = None if high is not None and high >= x.value.high and high.denominator != 1 else high
        for bound in (low, high):
            if bound is not None and bound.denominator != 1:
                raise node.error(f"clips integers at {float(bound):g}, which is no integer")
    net.derive(node, replace(x, value=x.value.clipped(low, high)))


def convert_floor(net: IntegerNet, node: Node) -> None:
    """Ends the fraction of an expression, or of a mean."""
    x = _extended(net, node)
    if x.mean is not None:
        x = floor_of_mean(net, node, x, x.mean)
    reason = x.value.obstacle()
    if reason is not None:
        raise node.error(f"its result is no integer arithmetic on '{x.name}': {reason}")
    net.derive(node, replace(x, value=x.value.floor()))


def convert_copy(net: IntegerNet, node: Node) -> None:
    """Identity, Dropout, and a Cast; one to integers cuts a fraction off."""
    x = net.operand(node)
    check_inference(net.graph, node)
    if x.mean is None and node.integer("to", 0) in INTEGERS:
        x = replace(x, value=x.value.cut())
    if not keeps(node, x.value if x.mean is None else None):
        raise node.error(f"'{x.name}' is not provably a number the target type holds; add Floor and a clip before")
    net.derive(node, x)


def convert_tail(net: IntegerNet, node: Node) -> None:
    """A float function: nothing of the network's integers may be behind it."""
    name = node.operand(0)
    before, operators = net.tails.get(name, (name, ()))
    net.tails[node.output] = (before, (*operators, str(node)))


def _extended(net: IntegerNet, node: Node) -> Tensor:
    """The only computed operand; its shape must not grow by broadcasting."""
    x = net.tensors[only_computed(net.graph, node)]
    for name in split(net.graph, node)[1]:
        if net.graph.constants[name].ndim > len(x.shape):
            raise node.error(f"constant '{name}' has more dimensions than the operand")
    return x
