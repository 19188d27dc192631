"""Real factors as the integer multiplier and shift of ``graph.requant``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp

LARGEST_SHIFT = 62
_BITS = 31


@dataclass(frozen=True)
class Scaling:
    """``multiplier * 2**-shift``, one for a tensor or one for each channel.

    ``lift`` is the power of two to multiply with before, for factors of 1 and more where ``shift`` has a least value.
    """

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    lift: tuple[int, ...]


def scaling(factors: Sequence[float], least_shift: int = 0) -> Scaling:
    """Positive factors with 31 bits each, as TFLite's QuantizeMultiplier rounds them.

    Factors below 2**-32, which take any accumulator to zero, become 0. Raises ValueError for a factor that
    needs a lift of more than 30 bits.
    """
    parts = [_parts(factor) for factor in factors]
    lifts = [max(least_shift - shift, 0) for _, shift in parts]
    if max(lifts) > _BITS - 1:
        raise ValueError(
            f"a factor of {max(factors):g} from accumulator to result is beyond 2^{2 * _BITS - 1 - least_shift}"
        )
    shifts = [shift + lift for (_, shift), lift in zip(parts, lifts, strict=True)]
    return Scaling(_shared([m for m, _ in parts]), _shared(shifts), _shared(lifts))


def _parts(factor: float) -> tuple[int, int]:
    """(m, s) with ``m * 2**-s`` next to ``factor`` and m in 2**30 to 2**31 - 1."""
    fraction, exponent = frexp(factor)
    # Python rounds halves to even, TFLite away from zero: a fraction of 53 bits never ends in a half that differs by
    # more than the last bit, and adding one half and flooring is TFLite's result for positive numbers
    multiplier = int(fraction * 2.0**_BITS + 0.5)
    if multiplier == 1 << _BITS:
        multiplier, exponent = multiplier >> 1, exponent + 1
    shift = _BITS - exponent
    return (multiplier, shift) if shift <= LARGEST_SHIFT else (0, _BITS)


def _shared(values: Sequence[int]) -> tuple[int, ...]:
    """One value if all are the same."""
    return (values[0],) if len(set(values)) == 1 else tuple(values)
