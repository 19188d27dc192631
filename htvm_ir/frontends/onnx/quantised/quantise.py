"""Where real numbers become 8-bit integers: the graph operations for each kind of expression."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from htvm_ir import arithmetic
from htvm_ir.dialects.graph import (
    ConcatOp,
    LookupOp,
    RequantOp,
    element_limits,
    tensor_type,
)
from htvm_ir.frontends.onnx.graph import INT32, Array, Node
from htvm_ir.frontends.onnx.quantised.multipliers import scaling
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.requantise import clip_range, requantised
from htvm_ir.frontends.onnx.quantised.tensors import (
    Affine,
    Format,
    Joined,
    Pending,
    Real,
    Table,
)


def quantise(net: QuantisedNet, node: Node, real: Real, form: Format, name: str) -> SSAValue:
    """The 8-bit integers of ``real`` in ``form`` as tensor ``name``, QuantizeLinear ``node``'s result."""
    match real:
        case Affine():
            return tabulated(net, node, real.source, _rescaled(net, real, form), form, name)
        case Table():
            codes = form.integers(real.values, half_away=net.follows_tflite)
            return tabulated(net, node, real.source, codes, form, name)
        case Pending():
            return _finished(net, node, real, form, name)


def tabulated(net: QuantisedNet, node: Node, source: SSAValue, codes: Array, form: Format, name: str) -> SSAValue:
    """``codes`` [256] of the 8-bit ``source``: nothing, a clip, or a lookup, whichever is the least."""
    low, high = element_limits(tensor_type(source).element_type)
    identity = np.arange(low, high + 1)
    inside = (codes > codes.min()) & (codes < codes.max())
    offset = int((codes - identity)[inside][0]) if inside.any() else 0
    is_same_type = tensor_type(source).element_type == form.element
    if is_same_type and np.array_equal(codes, identity):
        net.emit.also(source, name)
        return source
    lo, hi = int(codes.min()), int(codes.max())
    if np.array_equal(codes, np.clip(identity + offset, lo, hi)):
        return net.emit.append(node, RequantOp(source, form.element, zero_point=offset, lo=lo, hi=hi), name)
    dtype = np.int8 if form.limits[0] < 0 else np.uint8
    table = net.emit.constant(f"{name}.table", "", codes.astype(dtype))
    return net.emit.append(node, LookupOp(source, table), name)


def _rescaled(net: QuantisedNet, real: Affine, form: Format) -> Array:
    """The codes in ``form`` of every code of ``real``."""
    if not net.follows_tflite or real.format.scale == form.scale:
        return form.integers(real.format.reals())
    low, high = real.format.limits
    centred = np.arange(low, high + 1) - real.format.zero_point
    spec = scaling([real.format.scale / form.scale], 31)
    lifted = np.clip(centred << spec.lift[0], *INT32)
    return arithmetic.requantize(
        lifted, "gemmlowp", spec.multiplier, spec.shift, form.zero_point, *form.limits, np.dtype(np.int64)
    )


def _finished(net: QuantisedNet, node: Node, real: Pending, form: Format, name: str) -> SSAValue:
    """Requantised, then rearranged."""
    count = len(real.moves)
    first = f"{name}.unmoved" if count else name
    match real:
        case Joined():
            source = _join(net, node, real, form, first)
        case _:
            source = requantised(net, node, real, form, first)
    for index, move in enumerate(real.moves, 1):
        step = name if index == count else f"{name}.unmoved{index}"
        source = net.emit.append(move.node, move.make(source, form), step)
    return source


def _join(net: QuantisedNet, node: Node, real: Joined, form: Format, name: str) -> SSAValue:
    parts = [quantise(net, node, part, form, f"{name}.part{i}") for i, part in enumerate(real.parts)]
    source = net.emit.append(node, ConcatOp(parts, real.axis), name)
    lo, hi = clip_range(net, real, form)
    if (lo, hi) == form.limits:
        return source
    return net.emit.append(node, RequantOp(source, form.element, lo=lo, hi=hi), name)


def affine(net: QuantisedNet, node: Node, index: int = 0) -> Affine:
    """An operand that is the numbers of an 8-bit tensor, made so if that loses nothing."""
    real, name = net.real(node, index), node.operand(index)
    if isinstance(real, Table):
        codes = real.format.integers(real.values)
        if np.array_equal(real.format.reals()[codes - real.format.limits[0]], real.values):
            source = tabulated(net, node, real.source, codes, real.format, name)
            return Affine(shape=real.shape, source=source, format=real.format)
    if not isinstance(real, Affine):
        raise node.error(f"operand '{name}' has no 8-bit integers; put QuantizeLinear and DequantizeLinear before it")
    return real
