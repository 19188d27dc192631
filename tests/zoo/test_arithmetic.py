"""The zoo's numpy arithmetic against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.zoo.arithmetic import (
    Array,
    Pads,
    conv2d,
    global_average,
    requantise,
    same_pads,
    smallest_shift,
)


def naive_conv(x: Array, weight: Array, stride: int, pads: Pads) -> Array:
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out_channels, group_channels, kh, kw = weight.shape
    height, width = ((padded.shape[2 + i] - (kh, kw)[i]) // stride + 1 for i in range(2))
    y = np.zeros((x.shape[0], out_channels, height, width), np.float32)
    per_group = out_channels * group_channels // x.shape[1]
    for o, i, j in np.ndindex(out_channels, height, width):
        first = o // per_group * group_channels
        patch = padded[:, first : first + group_channels]
        patch = patch[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        y[:, o, i, j] = (patch * weight[o]).sum(axis=(1, 2, 3))
    return y


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 5),
    out=st.integers(1, 4),
    depthwise=st.booleans(),
    stride=st.integers(1, 2),
    pads=st.tuples(*(st.integers(0, 2),) * 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_conv2d_equals_its_definition(
    *, channels: int, out: int, depthwise: bool, stride: int, pads: Pads, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (2, channels, 6, 5)).astype(np.float32)
    shape = (channels, 1, 3, 2) if depthwise else (out, channels, 3, 2)
    weight = rng.integers(-128, 128, shape).astype(np.float32)
    np.testing.assert_array_equal(conv2d(x, weight, stride, pads), naive_conv(x, weight, stride, pads))


def test_same_pads_put_the_odd_one_last() -> None:
    assert same_pads((96, 96), (3, 3), 2) == (0, 0, 1, 1)
    assert same_pads((49, 10), (10, 4), 2) == (4, 1, 5, 1)
    assert same_pads((8, 8), (3, 3), 1) == (1, 1, 1, 1)
    assert same_pads((32, 32), (1, 1), 2) == (0, 0, 0, 0)


@settings(deadline=None)
@given(st.integers(-(2**23), 2**23), st.integers(0, 23), st.sampled_from((0, -128)))
def test_requantise_is_the_arithmetic_shift(acc: int, shift: int, lo: int) -> None:
    expected = min(max(acc >> shift, lo), 127)
    assert requantise(np.array([acc], np.float32), shift, lo) == [expected]


def test_global_average_rounds_down() -> None:
    x = np.array([[[[-1, 0], [0, 0]], [[1, 1], [1, 0]]]], np.float32)
    np.testing.assert_array_equal(global_average(x), [[-1, 0]])


@pytest.mark.parametrize(("lo", "shift"), [(0, 2), (-128, 3)])
def test_smallest_shift_ignores_what_relu_cuts(lo: int, shift: int) -> None:
    acc = np.array([-1024, 508, 0, 10], np.float32)
    assert smallest_shift(acc, lo, saturated=0.0) == shift
    assert smallest_shift(acc, lo, saturated=0.5) == 0
