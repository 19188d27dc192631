"""Pooling: the maximum, sum or mean of a window; its mean divides by a number that is mostly known."""

from __future__ import annotations

from xdsl.dialects.builtin import IntegerType, i32, i64
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import PoolOp, element_limits, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.division import Reciprocal
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel, integer_type
from htvm_ir.passes.host_loops.ranges import fits
from htvm_ir.passes.host_loops.sums import WordSum
from htvm_ir.passes.host_loops.windows import UNROLL, number_of, windows_of
from htvm_ir.passes.intervals import interval
from htvm_ir.targets.layout import WORD

Taps = tuple[Value, Value]
"""The first tap inside an axis, and the one after the last."""


def pool(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """One output position: the maximum, sum or mean of the elements inside the window."""
    assert isinstance(op, PoolOp)
    emit = kernel.emit
    n, c, y, x = index
    vertical, horizontal = windows_of(op)
    top, left = vertical.base(emit, y, "top"), horizontal.base(emit, x, "left")
    rows, columns = vertical.taps(emit, top, "fy"), horizontal.taps(emit, left, "fx")
    words = None if op.kind.data == "max" else WordSum.of(kernel, op)
    if words is None:
        total = _by_elements(kernel, op, (n, c, top, left), rows, columns)
    else:
        total = words.total(emit, (n, c, top, emit.mul(x, horizontal.stride // WORD, "left")))
        total = emit.cast(total, _pool_type(op), "total")
    if op.kind.data == "average":
        count = emit.mul(emit.sub(rows[1], rows[0], "rows"), emit.sub(columns[1], columns[0], "columns"), "count")
        total = _mean(kernel, op, total, count)
    return emit.cast(total, integer_type(tensor_type(op.result).element_type), "pooled")


def _by_elements(kernel: Kernel, op: PoolOp, first: Index, rows: Taps, columns: Taps) -> SSAValue:
    """The maximum or sum over the given taps of a window that begins at ``first``."""
    emit, work, is_max = kernel.emit, _pool_type(op), op.kind.data == "max"
    n, c, top, left = first

    def tap_rows(i: Value, total: SSAValue) -> SSAValue:
        row = emit.add(top, i, "row")

        def tap_columns(j: Value, total: SSAValue) -> SSAValue:
            column = emit.add(left, j, "column")
            value = emit.cast(kernel.element(op.input, (n, c, row, column)), work, "value")
            return number_of(emit.max(total, value, "peak") if is_max else emit.add(total, value, "acc"))

        return emit.reduce(*columns, "fx", total, tap_columns, UNROLL)

    lowest = element_limits(tensor_type(op.input).element_type)[0]
    return emit.reduce(*rows, "fy", emit.constant(lowest if is_max else 0, work), tap_rows)


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
    emit, work, (lo, hi) = kernel.emit, integer_type(total.type), interval(op.input)
    lo = min(lo, 0)
    if isinstance(count, SSAValue):
        count = emit.index_to(count, work, "count")
    if op.rounding.data == "half_away" and lo < 0:
        return _mean_away_from_zero(emit, total, count)
    shifted, most = emit.sub(total, emit.mul(count, lo, "lowest"), "shifted"), hi - lo
    if op.rounding.data in ("half_up", "half_away"):
        shifted, most = emit.add(emit.mul(shifted, 2, "twice"), count, "twice"), 2 * most + 1
        count = emit.mul(count, 2, "twice")
    quotient = _quotient(emit, number_of(shifted), count, most)
    if op.rounding.data == "half_even":
        quotient = _to_even(emit, number_of(shifted), quotient, count, lo)
    return number_of(emit.add(quotient, lo, "mean"))


def _quotient(emit: Emitter, dividend: SSAValue, count: Value, most: int) -> SSAValue:
    """``dividend / count``, rounded down; the dividend is at most ``most`` times the count of a window."""
    reciprocal = Reciprocal.of(count, most * count) if isinstance(count, int) and dividend.type == i32 else None
    if reciprocal is not None:
        return reciprocal.apply(emit, dividend)
    return number_of(emit.div(dividend, count, "quotient"))


def _mean_away_from_zero(emit: Emitter, total: SSAValue, count: Value) -> SSAValue:
    """``total / count``, ties away from zero."""
    negative = emit.compare("slt", total, 0)
    up, down = (v if isinstance(v, SSAValue) else emit.constant(v, total.type) for v in (count, emit.sub(0, count)))
    nudge = emit.select(negative, down, up, "nudge")
    twice = emit.add(emit.mul(total, 2, "twice"), nudge, "twice")
    return number_of(emit.div(twice, emit.mul(count, 2, "twice"), "mean"))


def _to_even(emit: Emitter, dividend: SSAValue, quotient: SSAValue, count: Value, lo: int) -> SSAValue:
    """The floor ``quotient``, or the next number: ``quotient + lo`` is what is made even on a tie.

    With r the remainder, ``2 * r > count``, or ``=`` and the quotient odd, is ``2 * r + odd > count``.
    """
    rest = emit.sub(dividend, emit.mul(quotient, count, "whole"), "rest")
    odd = emit.bit_and(number_of(emit.add(quotient, lo & 1, "parity")), 1, "odd")
    twice = number_of(emit.add(emit.mul(rest, 2, "twice"), odd, "twice"))
    above = number_of(emit.add(quotient, 1, "above"))
    return emit.select(emit.compare("sgt", twice, count), above, quotient, "quotient")
