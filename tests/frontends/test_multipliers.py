"""Multipliers and shifts, and TFLite's arithmetic on them, against its definition in plain integers."""

from __future__ import annotations

from math import frexp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_models import Network, result

from htvm_ir.frontends.onnx.quantised.multipliers import scaling

QUICK = settings(deadline=None, max_examples=25)


def test_known_factors() -> None:
    assert scaling([0.5]).multiplier == (1 << 30,)
    assert scaling([0.5]).shift == (31,)
    assert scaling([1.0, 1.0]).shift == (30,)
    assert scaling([3.0], 31) == scaling([0.75], 31).__class__((3 << 29,), (31,), (2,))
    assert scaling([1.0 - 2.0**-40]).multiplier == (1 << 30,)


def test_factors_that_take_everything_to_zero() -> None:
    assert scaling([2.0**-33, 0.25]).multiplier == (0, 1 << 30)
    assert scaling([2.0**-32]).multiplier == (1 << 30,)
    assert scaling([2.0**-32]).shift == (62,)


def test_factors_beyond_32_bits() -> None:
    with pytest.raises(ValueError, match="beyond 2\\^61"):
        scaling([2.0**61])
    with pytest.raises(ValueError, match="beyond 2\\^30"):
        scaling([0.5, 2.0**30], 31)
    assert scaling([2.0**29], 31).lift == (30,)


@settings(deadline=None)
@given(st.floats(2.0**-31, 2.0**20))
def test_precision(factor: float) -> None:
    for least in (0, 31):
        spec = scaling([factor], least)
        assert 1 << 30 <= spec.multiplier[0] < 1 << 31
        assert least <= spec.shift[0] <= 62
        value = spec.multiplier[0] * 2.0 ** (spec.lift[0] - spec.shift[0])
        assert abs(value - factor) <= factor * 2.0**-31


def quantize_multiplier(factor: float) -> tuple[int, int]:
    fraction, exponent = frexp(factor)
    return round(fraction * (1 << 31)), exponent


def multiply(x: int, factor: float) -> int:
    """MultiplyByQuantizedMultiplier with its two roundings."""
    multiplier, exponent = quantize_multiplier(factor)
    x <<= max(exponent, 0)
    product = x * multiplier
    nudged = product + (1 << 30 if product >= 0 else 1 - (1 << 30))
    high = abs(nudged) >> 31
    high = -high if nudged < 0 else high
    shift = max(-exponent, 0)
    mask, remainder = (1 << shift) - 1, high & ((1 << shift) - 1)
    return (high >> shift) + (remainder > (mask >> 1) + (high < 0))


def saturated(value: int) -> int:
    return min(max(value, -128), 127)


scales = st.floats(1e-3, 0.5).map(np.float32).map(float)
zeros = st.integers(-128, 127)


def pair(op: str, formats: list[tuple[float, int]]) -> tuple[Network, np.ndarray]:
    """x through ``op`` with its own rescaled copy; the model and all values of x."""
    (sa, za), (sb, zb), (so, zo) = formats
    net = Network((1, 256)).dequantize("x", sa, za).quantize("x.f", "t", sb, zb)
    net.op(op, "x.f t.f", "c").quantize("c", "y", so, zo)
    return net, np.arange(-128, 128, dtype=np.int8)[None]


@QUICK
@given(st.sampled_from(["Add", "Sub", "Mul"]), st.lists(st.tuples(scales, zeros), min_size=3, max_size=3))
def test_tflite_on_two_tensors(op: str, formats: list[tuple[float, int]]) -> None:
    (sa, za), (sb, zb), (so, zo) = formats
    net, x = pair(op, formats)
    expected: list[int] = []
    for a in range(-128, 128):
        b = a - za + zb if sa == sb else saturated(multiply(a - za, sa / sb) + zb)
        b = saturated(b)
        if op == "Mul":
            total = multiply((a - za) * (b - zb), sa * sb / so)
        else:
            twice = 2 * max(sa, sb)
            left = multiply((a - za) << 20, sa / twice)
            right = multiply((b - zb) << 20, sb / twice)
            total = multiply(left + right if op == "Add" else left - right, twice / ((1 << 20) * so))
        expected.append(saturated(total + zo))
    np.testing.assert_array_equal(result(net.model(), x, "tflite")[0][0], expected)


@QUICK
@given(scales, zeros, st.integers(1, 6), st.integers(1, 6))
def test_tflite_averages_go_away_from_zero(scale: float, zero: int, height: int, width: int) -> None:
    net = Network((1, 2, height, width)).dequantize("x", scale, zero).op("GlobalAveragePool", "x.f", "c")
    x = net.sample()
    (ours,) = result(net.quantize("c", "y", scale, zero).model(), x, "tflite")
    total, count = x.astype(int).sum(axis=(2, 3)), height * width
    expected = np.where(total >= 0, (2 * total + count) // (2 * count), -((count - 2 * total) // (2 * count)))
    np.testing.assert_array_equal(ours[:, :, 0, 0], expected)
