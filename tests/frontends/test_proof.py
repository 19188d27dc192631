"""The expression a tensor stands for, against plain evaluation of the same nodes in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

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


def compute(value: Value, x: list[int]) -> list[int]:
    spec = value.requantisation()
    lo, hi = spec.lo if spec.lo is not None else -(2**31), spec.hi if spec.hi is not None else 2**31 - 1
    arguments = spec.rounding, [spec.multiplier], [spec.shift], spec.zero_point, lo, hi
    return [int(v) for v in requantize(np.array([x]), *arguments, np.dtype(np.int32))[0]]


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
    assert compute(result, samples) == expected
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
