"""Where 32-bit computations end in 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import i16, i32
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.graph import AddOp, MulOp, PoolOp, RequantOp, SubOp
from htvm_ir.frontends.onnx.graph import INT32, Array, Node
from htvm_ir.frontends.onnx.quantised.multipliers import Scaling, scaling
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.tensors import Accumulated, Affine, Combined, Format, Mean, Pending


def requantised(net: QuantisedNet, node: Node, real: Pending, form: Format, name: str) -> SSAValue:
    """The 8-bit integers of ``real`` before its moves, as tensor ``name``."""
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


def clip_range(net: QuantisedNet, real: Pending, form: Format) -> tuple[int, int]:
    """The integers that the clip of ``real`` ends at."""
    bounds = form.integers(np.array([real.low, real.high]), half_away=net.follows_tflite)
    return int(bounds[0]), int(bounds[1])


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
        lo, hi = clip_range(self.net, real, self.form)
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
        left = self._centred(real.lhs, multipliers[0], "lhs")
        right = self._centred(real.rhs, multipliers[1], "rhs")
        return left, right, 2.0**-bits

    def _tflite_terms(self, real: Combined) -> tuple[SSAValue, SSAValue, float]:
        """TFLite's: 20 bits to the left, then both on twice the greater scale."""
        twice = 2.0 * max(real.lhs.format.scale, real.rhs.format.scale)
        left, right = (
            self._on_scale(self._centred(x, 1 << 20, f"{side}.wide"), x.format.scale / twice, side)
            for side, x in (("lhs", real.lhs), ("rhs", real.rhs))
        )
        return left, right, twice / (self.form.scale * (1 << 20))

    def mean(self, real: Mean) -> SSAValue:
        """Averages: exact quotients where the format stays, else scaled sums."""
        x, win = real.operand, real.window
        shape = (win.kernel, win.strides, win.pads)
        if x.format == self.form and not (real.reduced and self.net.follows_tflite):
            return self._exact_mean(real)
        count = int(np.prod(win.kernel))
        if any(win.pads):
            # as many windows' sizes as there are borders: averages with fractions
            bits = 22 - count.bit_length()
            if bits < 0:
                raise self.node.error("an average of so many positions with padding must keep its scale")
            mean = self._append(PoolOp("average", self._centred(x, 1 << bits, "wide"), *shape, "half_even"), "mean")
            return self.scaled(mean, [x.format.scale / self.form.scale / (1 << bits)], real, "gemmlowp")
        total = self._append(PoolOp("sum", x.source, *shape), "total")
        if x.format.zero_point:
            op = RequantOp(total, i32, zero_point=-count * x.format.zero_point, lo=INT32[0], hi=INT32[1])
            total = self._append(op, "centred")
        return self.scaled(total, [x.format.scale / self.form.scale / count], real, "gemmlowp")

    def _exact_mean(self, real: Mean) -> SSAValue:
        x, win = real.operand, real.window
        shape = (win.kernel, win.strides, win.pads)
        lo, hi = clip_range(self.net, real, self.form)
        zero_point, is_odd_count = self.form.zero_point, np.prod(win.kernel) % 2 and not any(win.pads)
        if zero_point % 2 and not is_odd_count and not self.net.follows_tflite:
            # ties to even count from the zero point
            centred = self._append(RequantOp(x.source, i16, zero_point=-zero_point, lo=-256, hi=255), "centred")
            mean = self._append(PoolOp("average", centred, *shape, "half_even"), "mean")
            op = RequantOp(mean, self.form.element, zero_point=zero_point, lo=lo, hi=hi)
            return self.net.emit.append(self.node, op, self.name)
        op = PoolOp("average", x.source, *shape, "half_away" if self.net.follows_tflite else "half_even")
        if (lo, hi) == self.form.limits:
            return self.net.emit.append(self.node, op, self.name)
        return self._append_clip(self._append(op, "mean"), lo, hi)

    def _append_clip(self, source: SSAValue, lo: int, hi: int) -> SSAValue:
        return self.net.emit.append(self.node, RequantOp(source, self.form.element, lo=lo, hi=hi), self.name)

    def _append(self, op: Operation, what: str) -> SSAValue:
        return self.net.emit.append(self.node, op, f"{self.name}.{what}")

    def _centred(self, x: Affine, multiplier: int, what: str) -> SSAValue:
        """``(x - zero_point) * multiplier`` in 32 bits."""
        op = RequantOp(
            x.source,
            i32,
            multiplier=[multiplier],
            zero_point=-multiplier * x.format.zero_point,
            lo=INT32[0],
            hi=INT32[1],
        )
        return self._append(op, what)

    def _on_scale(self, x: SSAValue, factor: float, what: str) -> SSAValue:
        """A 32-bit operand of TFLite's sum times a factor of at most one half."""
        spec = self._scaling([factor], "gemmlowp")
        op = RequantOp(
            x, i32, rounding="gemmlowp", multiplier=spec.multiplier, shift=spec.shift, lo=INT32[0], hi=INT32[1]
        )
        return self._append(op, what)

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
