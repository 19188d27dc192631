"""Requantisations that a 32-bit core computes for the four bytes of a word at once."""

from __future__ import annotations

from dataclasses import dataclass

from htvm_ir.targets.workload import Interval, Requant


@dataclass(frozen=True)
class LaneRequant:
    """``min(x >> shift, limit)`` of bytes 0 to 127; a ``limit`` is 2**n - 1 where no quotient reaches 2**(n + 1)."""

    shift: int
    limit: int | None

    @staticmethod
    def of(requant: Requant, bounds: Interval) -> LaneRequant | None:
        """The requantisation of signed bytes within ``bounds`` to signed bytes, if it is one of these."""
        plain = (*requant.addend, requant.zero_point, *(m - 1 for m in requant.multiplier))
        if requant.rounding != "floor" or any(plain) or len(set(requant.shift)) != 1:
            return None
        (low, high), shift, limit = bounds, requant.shift[0], requant.hi
        if low < 0 or requant.lo > low >> shift or shift >= 8:
            return None
        if high >> shift <= limit:
            return LaneRequant(shift, None)
        return LaneRequant(shift, limit) if limit & limit + 1 == 0 and high >> shift <= 2 * limit + 1 else None
