"""Where real numbers become 8-bit integers: the graph operations for each kind of expression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import i32
from xdsl.ir import Operation, SSAValue

from htvm_ir import arithmetic
from htvm_ir.dialects.graph import (
    AddOp,
    ConcatOp,
    LookupOp,
    MulOp,
    PoolOp,
    RequantOp,
    SubOp,
    element_limits,
    tensor_type,
)
from htvm_ir.frontends.onnx.graph import INT32, Array, Node
from htvm_ir.frontends.onnx.quantised.multipliers import Scaling, scaling
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.tensors import (
    Accumulated,
    Affine,
    Combined,
    Format,
    Joined,
    Mean,
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
            source = _requantised(net, node, real, form, first)
    for index, move in enumerate(real.moves, 1):
        step = name if index == count else f"{name}.unmoved{index}"
        source = net.emit.append(move.node, move.make(source, form), step)
    return source


def _join(net: QuantisedNet, node: Node, real: Joined, form: Format, name: str) -> SSAValue:
    parts = [quantise(net, node, part, form, f"{name}.part{i}") for i, part in enumerate(real.parts)]
    source = net.emit.append(node, ConcatOp(parts, real.axis), name)
    lo, hi = _range(net, real, form)
    if (lo, hi) == form.limits:
        return source
    return net.emit.append(node, RequantOp(source, form.element, lo=lo, hi=hi), name)


def _range(net: QuantisedNet, real: Pending, form: Format) -> tuple[int, int]:
    """The integers that the clip of ``real`` ends at."""
    bounds = form.integers(np.array([real.low, real.high]), half_away=net.follows_tflite)
    return int(bounds[0]), int(bounds[1])


def _requantised(net: QuantisedNet, node: Node, real: Pending, form: Format, name: str) -> SSAValue:
    match real:
        case Accumulated():
            return Requantiser(net, node, form, name).scaled(
                accumulators(net, node, real), real.scale / form.scale, real, real.rounding
            )
        case Combined(op="mul"):
            zero_points = (real.lhs.format.zero_point, real.rhs.format.zero_point)
            product = net.emit.append(node, MulOp(real.lhs.source, real.rhs.source, zero_points), f"{name}.product")
            factor = real.lhs.format.scale * real.rhs.format.scale / form.scale
            return Requantiser(net, node, form, name).scaled(product, [factor], real, "gemmlowp")
        case Combined():
            return Requantiser(net, node, form, name).sum(real)
        case Mean():
            return Requantiser(net, node, form, name).mean(real)
        case _:
            raise AssertionError(type(real))


def accumulators(net: QuantisedNet, node: Node, real: Accumulated) -> SSAValue:
    """The i32 sums of a layer; one operation for one bias, however often it is asked for."""
    bias = None
    worst = int(real.extent.max(initial=0))
    if real.bias is not None:
        worst = int((real.extent + np.abs(real.bias)).max(initial=0))
    if worst > INT32[1]:
        raise real.node.error(f"the accumulator may reach {worst}, beyond int32; use smaller weights or a smaller bias")
    if real.bias is not None:
        bias = net.emit.constant(f"{real.name}.bias", "", real.bias.astype(np.int32))
    return net.emit.once(real.node, real.name, lambda: real.make(bias))


class Requantiser:
    """Ends a 32-bit computation in ``form`` as tensor ``name``."""

    def __init__(self, net: QuantisedNet, node: Node, form: Format, name: str) -> None:
        self.net, self.node, self.form, self.name = net, node, form, name

    def scaled(self, acc: SSAValue, factors: Sequence[float] | Array, real: Pending, tflite_rounding: str) -> SSAValue:
        """``zero_point + R(acc * factor)``, clipped as ``real`` is."""
        rounding = tflite_rounding if self.net.follows_tflite else "half_even"
        spec = self._scaling(factors, rounding)
        lo, hi = _range(self.net, real, self.form)
        op = RequantOp(
            self._lifted(acc, spec),
            self.form.element,
            rounding=rounding,
            multiplier=spec.multiplier,
            shift=spec.shift,
            zero_point=self.form.zero_point,
            lo=lo,
            hi=hi,
        )
        return self.net.emit.append(self.node, op, self.name)

    def sum(self, real: Combined) -> SSAValue:
        """A sum or a difference of two tensors of any formats."""
        if self.net.follows_tflite:
            left, right, factor = self._tflite_terms(real)
        else:
            left, right, factor = self._exact_terms(real)
        kind = AddOp if real.op == "add" else SubOp
        total = self._append(kind(left, right), "sum")
        return self.scaled(total, [factor], real, "gemmlowp")

    def _exact_terms(self, real: Combined) -> tuple[SSAValue, SSAValue, float]:
        """Both operands in units of 2**-k of a step of the result, k as large as 32 bits allow."""
        ratios = [x.format.scale / self.form.scale for x in (real.lhs, real.rhs)]
        bits = 30 - int(np.ceil(np.log2(255 * sum(ratios))))
        if bits < 0:
            raise self.node.error("the operands are on a scale beyond 2^22 of the result's; quantise again")
        multipliers = [round(ratio * 2.0**bits) for ratio in ratios]
        left, right = (self._centred(x, m) for x, m in zip((real.lhs, real.rhs), multipliers, strict=True))
        return left, right, 2.0**-bits

    def _tflite_terms(self, real: Combined) -> tuple[SSAValue, SSAValue, float]:
        """TFLite's: 20 bits to the left, then both on twice the greater scale."""
        twice = 2.0 * max(real.lhs.format.scale, real.rhs.format.scale)
        left, right = (
            self._wide(self._centred(x, 1 << 20), x.format.scale / twice, "gemmlowp") for x in (real.lhs, real.rhs)
        )
        return left, right, twice / (self.form.scale * (1 << 20))

    def mean(self, real: Mean) -> SSAValue:
        """Averages: exact quotients where the format stays, else scaled sums."""
        x, win = real.operand, real.window
        shape = (win.kernel, win.strides, win.pads)
        if x.format == self.form and not (real.reduced and self.net.follows_tflite):
            rounding = "half_away" if self.net.follows_tflite else "half_even"
            op = PoolOp("average", x.source, *shape, rounding)
            lo, hi = _range(self.net, real, self.form)
            if (lo, hi) == self.form.limits:
                return self.net.emit.append(self.node, op, self.name)
            return self._append_clip(self._append(op, "mean"), lo, hi)
        if any(win.pads):
            raise self.node.error("an average with padding must keep its scale and zero point")
        total = self._append(PoolOp("sum", x.source, *shape), "total")
        count = int(np.prod(win.kernel))
        if x.format.zero_point:
            op = RequantOp(total, i32, zero_point=-count * x.format.zero_point, lo=INT32[0], hi=INT32[1])
            total = self._append(op, "centred")
        return self.scaled(total, [x.format.scale / self.form.scale / count], real, "gemmlowp")

    def _append_clip(self, source: SSAValue, lo: int, hi: int) -> SSAValue:
        return self.net.emit.append(self.node, RequantOp(source, self.form.element, lo=lo, hi=hi), self.name)

    def _append(self, op: Operation, what: str) -> SSAValue:
        return self.net.emit.append(self.node, op, f"{self.name}.{what}")

    def _centred(self, x: Affine, multiplier: int) -> SSAValue:
        """``(x - zero_point) * multiplier`` in 32 bits."""
        op = RequantOp(
            x.source,
            i32,
            multiplier=[multiplier],
            zero_point=-multiplier * x.format.zero_point,
            lo=INT32[0],
            hi=INT32[1],
        )
        return self._append(op, "wide")

    def _wide(self, x: SSAValue, factor: float, rounding: str) -> SSAValue:
        spec = self._scaling([factor], rounding)
        op = RequantOp(
            x, i32, rounding=rounding, multiplier=spec.multiplier, shift=spec.shift, lo=INT32[0], hi=INT32[1]
        )
        return self._append(op, "term")

    def _scaling(self, factors: Sequence[float] | Array, rounding: str) -> Scaling:
        try:
            return scaling([float(f) for f in factors], 31 if rounding == "gemmlowp" else 0)
        except ValueError as error:
            raise self.node.error(f"{error}; quantise the network again") from None

    def _lifted(self, acc: SSAValue, spec: Scaling) -> SSAValue:
        if not any(spec.lift):
            return acc
        factors = [1 << bits for bits in spec.lift]
        return self._append(RequantOp(acc, i32, multiplier=factors, lo=INT32[0], hi=INT32[1]), "lifted")
