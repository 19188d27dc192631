"""What is known for certain about a float tensor: which integers it is made of, and in which range.

A float tensor is described as ``clip(x * scale + offset)`` of an integer tensor x, with exact fractions for the whole
tensor or for each channel, until a Floor (or a cast to integers) makes it an integer again:
``clip(floor(x * scale + offset))``. Clipping commutes with multiplying by a positive constant and with Floor (both are
monotone), so one clip is enough to describe any order of Div, Max, Min and Floor.

Integers mean integers: a product or sum of integers is exact here, even where float32 would have to round it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import floor, trunc
from operator import add, mul

from htvm_ir.frontends.onnx.integer.multipliers import Requantisation, requantisation

_FLOAT32_EXACT = 2**24
"""Integers up to here are exact in float32."""

Bound = Fraction | None
Vector = tuple[Fraction, ...]
"""One number, or one for each channel."""


def vector(numbers: Iterable[Fraction]) -> Vector:
    """Numbers for the channels, one if they are all alike."""
    found = tuple(numbers)
    return found[:1] if len(set(found)) == 1 else found


def _together(apply: Callable[[Fraction, Fraction], Fraction], a: Vector, b: Vector) -> Vector:
    count = max(len(a), len(b))
    pairs = zip(a * count if len(a) == 1 else a, b * count if len(b) == 1 else b, strict=True)
    return vector(apply(x, y) for x, y in pairs)


def _moved(bound: Bound, by: Callable[[Fraction], Fraction | int]) -> Bound:
    return None if bound is None else Fraction(by(bound))


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def _keeps_mantissa(factor: Fraction) -> bool:
    """Whether a product is one of integers, or only moves the binary point."""
    return factor.denominator == 1 or (abs(factor.numerator) == 1 and _is_power_of_two(factor.denominator))


@dataclass(frozen=True)
class Value:
    """A float tensor in terms of an integer tensor x with elements in ``source`` = (least, greatest).

    ``clip_low`` and ``clip_high`` are the clip so far. ``floored``: x * scale + offset is rounded down.
    ``truncated``: it is rounded towards zero, which nothing computes until a clip makes it the same as rounding down.
    ``doubt``: why float32 might compute something else, if it might.
    """

    source: tuple[int, int]
    scales: Vector = (Fraction(1),)
    offsets: Vector = (Fraction(0),)
    clip_low: Bound = None
    clip_high: Bound = None
    floored: bool = False
    truncated: bool = False
    doubt: str | None = None

    @staticmethod
    def integers(low: int, high: int) -> Value:
        """An integer tensor itself."""
        return Value((low, high))

    @cached_property
    def _span(self) -> tuple[Fraction, Fraction]:
        """The least and the greatest element."""
        products = (tuple(scale * x for scale in self.scales) for x in self.source)
        ends = [_together(add, product, self.offsets) for product in products]
        low, high = min(map(min, ends)), max(map(max, ends))
        if self.floored:
            low, high = Fraction(floor(low)), Fraction(floor(high))
        elif self.truncated:
            low, high = Fraction(trunc(low)), Fraction(trunc(high))
        if self.clip_low is not None:
            low, high = max(low, self.clip_low), max(high, self.clip_low)
        if self.clip_high is not None:
            low, high = min(low, self.clip_high), min(high, self.clip_high)
        return low, high

    @property
    def low(self) -> Fraction:
        """A bound of its elements that one of them may reach."""
        return self._span[0]

    @property
    def high(self) -> Fraction:
        """A bound of its elements that one of them may reach."""
        return self._span[1]

    @property
    def interval(self) -> tuple[int, int]:
        """The least and the greatest integer it may be."""
        return floor(self.low), floor(self.high)

    @property
    def is_uniform(self) -> bool:
        """Whether all channels have one scale and one offset."""
        return len(self.scales) == len(self.offsets) == 1

    @property
    def scale(self) -> Fraction:
        """The one scale."""
        (scale,) = self.scales
        return scale

    @property
    def offset(self) -> Fraction:
        """The one offset."""
        (offset,) = self.offsets
        return offset

    @property
    def is_scaled(self) -> bool:
        """Whether it stands for the real numbers of an integer tensor: that times one scale, not rounded."""
        return self.is_uniform and not (self.floored or self.truncated) and 0 < self.scale != 1

    @property
    def is_source(self) -> bool:
        """Whether it equals x, clips that change nothing aside."""
        return self.scales == (1,) and self.offsets == (0,) and self.interval == self.source

    @property
    def is_clipped(self) -> bool:
        """Whether the network clips it."""
        return self.clip_low is not None or self.clip_high is not None

    @property
    def is_rounded(self) -> bool:
        """Whether the network floors or clips it."""
        return self.floored or self.truncated or self.is_clipped

    @property
    def is_integer(self) -> bool:
        """Whether every element is proven an integer."""
        bounds = [self.clip_low or Fraction(0), self.clip_high or Fraction(0)]
        exact = all(v.denominator == 1 for v in (*self.scales, *self.offsets, *bounds))
        return self.floored or self.truncated or exact

    def fits(self, low: int, high: int) -> bool:
        """Whether every element lies in ``low`` to ``high``."""
        return low <= self.low and self.high <= high

    def scales_by(self, factors: Vector) -> bool:
        """Whether :meth:`times` describes the product: what is rounded must be a tensor of its own before.

        So must be what is clipped, except for one positive factor.
        """
        is_plain = len(factors) == 1 and factors[0] > 0
        return not (self.floored or self.truncated) and (is_plain or not self.is_clipped)

    def adds(self, terms: Vector) -> bool:
        """Whether :meth:`plus` describes the sum; see :meth:`scales_by`."""
        whole = all(term.denominator == 1 for term in terms)
        return not self.truncated and (not self.floored or whole) and (len(terms) == 1 or not self.is_clipped)

    def times(self, *factors: Fraction, exact: bool = False) -> Value:
        """The product with a constant, or one for each channel; see :meth:`scales_by`.

        ``exact`` says that the arithmetic is the file's own integer arithmetic and not that of float32.
        """
        assert self.scales_by(factors)
        result = replace(
            self._with_clip(lambda bound: bound * factors[0]),
            scales=_together(mul, self.scales, factors),
            offsets=_together(mul, self.offsets, factors),
        )
        exact = exact or all(_keeps_mantissa(factor) for factor in factors)
        return result if exact or self.doubt else replace(result, doubt=result._rounding_error())

    def _rounding_error(self) -> str | None:
        """Why a product with a fraction may not be exact in float32."""
        for number in (*self.scales, *self.offsets):
            if not _is_power_of_two(number.denominator):
                return f"it is scaled by {self.scales[0]}; the divisor must be a power of two"
        greatest = max(abs(v) for v in self.source)
        for scale in self.scales:
            multiplier = abs(scale.numerator)
            if not _is_power_of_two(multiplier) and greatest * multiplier > _FLOAT32_EXACT:
                return f"it is scaled by {float(scale):g}, which rounds in float32; the factor must be a power of two"
        return None

    def plus(self, *terms: Fraction) -> Value:
        """The sum with a constant, or one for each channel; see :meth:`adds`."""
        assert self.adds(terms)
        result = self._with_clip(lambda bound: bound + terms[0])
        odd = next((term for term in terms if term.denominator > 2), None)
        doubt = None if odd is None else f"{float(odd):g} is added before the Floor; only an integer or 1/2 may be"
        return replace(result, offsets=_together(add, self.offsets, terms), doubt=self.doubt or doubt)

    def clipped(self, low: Bound, high: Bound) -> Value:
        """``min(max(value, low), high)``."""
        below, above = self.clip_low, self.clip_high
        if low is not None:
            below = low if below is None else max(below, low)
            above = None if above is None else max(above, low)
        if high is not None:
            below = None if below is None else min(below, high)
            above = high if above is None else min(above, high)
        result = replace(self, clip_low=below, clip_high=above)
        return result._without_sign() if self.truncated else result

    def floor(self) -> Value:
        """The value rounded down; see ``obstacle`` for when ``requantisation`` can express it."""
        if self.is_integer:
            return self if self.truncated else replace(self, floored=True)
        return replace(self._with_clip(floor), floored=True)

    def cut(self) -> Value:
        """The value rounded towards zero, as a cast or a division of integers does."""
        return self if self.is_integer else replace(self._with_clip(trunc), truncated=True)._without_sign()

    def _with_clip(self, by: Callable[[Fraction], Fraction | int]) -> Value:
        return replace(self, clip_low=_moved(self.clip_low, by), clip_high=_moved(self.clip_high, by))

    def _without_sign(self) -> Value:
        """Where no element is negative, or a clip hides it, rounding towards zero is rounding down."""
        hides = self.low >= 0 or (self.clip_low is not None and self.clip_low >= 0)
        return replace(self, floored=True, truncated=False) if hides else self

    def integers_behind(self) -> Value:
        """The integers that scale and offset of a uniform value turn into it."""
        result = self._with_clip(lambda bound: (bound - self.offset) / self.scale)
        return replace(result, scales=(Fraction(1),), offsets=(Fraction(0),), doubt=None)

    def obstacle(self) -> str | None:
        """Why ``floor(x * scale + offset)`` is no integer arithmetic, in words; ``None`` if it is."""
        if self.doubt is not None:
            return self.doubt
        if self.truncated:
            return "it is rounded towards zero and may be negative; clip it at 0 or use Floor"
        return self._found if isinstance(self._found, str) else None

    @cached_property
    def _found(self) -> Requantisation | str:
        low, high = (None if bound is None else floor(bound) for bound in (self.clip_low, self.clip_high))
        return requantisation(self.source, self.scales, self.offsets, (low, high))

    def requantisation(self) -> Requantisation:
        """The integer operation that computes the value; it must be an integer without an obstacle."""
        assert self.is_integer and self.obstacle() is None and isinstance(self._found, Requantisation)
        return self._found
