"""The expression a tensor stands for, against plain evaluation of the same nodes in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, trunc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.arithmetic import requantize
from htvm_ir.frontends.onnx.integer.proof import Value

SOURCE = (-300, 250)
QUARTERS = st.integers(-600, 600).map(lambda n: Fraction(n, 4))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("times"), st.sampled_from([Fraction(2), *(Fraction(1, 2**k) for k in range(7))])),
        st.tuples(st.just("plus"), st.sampled_from([Fraction(1, 2), Fraction(3), Fraction(-2)])),
        st.tuples(st.just("max"), QUARTERS),
        st.tuples(st.just("min"), QUARTERS),
    ),
    max_size=6,
)


def follow(steps: list[tuple[str, Fraction]], value: Value) -> Value:
    for kind, number in steps:
        match kind:
            case "times":
                value = value.times(number)
            case "plus":
                value = value.plus(number)
            case "max":
                value = value.clipped(number, None)
            case _:
                value = value.clipped(None, number)
    return value


def evaluate(steps: list[tuple[str, Fraction]], x: Fraction) -> Fraction:
    for kind, number in steps:
        match kind:
            case "times":
                x *= number
            case "plus":
                x += number
            case "max":
                x = max(x, number)
            case _:
                x = min(x, number)
    return x


def compute(value: Value, x: list[int]) -> list[list[int]]:
    """The requantisation of x, for each channel."""
    spec = value.requantisation()
    lo, hi = spec.lo if spec.lo is not None else -(2**31), spec.hi if spec.hi is not None else 2**31 - 1
    arguments = spec.rounding, spec.multiplier, spec.shift, spec.zero_point, lo, hi, np.dtype(np.int64), spec.addend
    channels = max(len(spec.multiplier), len(spec.addend), len(spec.shift))
    return requantize(np.broadcast_to(x, (1, channels, 1, len(x))), *arguments)[0, :, 0].tolist()


@settings(deadline=None, max_examples=300)
@given(before=STEPS, after=st.lists(st.integers(-140, 140), max_size=3))
def test_requantisation_equals_the_chain(before: list[tuple[str, Fraction]], after: list[int]) -> None:
    value = follow(before, Value.integers(*SOURCE))
    clips = [("max" if i % 2 else "min", Fraction(bound)) for i, bound in enumerate(after)]
    if value.obstacle() is not None:
        return
    result = follow(clips, value.floor())
    samples = [*range(SOURCE[0], SOURCE[1], 7), SOURCE[1]]
    expected = [int(evaluate(clips, Fraction(floor(evaluate(before, Fraction(x)))))) for x in samples]
    assert compute(result, samples) == [expected]
    low, high = result.interval
    assert low == min(expected)
    assert high == max(expected)


@settings(deadline=None, max_examples=200)
@given(steps=STEPS)
def test_an_integer_is_what_is_always_one(steps: list[tuple[str, Fraction]]) -> None:
    value = follow(steps, Value.integers(*SOURCE))
    results = [evaluate(steps, Fraction(x)) for x in range(SOURCE[0], SOURCE[1] + 1)]
    assert min(results) == value.low
    assert max(results) == value.high
    if value.is_integer:
        assert all(result.denominator == 1 for result in results)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Value.integers(0, 9).times(Fraction(1, 3)), "power of two"),
        (Value.integers(-(2**20), 2**20).times(Fraction(0.0123)), "rounds in float32"),
        (Value.integers(0, 9).times(Fraction(1, 2**63)), "beyond"),
        (Value.integers(0, 9).times(Fraction(1, 4)).plus(Fraction(1, 4)), "0.25 is added"),
    ],
)
def test_obstacles_say_what_is_wrong(value: Value, words: str) -> None:
    reason = value.obstacle()
    assert reason is not None
    assert words in reason


FACTORS = st.fractions(Fraction(-3), Fraction(3), max_denominator=2**25 - 1).filter(bool)
TERMS = st.fractions(Fraction(-9), Fraction(9), max_denominator=10**7)


@settings(deadline=None, max_examples=100)
@given(
    channels=st.lists(st.tuples(FACTORS, TERMS), min_size=1, max_size=3),
    clip=st.tuples(st.integers(-200, 0), st.integers(0, 255)),
    source=st.tuples(st.integers(-(2**20), 0), st.integers(0, 2**20)),
    seed=st.integers(0, 99),
)
def test_any_divisor_of_each_channel(
    channels: list[tuple[Fraction, Fraction]], clip: tuple[int, int], source: tuple[int, int], seed: int
) -> None:
    """Where a multiplier and a shift are found for divisors that are no powers of two, they are exact."""
    scales, offsets = zip(*channels, strict=True)
    value = Value(source, scales, offsets).floor().clipped(*map(Fraction, clip))
    assert value.obstacle() is None
    steps = [ceil((k - o) / s) + d for s, o in channels for k in range(clip[0], clip[1] + 2) for d in (-1, 0, 1)]
    noise = np.random.default_rng(seed).integers(*source, 99, endpoint=True).tolist()
    samples = [x for x in (*steps, *noise, *source) if source[0] <= x <= source[1]]
    expected = [[min(max(floor(x * s + o), clip[0]), clip[1]) for x in samples] for s, o in channels]
    got = compute(value, samples)
    assert got == expected if len(got) > 1 else all(row == got[0] for row in expected)
    assert value.low == min(map(min, expected))
    assert value.high == max(map(max, expected))


@given(st.fractions(-9, 9, max_denominator=64), st.integers(0, 40))
def test_rounding_towards_zero_is_a_floor_behind_a_clip_at_zero(scale: Fraction, high: int) -> None:
    value = Value.integers(-99, 99).times(scale, exact=True).cut().clipped(Fraction(0), Fraction(high))
    samples = list(range(-99, 100))
    assert value.obstacle() is None
    assert compute(value, samples) == [[min(max(trunc(x * scale), 0), high) for x in samples]]


def test_rounding_towards_zero_alone_is_refused() -> None:
    value = Value.integers(-9, 9).times(Fraction(1, 4), exact=True).cut()
    assert "towards zero" in (value.obstacle() or "")
    assert value.clipped(Fraction(-1), None).obstacle() is not None
    assert Value.integers(0, 9).times(Fraction(1, 4), exact=True).cut().obstacle() is None


def test_integers_are_exact_beyond_float32() -> None:
    value = Value.integers(0, 2**20).times(Fraction(2047)).plus(Fraction(12345)).times(Fraction(1, 2**24)).floor()
    assert compute(value, [2**20]) == [[(2**20 * 2047 + 12345) >> 24]]
