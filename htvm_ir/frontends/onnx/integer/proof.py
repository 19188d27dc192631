"""What is known for certain about a float tensor: which integers it is made of, and in which range.

A float tensor is described as ``clip(x * scale + offset)`` of an integer tensor x, with exact fractions, until a
Floor makes it an integer again: ``clip(floor(x * scale + offset))``. Clipping commutes with multiplying by a positive
constant and with Floor (both are monotone), so one clip is enough to describe any order of Div, Max, Min and Floor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from htvm_ir.frontends.onnx.graph import INT32

_FLOAT32_EXACT = 2**24
"""Integers up to here are exact in float32."""
_LARGEST_SHIFT = 62

Bound = Fraction | None


def _at_least(bound: Bound, value: Fraction) -> Bound:
    return None if bound is None else max(bound, value)


def _at_most(bound: Bound, value: Fraction) -> Bound:
    return None if bound is None else min(bound, value)


@dataclass(frozen=True)
class Requantisation:
    """``clip(zero_point + R(x * multiplier, shift))``; ``rounding`` names R as ``graph.requant`` does.

    ``lo`` and ``hi`` are the clip, ``None`` where nothing is clipped.
    """

    rounding: str
    multiplier: int
    shift: int
    zero_point: int
    lo: int | None
    hi: int | None


@dataclass(frozen=True)
class Value:
    """A float tensor in terms of an integer tensor x with elements in ``source`` = (least, greatest).

    ``low`` and ``high`` enclose its elements. ``clip_low`` and ``clip_high`` are the clip so far.
    """

    source: tuple[int, int]
    low: Fraction
    high: Fraction
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    clip_low: Bound = None
    clip_high: Bound = None
    floored: bool = False

    @staticmethod
    def integers(low: int, high: int) -> Value:
        """An integer tensor itself."""
        return Value((low, high), Fraction(low), Fraction(high))

    @property
    def interval(self) -> tuple[int, int]:
        """The least and the greatest integer it may be."""
        return floor(self.low), floor(self.high)

    @property
    def is_source(self) -> bool:
        """Whether it equals x, clips that change nothing aside."""
        return self.scale == 1 and self.offset == 0 and self.interval == self.source

    @property
    def is_rounded(self) -> bool:
        """Whether the network floors or clips it."""
        return self.floored or self.clip_low is not None or self.clip_high is not None

    @property
    def is_integer(self) -> bool:
        """Whether every element is proven an integer."""
        bounds = [self.clip_low or Fraction(0), self.clip_high or Fraction(0)]
        return self.floored or all(v.denominator == 1 for v in (self.scale, self.offset, *bounds))

    def fits(self, low: int, high: int) -> bool:
        """Whether every element lies in ``low`` to ``high``."""
        return low <= self.low and self.high <= high

    def times(self, factor: Fraction) -> Value:
        """The product with a positive constant; a floored value must be a tensor of its own before."""
        assert factor > 0 and not self.floored
        return replace(
            self,
            low=self.low * factor,
            high=self.high * factor,
            scale=self.scale * factor,
            offset=self.offset * factor,
            clip_low=None if self.clip_low is None else self.clip_low * factor,
            clip_high=None if self.clip_high is None else self.clip_high * factor,
        )

    def plus(self, term: Fraction) -> Value:
        """The sum with a constant, an integer if the value is floored."""
        assert not self.floored or term.denominator == 1
        return replace(
            self,
            low=self.low + term,
            high=self.high + term,
            offset=self.offset + term,
            clip_low=None if self.clip_low is None else self.clip_low + term,
            clip_high=None if self.clip_high is None else self.clip_high + term,
        )

    def clipped(self, low: Bound, high: Bound) -> Value:
        """``min(max(value, low), high)``."""
        result = self
        if low is not None:
            result = replace(
                result,
                low=max(result.low, low),
                high=max(result.high, low),
                clip_low=low if result.clip_low is None else max(result.clip_low, low),
                clip_high=_at_least(result.clip_high, low),
            )
        if high is not None:
            result = replace(
                result,
                low=min(result.low, high),
                high=min(result.high, high),
                clip_low=_at_most(result.clip_low, high),
                clip_high=high if result.clip_high is None else min(result.clip_high, high),
            )
        return result

    def floor(self) -> Value:
        """The value rounded down; see ``obstacle`` for when ``requantisation`` can express it."""
        if self.is_integer:
            return replace(self, floored=True)
        return replace(
            self,
            low=Fraction(floor(self.low)),
            high=Fraction(floor(self.high)),
            clip_low=None if self.clip_low is None else Fraction(floor(self.clip_low)),
            clip_high=None if self.clip_high is None else Fraction(floor(self.clip_high)),
            floored=True,
        )

    def obstacle(self) -> str | None:
        """Why ``floor(x * scale + offset)`` is no integer arithmetic, in words; ``None`` if it is."""
        multiplier, divisor = self.scale.numerator, self.scale.denominator
        if divisor & (divisor - 1):
            return f"it is scaled by {self.scale}; the divisor must be a power of two"
        greatest = max(abs(v) for v in self.source) * multiplier
        if multiplier & (multiplier - 1) and greatest > _FLOAT32_EXACT:
            return f"it is scaled by {float(self.scale):g}, which rounds in float32; the factor must be a power of two"
        if multiplier > INT32[1] or divisor > 2**_LARGEST_SHIFT:
            return f"it is scaled by {float(self.scale):g}, which is beyond 2^31 or 2^-62"
        if not INT32[0] <= self.offset <= INT32[1]:
            return f"{float(self.offset):g} is added to it, which is beyond int32"
        if divisor > 1 and self.offset % 1 not in (0, Fraction(1, 2)):
            return f"{float(self.offset):g} is added before the Floor; only an integer or 1/2 may be"
        return None

    def requantisation(self) -> Requantisation:
        """The integer operation that computes the value; it must be an integer without an obstacle."""
        assert self.is_integer and self.obstacle() is None
        half = self.scale.denominator > 1 and self.offset % 1 != 0
        return Requantisation(
            rounding="half_up" if half else "floor",
            multiplier=self.scale.numerator,
            shift=self.scale.denominator.bit_length() - 1,
            zero_point=floor(self.offset),
            lo=None if self.clip_low is None else floor(self.clip_low),
            hi=None if self.clip_high is None else floor(self.clip_high),
        )
