"""Divisions by numbers known now, without dividing: the numerators of a kernel are small."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from htvm_ir.passes.host_loops.emitter import Emitter


@dataclass(frozen=True)
class Reciprocal:
    """``n / divisor == (n * multiplier) >> shift`` for 0 <= n <= most, in signed 32-bit arithmetic."""

    multiplier: int
    shift: int

    @staticmethod
    def of(divisor: int, most: int) -> Reciprocal | None:
        """The smallest one; None if the product would not fit.

        With ``e = multiplier * divisor - 2**shift >= 0`` the quotient is exact if ``most * e < 2**shift``: it is too
        large by ``n * e / (divisor * 2**shift)``, which is less than ``1 / divisor``.
        """
        for shift in range(31):
            multiplier = -(-(1 << shift) // divisor)
            if most * multiplier >= 1 << 31:
                return None
            if most * (multiplier * divisor - (1 << shift)) < 1 << shift:
                return Reciprocal(multiplier, shift)
        return None

    def apply(self, emit: Emitter, numerator: SSAValue) -> SSAValue:
        """The quotient of a number up to ``most``."""
        product = emit.mul(numerator, self.multiplier, "product")
        assert isinstance(product, SSAValue)
        return emit.shift_right(product, self.shift, "quotient")
