"""``clamp(zero_point + R(x * multiplier + addend, shift), lo, hi)`` with shifts and additions only.

The reference for every step is ``htvm_ir.arithmetic.scale``. All divisions are by powers of two and shifts of
negative numbers are arithmetic. With ``half = 2**s / 2`` and ``p`` the product, rounding to nearest is a floor of ``p``
moved by:

- half_up, single: ``half``
- half_away: ``half - 1`` if ``p < 0``, else ``half``
- half_even: ``half - 1`` if ``floor(p / 2**s)`` is even, else ``half``

gemmlowp is half_up by 31, which equals its truncating division of the nudged product, then half_away by ``s - 31``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerType, TensorType, i8, i32, i64
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import RequantOp, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel, integer_type
from htvm_ir.passes.host_loops.ranges import fits, requant_limits, scaled_range
from htvm_ir.passes.intervals import Interval, interval

DOUBLING_SHIFT = 31
"""gemmlowp's high multiply keeps the upper half of a doubled 64-bit product."""


@dataclass(frozen=True)
class Shift:
    """A division by ``2**amount``, of numbers of ``type_``; ``may_be_zero`` where channels differ."""

    amount: Value
    type_: IntegerType
    may_be_zero: bool = False


def requant(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The operand's element, scaled, moved by the zero point, clamped and cut to the result type."""
    assert isinstance(op, RequantOp)
    x = kernel.wide(op.input, index)
    channel = index[1] if len(index) > 1 else 0
    scaled, bounds = _scale(kernel, op, x, channel)
    return _clamp(kernel.emit, op, scaled, bounds)


def _scale(kernel: Kernel, op: RequantOp, x: SSAValue, channel: Value) -> tuple[SSAValue, Interval]:
    """``R(x * multiplier + addend, shift)`` and its bounds; in 32 bits where nothing can overflow."""
    emit, rounding = kernel.emit, op.rounding.data
    product_range, bounds = requant_limits(op)
    multipliers, shifts = values(op.multiplier), values(op.shift)
    narrow = rounding != "gemmlowp" and _fits_narrow(product_range, shifts, rounding)
    work = i32 if narrow and x.type == i32 else i64
    product = emit.mul(
        emit.cast(x, work, "wide"), _parameter(kernel, multipliers, channel, "multiplier", work), "product"
    )
    product = emit.add(product, _parameter(kernel, op.addends, channel, "addend", work), "product")
    if not isinstance(product, SSAValue):
        product = emit.constant(product, work)
    if rounding == "gemmlowp":
        return _gemmlowp(kernel, op, product, channel), bounds
    # A floor by more than the width is the sign.
    shifts = tuple(min(s, work.width.data - 1) for s in shifts)
    amount = _parameter(kernel, shifts, channel, "shift", work)
    return _divide(emit, product, Shift(amount, work, min(shifts) == 0), rounding), bounds


def _fits_narrow(product: Interval, shifts: Sequence[int], rounding: str) -> bool:
    """Whether product, addend and what rounding adds fit 32 bits."""
    half = 0 if rounding == "floor" else (1 << max(shifts)) >> 1
    return fits((product[0] - 1, product[1] + half), 32)


def _gemmlowp(kernel: Kernel, op: RequantOp, product: SSAValue, channel: Value) -> SSAValue:
    emit = kernel.emit
    high = _divide(emit, product, Shift(DOUBLING_SHIFT, i64), "half_up")
    high_range = scaled_range(interval(op.input), values(op.multiplier), (DOUBLING_SHIFT,), "gemmlowp")
    product_range, _ = requant_limits(op)
    if product_range[1] == 2**62:  # both factors are -2**31: saturate
        high = emit.min(high, 2**31 - 1, "high")
        assert isinstance(high, SSAValue)
    rest = tuple(s - DOUBLING_SHIFT for s in values(op.shift))
    work = i32 if _fits_narrow(high_range, rest, "half_away") else i64
    amount = _parameter(kernel, rest, channel, "shift", work)
    return _divide(emit, emit.cast(high, work, "high"), Shift(amount, work, min(rest) == 0), "half_away")


def _divide(emit: Emitter, product: SSAValue, by: Shift, rounding: str) -> SSAValue:
    if by.amount == 0:
        return product
    if rounding == "floor":
        return emit.shift_right(product, by.amount, "scaled")
    half = _half(emit, by)
    match rounding:
        case "half_up" | "single":
            moved = emit.add(product, half, "moved")
        case "half_away":
            sign = emit.shift_right(product, by.type_.width.data - 1, "sign")
            moved = emit.add(emit.add(product, half, "moved"), sign, "moved")
        case _:
            odd = emit.bit_and(emit.shift_right(product, by.amount, "quotient"), 1, "odd")
            moved = emit.add(emit.add(product, emit.sub(half, 1, "half"), "moved"), odd, "moved")
    assert isinstance(moved, SSAValue)
    scaled = emit.shift_right(moved, by.amount, "scaled")
    if rounding in ("half_up", "single") or not by.may_be_zero:
        return scaled
    assert isinstance(by.amount, SSAValue)
    return emit.select(emit.compare("eq", by.amount, 0), product, scaled, "scaled")


def _half(emit: Emitter, by: Shift) -> Value:
    """Half of the divisor, 0 for a division by 1."""
    if isinstance(by.amount, int):
        return (1 << by.amount) >> 1
    one = emit.constant(1, by.type_)
    # Unsigned: 1 << 31 has the sign bit set.
    return emit.unsigned_shift_right(emit.shift_left(one, by.amount, "divisor"), 1, "half")


def _parameter(kernel: Kernel, numbers: Sequence[int], channel: Value, role: str, type_: IntegerType) -> Value:
    """The parameter of a channel: a number if all agree, else an element of a global.

    It has 8 bits (shifts), 32, or as many as the calculation (addends).
    """
    if len(set(numbers)) == 1:
        return numbers[0]
    element = {"shift": i8, "addend": type_}.get(role, i32)
    array = DenseIntOrFPElementsAttr.from_list(TensorType(element, [len(numbers)]), list(numbers))
    return kernel.emit.cast(kernel.array(array, (channel,), role), type_, role)


def _clamp(emit: Emitter, op: RequantOp, scaled: SSAValue, bounds: Interval) -> SSAValue:
    """Zero point, limits that can be reached, result type; in 32 bits where that is enough."""
    zero_point, lo, hi = op.zero_point.value.data, op.lo.value.data, op.hi.value.data
    low, high = bounds[0] + zero_point, bounds[1] + zero_point
    if fits(bounds, 32) and fits((low, high), 32):
        scaled = emit.cast(scaled, i32, "scaled")
    y = emit.add(scaled, zero_point, "y")
    if low < lo:
        y = emit.max(y, lo, "y")
    if high > hi:
        y = emit.min(y, hi, "y")
    assert isinstance(y, SSAValue)
    return emit.cast(y, integer_type(tensor_type(op.result).element_type), "y")
