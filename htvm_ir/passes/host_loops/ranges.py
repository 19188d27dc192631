"""Which numbers a requantisation meets, so that 64-bit arithmetic and clamps are used only where they matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from htvm_ir.arithmetic import scale
from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.intervals import Interval, interval


def fits(range_: Interval, bits: int) -> bool:
    """Whether a signed integer of ``bits`` holds the range."""
    return -(2 ** (bits - 1)) <= range_[0] and range_[1] < 2 ** (bits - 1)


def scaled_range(
    x: Interval, multiplier: Sequence[int], shift: Sequence[int], rounding: str, addend: Sequence[int] = (0,)
) -> Interval:
    """Bounds of ``R(x * m + a, s)`` over all channels; R is monotonic in its product."""
    m, s, a = np.broadcast_arrays(*(np.asarray(numbers, np.int64) for numbers in (multiplier, shift, addend)))
    ends = [scale(np.full(m.shape, end, np.int64), m, s, rounding, a) for end in x]
    return int(np.min(ends)), int(np.max(ends))


def requant_limits(op: graph.RequantOp) -> tuple[Interval, Interval]:
    """Bounds of product, addend and their sum together, and of the rounded quotient of a requantisation."""
    x = interval(op.input)
    multiplier, shift = values(op.multiplier), values(op.shift)
    products, addends = [end * m for end in x for m in multiplier], [*op.addends, 0]
    steps = [*addends, *(product + extreme for product in products for extreme in (min(addends), max(addends)))]
    quotient = scaled_range(x, multiplier, shift, op.rounding.data, op.addends)
    return (min(steps), max(steps)), quotient
