"""Ops that accumulate: convolution, matrix-vector product, pooling. Padding clips the loops over the window."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType, i32, i64
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import Conv2dOp, DenseOp, PoolOp, element_limits, number, shape_of, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel, integer_type
from htvm_ir.passes.host_loops.ranges import fits
from htvm_ir.passes.intervals import interval

UNROLL = 4
"""Copies of the body of a long loop of single products: the loop's own cost is as large as that of a product."""


@dataclass(frozen=True)
class Window:
    """A window of ``size`` taps, ``dilation`` apart, on an axis of ``extent`` elements after ``before`` zeros."""

    extent: int
    size: int
    stride: int
    dilation: int
    before: int
    outputs: int

    def base(self, emit: Emitter, output: Value, name: str) -> Value:
        """Position of the first tap; it may lie in the padding."""
        return emit.add(emit.mul(output, self.stride, name), -self.before, name)

    def taps(self, emit: Emitter, base: Value, name: str) -> tuple[Value, Value]:
        """First tap inside the axis, and the one after the last, for a window that starts at ``base``."""
        low, high = emit.range_of(base) or (-self.before, (self.outputs - 1) * self.stride - self.before)
        first: Value = 0
        if low < 0:
            first = emit.max(self._taps_up_to(emit, emit.sub(0, base, "skipped")), 0, f"{name}_first")
        if high + (self.size - 1) * self.dilation < self.extent:
            return first, self.size
        inside = self._taps_up_to(emit, emit.sub(self.extent, base, "room"))
        return first, emit.min(inside, self.size, f"{name}_end")

    @property
    def interior(self) -> tuple[int, int]:
        """The outputs whose window touches no padding: from the first to the one after the last."""
        return self.inside(0, self.extent)

    def inside(self, first: int, end: int) -> tuple[int, int]:
        """The outputs whose window lies in ``first`` to ``end`` (exclusive), in the same form."""
        low = -(-(self.before + first) // self.stride)
        room = end - (self.size - 1) * self.dilation + self.before
        return low, max(low, min(self.outputs, -(-room // self.stride)))

    def _taps_up_to(self, emit: Emitter, distance: Value) -> Value:
        """How many taps lie before ``distance``, if any."""
        return emit.div(emit.add(distance, self.dilation - 1, "reach"), self.dilation, "taps")


def windows_of(op: Conv2dOp | PoolOp) -> tuple[Window, Window]:
    """The vertical and the horizontal window of an op."""
    if isinstance(op, Conv2dOp):
        sizes, dilations = shape_of(op.weights)[2:], values(op.dilations)
    else:
        sizes, dilations = values(op.kernel), (1, 1)
    extents, outputs, strides = shape_of(op.input)[2:], shape_of(op.result)[2:], values(op.strides)
    before = values(op.pads)[:2]
    vertical, horizontal = (
        Window(extents[a], sizes[a], strides[a], dilations[a], before[a], outputs[a]) for a in (0, 1)
    )
    return vertical, horizontal


def _number(value: Value) -> SSAValue:
    assert isinstance(value, SSAValue)
    return value


def _multiply_add(kernel: Kernel, op: Conv2dOp | DenseOp, acc: SSAValue, x: Index, weight: Index) -> SSAValue:
    """The accumulator and the product of an input, less its zero point, with a weight."""
    emit = kernel.emit
    value = emit.sub(kernel.wide(op.input, x), number(op.zero_point), "moved")
    return _number(emit.add(acc, emit.mul(value, kernel.wide(op.weights, weight, "weight"), "product"), "acc"))


def _start(kernel: Kernel, bias: SSAValue | None, channel: Value) -> SSAValue:
    """What the accumulator of an output channel starts with."""
    if bias is None:
        return kernel.emit.constant(0, i32)
    return kernel.wide(bias, (channel,), "bias")


def conv2d(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """One output position: loops over input channels and kernel rows and columns."""
    assert isinstance(op, Conv2dOp)
    emit = kernel.emit
    out_channels, per_group, _, _ = shape_of(op.weights)
    vertical, horizontal = windows_of(op)
    n, k, y, x = index
    group = emit.div(k, out_channels // op.groups.value.data, "group") if op.groups.value.data > 1 else 0
    first_channel = emit.mul(group, per_group, "first")
    top, left = vertical.base(emit, y, "top"), horizontal.base(emit, x, "left")

    def channels(c: Value, total: SSAValue) -> SSAValue:
        channel = emit.add(first_channel, c, "channel")

        def tap_rows(i: Value, total: SSAValue) -> SSAValue:
            row = emit.add(top, emit.mul(i, vertical.dilation, "step"), "row")

            def tap_columns(j: Value, total: SSAValue) -> SSAValue:
                column = emit.add(left, emit.mul(j, horizontal.dilation, "step"), "column")
                return _multiply_add(kernel, op, total, (n, channel, row, column), (k, c, i, j))

            return emit.reduce(*horizontal.taps(emit, left, "fx"), "fx", total, tap_columns)

        return emit.reduce(*vertical.taps(emit, top, "fy"), "fy", total, tap_rows)

    unroll = UNROLL if vertical.size == horizontal.size == 1 else 1
    return emit.reduce(0, per_group, "c", _start(kernel, op.bias, k), channels, unroll)


def dense(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """One output: a loop over the inputs."""
    assert isinstance(op, DenseOp)
    n, k = index

    def products(c: Value, total: SSAValue) -> SSAValue:
        return _multiply_add(kernel, op, total, (n, c), (k, c))

    return kernel.emit.reduce(0, shape_of(op.input)[1], "c", _start(kernel, op.bias, k), products, UNROLL)


def pool(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """One output position: the maximum, sum or mean of the elements inside the window."""
    assert isinstance(op, PoolOp)
    emit = kernel.emit
    element = integer_type(tensor_type(op.input).element_type)
    work = _pool_type(op)
    n, c, y, x = index
    windows = windows_of(op)
    top, left = windows[0].base(emit, y, "top"), windows[1].base(emit, x, "left")
    row_taps, column_taps = windows[0].taps(emit, top, "fy"), windows[1].taps(emit, left, "fx")
    is_max = op.kind.data == "max"

    def tap_rows(i: Value, total: SSAValue) -> SSAValue:
        row = emit.add(top, i, "row")

        def tap_columns(j: Value, total: SSAValue) -> SSAValue:
            column = emit.add(left, j, "column")
            value = emit.cast(kernel.element(op.input, (n, c, row, column)), work, "value")
            return _number(emit.max(total, value, "peak") if is_max else emit.add(total, value, "acc"))

        return emit.reduce(*column_taps, "fx", total, tap_columns, UNROLL)

    start = emit.constant(element_limits(element)[0] if is_max else 0, work)
    total = emit.reduce(*row_taps, "fy", start, tap_rows)
    if op.kind.data == "average":
        count = emit.mul(
            emit.sub(row_taps[1], row_taps[0], "rows"), emit.sub(column_taps[1], column_taps[0], "columns"), "count"
        )
        total = _mean(kernel, op, total, count)
    return emit.cast(total, integer_type(tensor_type(op.result).element_type), "pooled")


def _pool_type(op: PoolOp) -> IntegerType:
    """32 bits where the sum and the steps of the division fit, else 64."""
    lo, hi = interval(op.input)
    fy, fx = values(op.kernel)
    reach = 1 if op.kind.data == "max" else 4 * fy * fx
    return i32 if fits((lo * reach, hi * reach), 32) else i64


def _mean(kernel: Kernel, op: PoolOp, total: SSAValue, count: Value) -> SSAValue:
    """``total / count`` in the op's rounding.

    Division rounds towards zero. That serves half_away: ``(2 * total +- count) / (2 * count)``. The others divide a
    ``total`` made non-negative by the smallest element: ``floor(total / count) = (total - lo * count) / count + lo``.
    """
    emit, work = kernel.emit, integer_type(total.type)
    lo = min(interval(op.input)[0], 0)
    if isinstance(count, SSAValue):
        count = emit.index_to(count, work, "count")
    if op.rounding.data == "half_away":
        return _mean_away_from_zero(emit, total, count)
    shifted = emit.sub(total, emit.mul(count, lo, "lowest"), "shifted")
    if op.rounding.data == "half_up":
        shifted, count = emit.add(emit.mul(shifted, 2, "twice"), count, "twice"), emit.mul(count, 2, "twice")
    quotient = emit.div(shifted, count, "quotient")
    if op.rounding.data == "half_even":
        quotient = _to_even(emit, _number(shifted), _number(quotient), count, lo)
    return _number(emit.add(quotient, lo, "mean"))


def _mean_away_from_zero(emit: Emitter, total: SSAValue, count: Value) -> SSAValue:
    """``total / count``, ties away from zero."""
    negative = emit.compare("slt", total, 0)
    up, down = (v if isinstance(v, SSAValue) else emit.constant(v, total.type) for v in (count, emit.sub(0, count)))
    nudge = emit.select(negative, down, up, "nudge")
    twice = emit.add(emit.mul(total, 2, "twice"), nudge, "twice")
    return _number(emit.div(twice, emit.mul(count, 2, "twice"), "mean"))


def _to_even(emit: Emitter, dividend: SSAValue, quotient: SSAValue, count: Value, lo: int) -> SSAValue:
    """The floor ``quotient``, or the next number: ``quotient + lo`` is what is made even on a tie.

    With r the remainder, ``2 * r > count``, or ``=`` and the quotient odd, is ``2 * r + odd > count``.
    """
    rest = emit.sub(dividend, emit.mul(quotient, count, "whole"), "rest")
    odd = emit.bit_and(_number(emit.add(quotient, lo & 1, "parity")), 1, "odd")
    twice = _number(emit.add(emit.mul(rest, 2, "twice"), odd, "twice"))
    above = _number(emit.add(quotient, 1, "above"))
    return emit.select(emit.compare("sgt", twice, count), above, quotient, "quotient")
