"""What is known of an index before the kernel runs: its range, and what divides it."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import SSAValue

Loops = Mapping[SSAValue, range]
"""The values of each loop variable."""


def range_of(value: SSAValue | int, loops: Loops) -> tuple[int, int] | None:
    """The least and the greatest value, None if nothing is known."""
    if isinstance(value, int):
        return value, value
    if value in loops:
        return loops[value][0], loops[value][-1]
    match value.owner:
        case arith.ConstantOp(value=IntegerAttr() as number):
            return number.value.data, number.value.data
        case arith.AddiOp() | arith.SubiOp() | arith.MuliOp() as op:
            left, right = range_of(op.lhs, loops), range_of(op.rhs, loops)
            if left is None or right is None:
                return None
            ends = [_apply(op, a, b) for a in left for b in right]
            return min(ends), max(ends)
        case arith.DivSIOp(rhs=divisor) | arith.RemSIOp(rhs=divisor) as op:
            return _divided(op, range_of(op.lhs, loops), range_of(divisor, loops))
        case _:
            return None


def _divided(
    op: arith.DivSIOp | arith.RemSIOp, range_: tuple[int, int] | None, divisor: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Bounds of a quotient or remainder of numbers that are not negative, by a number that is known."""
    if range_ is None or divisor is None or range_[0] < 0 or divisor[0] != divisor[1]:
        return None
    low, high = (end // divisor[0] for end in range_)
    return (low, high) if isinstance(op, arith.DivSIOp) else (0, min(range_[1], divisor[0] - 1))


def _apply(op: arith.AddiOp | arith.SubiOp | arith.MuliOp, a: int, b: int) -> int:
    match op:
        case arith.AddiOp():
            return a + b
        case arith.SubiOp():
            return a - b
        case _:
            return a * b


def constant_part(value: SSAValue) -> tuple[SSAValue, int]:
    """A sum of something and a number, as both; anything else and 0."""
    match value.owner:
        case arith.AddiOp(lhs=base, rhs=SSAValue(owner=arith.ConstantOp(value=IntegerAttr() as number))):
            return base, number.value.data
        case _:
            return value, 0


def divides(divisor: int, value: SSAValue | int, loops: Loops) -> bool:
    """Whether every value is a multiple of ``divisor``; False if that is not known."""
    if isinstance(value, int):
        return value % divisor == 0
    if value in loops:
        return loops[value].start % divisor == 0 and loops[value].step % divisor == 0
    match value.owner:
        case arith.ConstantOp(value=IntegerAttr() as number):
            return number.value.data % divisor == 0
        case arith.AddiOp() | arith.SubiOp() as op:
            return divides(divisor, op.lhs, loops) and divides(divisor, op.rhs, loops)
        case arith.MuliOp() as op:
            return divides(divisor, op.lhs, loops) or divides(divisor, op.rhs, loops)
        case arith.DivSIOp(rhs=SSAValue(owner=arith.ConstantOp(value=IntegerAttr() as number))) as op:
            return divides(divisor * number.value.data, op.lhs, loops)
        case _:
            return False
