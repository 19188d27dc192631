"""Exact integer arithmetic of quantised networks on numpy arrays, without hardware in mind.

This is the reference that every other execution (tiles, jobs, C on the virtual SoC) is compared with. Activations are
NCHW with batch 1, accumulators int32 that wrap modulo 2**32 as C's unsigned arithmetic does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[Any]

ROUNDINGS = ("floor", "half_up", "half_even", "half_away", "gemmlowp", "single")
"""How ``acc * multiplier`` is divided by ``2**shift``; the table in docs/numerics.md says who uses which."""

LARGEST_ADDEND = 2**62 - 1
"""What may be added to a product of two 32-bit numbers, at most 2**62: their sum fits 64 bits."""

POOLS = ("average", "max", "sum")
"""What a window is reduced to."""

MEAN_ROUNDINGS = ("floor", "half_up", "half_away", "half_even")
"""How a window's sum is divided by the number of its elements."""


def conv2d(
    x: IntArray,
    weights: IntArray,
    bias: IntArray | None,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    zero_point: int = 0,
) -> IntArray:
    """Cross-correlate ``x`` [1, C, H, W] with ``weights`` [K, C/groups, FY, FX]; int32 [1, K, OY, OX].

    ``pads`` is top, left, bottom, right. What is multiplied is ``x - zero_point``, and zero in the padding.
    """
    top, left, bottom, right = pads
    _, channels, height, width = x.shape
    out_channels, per_group, fy, fx = weights.shape
    oy = (height + top + bottom - dilations[0] * (fy - 1) - 1) // strides[0] + 1
    ox = (width + left + right - dilations[1] * (fx - 1) - 1) // strides[1] + 1
    padded = np.zeros((channels, top + height + bottom, left + width + right), np.int32)
    padded[:, top : top + height, left : left + width] = x[0].astype(np.int32) - np.int32(zero_point)
    taps = np.empty((channels, fy, fx, oy, ox), np.int32)
    for i in range(fy):
        for j in range(fx):
            rows = slice(i * dilations[0], i * dilations[0] + strides[0] * (oy - 1) + 1, strides[0])
            columns = slice(j * dilations[1], j * dilations[1] + strides[1] * (ox - 1) + 1, strides[1])
            taps[:, i, j] = padded[:, rows, columns]
    columns_of = taps.reshape(groups, per_group * fy * fx, oy * ox)
    kernels = weights.reshape(groups, out_channels // groups, per_group * fy * fx)
    acc = _matmul(kernels, columns_of).reshape(1, out_channels, oy, ox)
    return acc if bias is None else acc + bias.astype(np.int32).reshape(1, -1, 1, 1)


def _matmul(a: IntArray, b: IntArray) -> IntArray:
    """Integer matrix product modulo 2**32, through BLAS where float64 is exact."""
    depth = a.shape[-1]
    bound = int(np.abs(a, dtype=np.int64).max(initial=0)) * int(np.abs(b, dtype=np.int64).max(initial=0))
    if bound * depth < 2**53:
        exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
        return exact.astype(np.int64).astype(np.int32)
    return np.matmul(a.astype(np.int64), b.astype(np.int64)).astype(np.int32)


def dense(x: IntArray, weights: IntArray, bias: IntArray | None, zero_point: int = 0) -> IntArray:
    """``x - zero_point`` [1, C] times ``weights`` [K, C] transposed plus ``bias`` [K]; int32 [1, K]."""
    acc = _matmul(x.astype(np.int32) - np.int32(zero_point), weights.T)
    return acc if bias is None else acc + bias.astype(np.int32)


def add(a: IntArray, b: IntArray) -> IntArray:
    """Element-wise int32 sum."""
    return a.astype(np.int32) + b.astype(np.int32)


def sub(a: IntArray, b: IntArray) -> IntArray:
    """Element-wise int32 difference."""
    return a.astype(np.int32) - b.astype(np.int32)


def mul(a: IntArray, b: IntArray, zero_points: Sequence[int] = (0, 0)) -> IntArray:
    """Element-wise int32 product of ``a`` and ``b``, each less its zero point."""
    return (a.astype(np.int32) - np.int32(zero_points[0])) * (b.astype(np.int32) - np.int32(zero_points[1]))


def lookup(x: IntArray, table: IntArray) -> IntArray:
    """``table`` [256] at the number of each element of the 8-bit ``x``, counted from the smallest one of its type."""
    return table[x.astype(np.int64) - int(np.iinfo(x.dtype).min)]


def pool(
    x: IntArray,
    kind: str,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    rounding: str,
) -> IntArray:
    """One of POOLS over windows of ``x`` [1, C, H, W]; padded positions do not count.

    ``rounding`` is one of MEAN_ROUNDINGS and matters for averages only. A sum is int32, anything else of x's type.
    """
    top, left, bottom, right = pads
    neutral = int(np.iinfo(x.dtype).min) if kind == "max" else 0
    edges = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x.astype(np.int64), edges, constant_values=neutral)
    counted = np.pad(np.ones_like(x, dtype=np.int64), edges)

    def windows(a: IntArray) -> IntArray:
        view = np.lib.stride_tricks.sliding_window_view(a, tuple(kernel), axis=(2, 3))
        return view[:, :, :: strides[0], :: strides[1]]

    if kind == "max":
        return windows(padded).max(axis=(4, 5)).astype(x.dtype)
    total = windows(padded).sum(axis=(4, 5))
    if kind == "sum":
        return total.astype(np.int32)
    return mean(total, windows(counted).sum(axis=(4, 5)), rounding).astype(x.dtype)


def mean(total: IntArray, count: IntArray, rounding: str) -> IntArray:
    """``total / count`` as an integer; ``rounding`` is one of MEAN_ROUNDINGS and count is positive."""
    match rounding:
        case "floor":
            return total // count
        case "half_up":
            return (2 * total + count) // (2 * count)
        case "half_away":
            return np.sign(total) * ((2 * np.abs(total) + count) // (2 * count))
        case "half_even":
            quotient = total // count
            twice = 2 * (total - quotient * count)
            return quotient + ((twice > count) | ((twice == count) & (quotient % 2 == 1)))
        case _:
            raise ValueError(f"unknown rounding {rounding!r}")


def space_to_depth(x: IntArray, block: Sequence[int], pads: Sequence[int]) -> IntArray:
    """Move blocks of ``block`` = (by, bx) pixels of the zero-padded ``x`` [1, C, H, W] into channels.

    Output channel ``(c * by + i) * bx + j`` at (y, x) is the padded input's channel c at
    (y * by + i, x * bx + j); the padded height and width are multiples of the block.
    """
    by, bx = block
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n, c, h, w = padded.shape
    cells = padded.reshape(n, c, h // by, by, w // bx, bx).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(cells.reshape(n, c * by * bx, h // by, w // bx))


def _round_half_even(product: IntArray, shift: IntArray) -> IntArray:
    quotient = product >> shift
    rest = product - (quotient << shift)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), np.int64(0))
    up = (rest > half) | ((rest == half) & (quotient & 1 == 1))
    return quotient + np.where(shift > 0, up, False)


def _rounding_right_shift(value: IntArray, shift: IntArray) -> IntArray:
    """Divide by ``2**shift``, half away from zero."""
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), np.int64(0))
    magnitude = (np.abs(value) + half) >> shift
    return np.where(value < 0, -magnitude, magnitude)


def scale(
    acc: IntArray, multiplier: IntArray, shift: IntArray, rounding: str, addend: IntArray | None = None
) -> IntArray:
    """``R(acc * multiplier + addend, shift)``, exact in 64 bits; ``rounding`` is one of ROUNDINGS.

    ``gemmlowp`` is the rounding doubling high multiply of 32 x 32 bits followed by a rounding shift
    by ``shift - 31``; it needs ``shift >= 31``.
    """
    product = acc.astype(np.int64) * multiplier.astype(np.int64)
    if addend is not None:
        product = product + addend.astype(np.int64)
    shift = np.broadcast_to(shift.astype(np.int64), product.shape)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), np.int64(0))
    match rounding:
        case "floor":
            return product >> shift
        case "half_up" | "single":
            return (product + half) >> shift
        case "half_even":
            return _round_half_even(product, shift)
        case "half_away":
            return _rounding_right_shift(product, shift)
        case "gemmlowp":
            nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
            # C's truncating division by 2**31
            high = np.where(product + nudge >= 0, (product + nudge) >> 31, -((-(product + nudge)) >> 31))
            return _rounding_right_shift(np.minimum(high, 2**31 - 1), shift - 31)
        case _:
            raise ValueError(f"unknown rounding {rounding!r}")


def requantize(
    acc: IntArray,
    rounding: str,
    multiplier: Sequence[int],
    shift: Sequence[int],
    zero_point: int,
    lo: int,
    hi: int,
    dtype: np.dtype[Any],
    addend: Sequence[int] = (0,),
) -> IntArray:
    """``clamp(zero_point + R(acc * multiplier + addend, shift), lo, hi)``; one value or one per channel (axis 1)."""

    def per_channel(values: Sequence[int]) -> IntArray:
        column = np.asarray(values, np.int64)
        return column.reshape((1, -1) + (1,) * (acc.ndim - 2)) if len(values) > 1 else column

    scaled = scale(acc, per_channel(multiplier), per_channel(shift), rounding, per_channel(addend))
    return np.clip(scaled + zero_point, lo, hi).astype(dtype)


def float_text(number: float) -> str:
    """A float32 as an expression in C, to the last bit."""
    if np.isfinite(number):
        return f"{re.sub(r'[.]?0+p', 'p', float(number).hex())}f"
    return "(0.0f / 0.0f)" if np.isnan(number) else f"({'-' if number < 0 else ''}1.0f / 0.0f)"
