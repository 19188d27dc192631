"""Operators that rearrange elements: reshape, transpose, concatenate, pad and slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.graph import ConcatOp, PadOp, ReshapeOp, SliceOp, TransposeOp
from htvm_ir.frontends.onnx.graph import Array, Node, Shape
from htvm_ir.frontends.onnx.operators import check_inference
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.quantise import affine
from htvm_ir.frontends.onnx.quantised.tensors import (
    Affine,
    Format,
    Integers,
    Joined,
    Move,
    Parameter,
    Real,
    Table,
    Tail,
)
from htvm_ir.frontends.onnx.shapes import new_shape_in


def _apply(net: QuantisedNet, node: Node, x: Integers | Real, move: Move) -> None:
    net.define(node, net.moved(x, move, node.output))


def convert_copy(net: QuantisedNet, node: Node) -> None:
    """Identity, Dropout, and a Cast to a type that holds the numbers."""
    tensor = net.tensors.get(node.operand(0)) or net.operand(node)
    check_inference(net.graph, node)
    if node.op == "Cast" and isinstance(tensor, Integers):
        raise node.error("casts quantised integers; use DequantizeLinear")
    net.define(node, tensor)


def convert_reshape(net: QuantisedNet, node: Node) -> None:
    """Reshape, Flatten, Squeeze or Unsqueeze, of a constant too."""
    tensor = net.tensors.get(node.operand(0))
    if isinstance(tensor, Parameter):
        net.define(node, _reshaped_parameter(net, node, tensor))
    elif isinstance(tensor, Tail):
        shape = new_shape_in(net.graph, node, tensor.shape)
        net.define(node, Tail(tensor.source, (*tensor.operators, node.op), shape))
    else:
        x = _movable(net, node)
        shape = new_shape_in(net.graph, node, x.shape)
        if shape == x.shape:
            net.define(node, x)
        else:
            _apply(net, node, x, Move(node, lambda value, _: ReshapeOp(value, shape), shape))


def _reshaped_parameter(net: QuantisedNet, node: Node, tensor: Parameter) -> Parameter:
    shape = new_shape_in(net.graph, node, tensor.shape)
    if tensor.scale.size > 1 and [n for n in shape if n > 1] != [n for n in tensor.shape if n > 1]:
        raise node.error("reshapes a constant with scales per channel; store it in its last shape")
    kept = [i for i, n in enumerate(tensor.shape) if n > 1]

    def moved(values: Array) -> Array:
        if values.size == 1:
            return values.reshape((1,) * len(shape))
        sizes = iter(values.shape[i] for i in kept)
        return values.reshape([next(sizes) if n > 1 else 1 for n in shape])

    return Parameter(node.output, tensor.integers.reshape(shape), moved(tensor.scale), moved(tensor.zero_point))


def _movable(net: QuantisedNet, node: Node) -> Integers | Real:
    x = net.operand(node)
    if isinstance(x, Parameter):
        raise node.error("its operand is a constant; store it as its result")
    return x


def convert_transpose(net: QuantisedNet, node: Node) -> None:
    """Transpose, of a constant too."""
    tensor = net.operand(node)
    order = node.integers("perm", range(len(tensor.shape))[::-1])
    if sorted(order) != list(range(len(tensor.shape))):
        raise node.error(f"perm {list(order)} does not fit rank {len(tensor.shape)}")
    if isinstance(tensor, Parameter):
        parts = (v.transpose(order) for v in (tensor.integers, tensor.scale, tensor.zero_point))
        net.define(node, Parameter(node.output, *parts))
        return
    shape = tuple(tensor.shape[axis] for axis in order)
    _apply(net, node, tensor, Move(node, lambda value, _: TransposeOp(value, order), shape))


def convert_concat(net: QuantisedNet, node: Node) -> None:
    """Concat of integers of one type, or of real numbers on any scales."""
    operands = [net.operand(node, i) for i in range(len(node.inputs))]
    axis, shape = joined_shape(node, [x.shape for x in operands])
    if all(isinstance(x, Integers) for x in operands):
        integers = [net.integers(node, i) for i in range(len(node.inputs))]
        source = net.emit.append(node, ConcatOp([x.source for x in integers], axis), node.output)
        net.define(node, Integers(source, shape, integers[0].format))
        return
    net.define(node, joined(net, node, [net.real(node, i) for i in range(len(node.inputs))]))


def joined(net: QuantisedNet, node: Node, parts: Sequence[Real]) -> Affine | Joined:
    """Reals along the axis of ``node``; one tensor at once if they are on one scale."""
    axis, shape = joined_shape(node, [x.shape for x in parts])
    same = [x for x in parts if isinstance(x, Affine) and isinstance(parts[0], Affine) and x.format == parts[0].format]
    if len(same) == len(parts):
        source = net.emit.append(node, ConcatOp([x.source for x in same], axis), node.output)
        return replace(same[0], shape=shape, source=source)
    return Joined(shape=shape, parts=tuple(parts), axis=axis)


def joined_shape(node: Node, shapes: Sequence[Shape]) -> tuple[int, Shape]:
    """The axis of Concat ``node`` and the shape of its result."""
    rank, axis = len(shapes[0]), node.integer("axis", 1)
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} does not fit rank {rank}")
    axis %= rank
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rest) != 1 or any(len(shape) != rank for shape in shapes):
        shown = ", ".join(str(list(shape)) for shape in shapes)
        raise node.error(f"operands of shapes {shown} cannot be joined on axis {axis}")
    return axis, (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def convert_pad(net: QuantisedNet, node: Node) -> None:
    """Pad with a constant that the elements can hold."""
    x = _movable(net, node)
    if node.text("mode", "constant") != "constant":
        raise node.error(f"mode '{node.text('mode', '')}' is not supported; only constant is")
    rank = len(x.shape)
    pads = _numbers(net, node, 1, "pads", node.integers("pads", ()))
    axes = [a % rank for a in _numbers(net, node, 3, "axes", range(rank))]
    if len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise node.error(f"pads {list(pads)} do not fit rank {rank}; they must not be negative")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    value = node.number("value", 0.0)
    if node.operand(2):
        value = float(net.array(node, 2, "padding value").reshape(-1)[0])
    shape = tuple(b + n + a for b, n, a in zip(before, x.shape, after, strict=True))

    def make(source: SSAValue, form: Format) -> Operation:
        return PadOp(source, before, after, _padding(node, x, form, value))

    _apply(net, node, x, Move(node, make, shape, fills=True))


def _padding(node: Node, x: Integers | Real, form: Format, value: float) -> int:
    """The integer that stands for the padding value."""
    if isinstance(x, Integers):
        return int(value)
    reals = x.values if isinstance(x, Table) else form.reals()
    nearest = int(np.argmin(np.abs(reals - value)))
    limit = 0.0 if isinstance(x, Table) else form.scale / 2 * (1 + 1e-6)
    if not abs(float(reals[nearest]) - value) <= limit:
        raise node.error(f"pads with {value:g}, which the tensor's 8 bits cannot hold; pad with 0")
    return form.limits[0] + nearest


def convert_slice(net: QuantisedNet, node: Node) -> None:
    """Slice with constant bounds and positive steps."""
    x = _movable(net, node)
    rank = len(x.shape)
    starts = _numbers(net, node, 1, "starts", node.integers("starts", ()))
    ends = _numbers(net, node, 2, "ends", node.integers("ends", ()))
    axes = _numbers(net, node, 3, "axes", node.integers("axes", range(len(starts))))
    steps = _numbers(net, node, 4, "steps", [1] * len(starts))
    if not len(starts) == len(ends) == len(axes) == len(steps) or any(not -rank <= a < rank for a in axes):
        raise node.error("starts, ends, axes and steps do not fit one another or the operand")
    if min(steps, default=1) < 1:
        raise node.error(f"steps {list(steps)} must be positive")
    offsets, sizes, strides = [0] * rank, list(x.shape), [1] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        indices = range(x.shape[axis])[start:end:step]
        if not indices:
            raise node.error(f"leaves nothing of axis {axis}")
        offsets[axis], sizes[axis], strides[axis] = indices.start, len(indices), step
    shape = tuple(sizes)
    _apply(net, node, x, Move(node, lambda value, _: SliceOp(value, offsets, sizes, strides), shape))


def convert_split(net: QuantisedNet, node: Node) -> None:
    """Split into constant sizes, or into equal parts, the last of which may be smaller."""
    x = _movable(net, node)
    rank, axis = len(x.shape), node.integer("axis", 0)
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} does not fit rank {rank}")
    axis %= rank
    extent, count = x.shape[axis], len(node.outputs)
    each = -(-extent // count)
    equal = [min(each, extent - i * each) for i in range(count)]
    parts = _numbers(net, node, 1, "sizes", node.integers("split", equal))
    if len(parts) != count or sum(parts) != extent or min(parts) < 1:
        raise node.error(f"sizes {parts} do not split axis {axis} of shape {list(x.shape)} into {count}")
    for index, size in enumerate(parts):
        if not net.graph.is_used(node.outputs[index]):
            continue
        offsets = tuple(sum(parts[:index]) if i == axis else 0 for i in range(rank))
        sizes = tuple(size if i == axis else n for i, n in enumerate(x.shape))
        part = Move(node, partial(_slice, offsets, sizes), sizes)
        net.define(node, net.moved(x, part, node.outputs[index]), index)


def _slice(offsets: Shape, sizes: Shape, value: SSAValue, _: Format) -> Operation:
    return SliceOp(value, offsets, sizes, (1,) * len(sizes))


def _numbers(net: QuantisedNet, node: Node, index: int, what: str, default: Sequence[int]) -> list[int]:
    """A list of integers from a constant operand."""
    if not node.operand(index):
        return list(default)
    return [int(v) for v in net.graph.constant(node, index, what).reshape(-1)]


def convert_shape(net: QuantisedNet, node: Node) -> None:
    """Shape: a constant, since every shape is known."""
    shape = net.operand(node).shape
    part = shape[node.integer("start", 0) : node.integer("end", len(shape))]
    net.graph.constants[node.output] = np.array(part, np.int64)


def convert_tail(net: QuantisedNet, node: Node) -> None:
    """Softmax or LogSoftmax: nothing of the network's integers is behind it."""
    tensor = net.operand(node)
    source = tensor if isinstance(tensor, Integers) else affine(net, node)
    net.define(node, Tail(source, (str(node),), source.shape))
