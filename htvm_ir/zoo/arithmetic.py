"""What DIANA's integer networks compute, in numpy.

Tensors are float32 arrays that hold integers, batch first, channels second. Every sum stays below
2**24 in magnitude, where float32 is exact in whatever order BLAS adds.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Pads: TypeAlias = tuple[int, int, int, int]

INT8_MIN = -128
INT8_MAX = 127
INT7_MIN, INT7_MAX = -64, 63
ADC_MIN, ADC_MAX = -32, 31
"""What the converters behind DIANA's analog array give."""
_MAX_SHIFT = 24


def same_pads(size: tuple[int, int], kernel: tuple[int, int], stride: int) -> Pads:
    """TensorFlow's SAME padding in ONNX order (top, left, bottom, right): the odd one goes last."""

    def axis(extent: int, taps: int) -> tuple[int, int]:
        total = max((-(-extent // stride) - 1) * stride + taps - extent, 0)
        return total // 2, total - total // 2

    (top, bottom), (left, right) = axis(size[0], kernel[0]), axis(size[1], kernel[1])
    return top, left, bottom, right


def conv2d(x: Array, weight: Array, stride: int, pads: Pads) -> Array:
    """Convolves x (N, C, H, W) with weight (O, C, kh, kw), or depthwise with (C, 1, kh, kw)."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    kernel = (weight.shape[2], weight.shape[3])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    if weight.shape[1] != x.shape[1]:
        return np.einsum("nchwij,cij->nchw", windows, weight[:, 0])
    return np.moveaxis(np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3))), 3, 1)


def global_average(x: Array) -> Array:
    """Mean over the map of x (N, C, H, W), rounded down: (N, C)."""
    return np.floor(x.sum(axis=(2, 3)) / np.float32(x.shape[2] * x.shape[3]))


def requantise(acc: Array, shift: int, lo: int, hi: int = INT8_MAX) -> Array:
    """clamp(acc >> shift, lo, hi) with the arithmetic (floor) shift."""
    return np.clip(np.floor(acc / np.float32(2**shift)), lo, hi)


def smallest_shift(acc: Array, lo: int, saturated: float, hi: int = INT8_MAX) -> int:
    """The smallest right shift at which at most a share `saturated` of `acc` leaves lo to hi.

    With lo = 0 the negative values are the ReLU's and do not count.
    """
    floor = -np.inf if lo == 0 else float(lo)
    for shift in range(_MAX_SHIFT):
        shifted = np.floor(acc / np.float32(2**shift))
        if np.mean((shifted < floor) | (shifted > hi)) <= saturated:
            return shift
    return _MAX_SHIFT
