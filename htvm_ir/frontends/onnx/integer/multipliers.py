"""Multiplication by a fraction as ``graph.requant`` does it: an integer multiplier, an addend and a shift.

A divisor that is no power of two has no exact multiplier. But x and the result are bounded, so only the finitely many
x at which the result steps up matter: a multiplier and an addend that put every step where it belongs are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from htvm_ir.arithmetic import LARGEST_ADDEND
from htvm_ir.frontends.onnx.graph import INT32

LARGEST_SHIFT = 62
_MOST_STEPS = 2**16
"""Results a division may have that is no shift: more than a clip to 16 bits leaves."""
_TRIES = 4
"""Multipliers tried on either side of the nearest one."""

Clip = tuple[int | None, int | None]


@dataclass(frozen=True)
class Requantisation:
    """``clip(zero_point + R(x * multiplier + addend, shift))``; ``rounding`` names R as ``graph.requant`` does.

    ``multiplier``, ``shift`` and ``addend`` hold one number, or one for each channel. ``lo`` and ``hi`` are the clip,
    ``None`` where nothing is clipped.
    """

    rounding: str
    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    zero_point: int
    lo: int | None
    hi: int | None
    addend: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class _Line:
    """``(x * multiplier + addend) >> shift``."""

    multiplier: int
    addend: int
    shift: int

    def fits(self) -> bool:
        """Whether ``graph.requant`` can hold the numbers."""
        return (
            INT32[0] <= self.multiplier <= INT32[1]
            and abs(self.addend) <= LARGEST_ADDEND
            and 0 <= self.shift <= LARGEST_SHIFT
        )


def requantisation(
    source: tuple[int, int], scales: Sequence[Fraction], offsets: Sequence[Fraction], clip: Clip
) -> Requantisation | str:
    """``clip(floor(x * scale + offset))`` for x in ``source``, or why no integer arithmetic gives it, in words.

    ``scales`` and ``offsets`` hold one number, or one for each channel.
    """
    if len(scales) == len(offsets) == 1 and _is_shift(scales[0]) and offsets[0] % 1 in (0, Fraction(1, 2)):
        return _plain(scales[0], offsets[0], clip)
    count = max(len(scales), len(offsets))
    lines: list[_Line] = []
    for channel in range(count):
        scale, offset = scales[channel % len(scales)], offsets[channel % len(offsets)]
        line = _dyadic(scale, offset) if _is_shift(scale) else _stepwise(source, scale, offset, clip)
        if line is None or not line.fits():
            return _reason(scale, offset)
        lines.append(line)
    lines = _aligned(lines)
    parameters = ([getattr(line, name) for line in lines] for name in ("multiplier", "shift", "addend"))
    multiplier, shift, addend = (tuple(p[:1] if len(set(p)) == 1 else p) for p in parameters)
    return Requantisation("floor", multiplier, shift, 0, *clip, addend)


def _is_shift(scale: Fraction) -> bool:
    return scale.denominator & (scale.denominator - 1) == 0


def _plain(scale: Fraction, offset: Fraction, clip: Clip) -> Requantisation | str:
    """One multiplier and shift, and a zero point behind them: what engines understand best."""
    line = _Line(scale.numerator, 0, scale.denominator.bit_length() - 1)
    if not line.fits() or not INT32[0] <= offset <= INT32[1]:
        return _reason(scale, offset)
    rounding = "half_up" if line.shift and offset % 1 else "floor"
    return Requantisation(rounding, (line.multiplier,), (line.shift,), floor(offset), *clip)


def _reason(scale: Fraction, offset: Fraction) -> str:
    if abs(offset) > INT32[1]:
        return f"{float(offset):g} is added to it, which is beyond int32"
    if not _is_shift(scale):
        return f"it is scaled by {scale}, which no multiplier and shift give exactly; divide by a power of two"
    return f"it is scaled by {float(scale):g}, which is beyond 2^31 or 2^-{LARGEST_SHIFT}"


def _dyadic(scale: Fraction, offset: Fraction) -> _Line:
    """Exact: rounding the addend down changes nothing, since the product is an integer."""
    shift = scale.denominator.bit_length() - 1
    return _Line(scale.numerator, floor(offset * 2**shift), shift)


def _aligned(lines: list[_Line]) -> list[_Line]:
    """All channels on the largest shift, where the numbers stay small enough: one shift serves them all."""
    shift = max(line.shift for line in lines)
    lifts = [shift - line.shift for line in lines]
    moved = [_Line(a.multiplier << lift, a.addend << lift, shift) for a, lift in zip(lines, lifts, strict=True)]
    return moved if all(line.fits() for line in moved) else lines


def _stepwise(source: tuple[int, int], scale: Fraction, offset: Fraction, clip: Clip) -> _Line | None:
    """A line whose floor steps up at the same x as ``clip(floor(x * scale + offset))``."""
    if scale < 0:
        mirrored = _stepwise((-source[1], -source[0]), -scale, offset, clip)
        return None if mirrored is None else _Line(-mirrored.multiplier, mirrored.addend, mirrored.shift)
    low, high = clip
    first, last = (_clipped(floor(x * scale + offset), clip) for x in source)
    if last - first > _MOST_STEPS:
        return None
    # below the clip and above it anything beyond will do
    steps = [(result, ceil((result - offset) / scale)) for result in range(first + 1, last + 1)]
    above = [*steps, *([(first, source[0])] if low is None or first > low else [])]
    below = [*((r, x - 1) for r, x in steps), *([(last + 1, source[1])] if high is None or last < high else [])]
    return next(_lines(scale, offset, above, below), None)


def _clipped(number: int, clip: Clip) -> int:
    low, high = clip
    number = number if low is None else max(number, low)
    return number if high is None else min(number, high)


def _lines(
    scale: Fraction, offset: Fraction, above: list[tuple[int, int]], below: list[tuple[int, int]]
) -> Iterator[_Line]:
    """Rising lines that are at least the result at every x of ``above``, and less at every x of ``below``."""
    shift = LARGEST_SHIFT
    while shift > 0 and (scale * 2**shift > INT32[1] - _TRIES or (abs(offset) + 1) * 2**shift > LARGEST_ADDEND):
        shift -= 1
    nearest = round(scale * 2**shift)
    tries = range(max(0, nearest - _TRIES), nearest + _TRIES + 1)
    for multiplier in sorted(tries, key=lambda m: abs(m - nearest)):
        least = max(((r << shift) - x * multiplier for r, x in above), default=-LARGEST_ADDEND)
        most = min(((r << shift) - x * multiplier - 1 for r, x in below), default=LARGEST_ADDEND)
        if least <= most:
            yield _Line(multiplier, min(max(0, least), most), shift)
