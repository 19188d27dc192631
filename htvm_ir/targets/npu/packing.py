"""The constants of a layer as they lie in the weight memory: a record for each output channel.

bias (int32), then, in a scaled layer, multiplier (int32), shift (int32) and addend (int64), then the weights
[C, FY, FX], each of so many bits (two's complement, the first in the lowest bits; the last byte is filled up).
Everything is little-endian, and no record is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.targets.workload import Requant, Workload, as_array

Bytes = NDArray[np.uint8]

BIAS_BYTES, SCALE_BYTES = 4, 16


def is_scaled(requant: Requant) -> bool:
    """Whether the channels differ in multiplier, shift or addend."""
    return any(len(set(values)) > 1 for values in (requant.multiplier, requant.shift, requant.addend))


def weight_bytes(taps: int, bits: int = 8) -> int:
    """Bytes of so many weights."""
    return -(-taps * bits // 8)


def record_bytes(taps: int, scaled: bool, bits: int = 8) -> int:
    """Bytes of one output channel of so many weights."""
    return BIAS_BYTES + (SCALE_BYTES if scaled else 0) + weight_bytes(taps, bits)


def pack(workload: Workload, bits: int = 8) -> Bytes:
    """All records of a layer."""
    weights = as_array(workload.weights).astype(np.int8)
    channels = len(weights)
    bias = np.zeros(channels) if workload.bias is None else workload.bias
    columns = [_bytes(bias, "<i4", channels)]
    requant = workload.requant
    if requant is not None and is_scaled(requant):
        for values, dtype in ((requant.multiplier, "<i4"), (requant.shift, "<i4"), (requant.addend, "<i8")):
            columns.append(_bytes(values, dtype, channels))
    columns.append(_narrowed(weights.reshape(channels, -1), bits))
    return np.concatenate(columns, axis=1).reshape(-1)


@dataclass(frozen=True)
class Constants:
    """What a job finds in the weight memory; ``scales`` are multipliers, shifts and addends, if there are any."""

    weights: NDArray[Any]
    bias: NDArray[Any]
    scales: tuple[list[int], list[int], list[int]] | None


def unpack(data: Bytes, shape: tuple[int, ...], scaled: bool, bits: int = 8) -> Constants:
    """The inverse of :func:`pack` for weights [K, C, FY, FX]."""
    taps = int(np.prod(shape[1:]))
    records = data[: shape[0] * record_bytes(taps, scaled, bits)].reshape(shape[0], -1)

    def column(start: int, dtype: str) -> NDArray[Any]:
        size = np.dtype(dtype).itemsize
        return np.ascontiguousarray(records[:, start : start + size]).view(dtype).reshape(-1)

    weights = _widened(records[:, -weight_bytes(taps, bits) :], taps, bits).reshape(shape)
    if not scaled:
        return Constants(weights, column(0, "<i4"), None)
    scales = (column(4, "<i4").tolist(), column(8, "<i4").tolist(), column(12, "<i8").tolist())
    return Constants(weights, column(0, "<i4"), scales)


def _narrowed(weights: NDArray[np.int8], bits: int) -> Bytes:
    """The lowest bits of the weights of each row, one behind the other."""
    each = np.unpackbits(weights.view(np.uint8)[..., None], axis=-1, count=bits, bitorder="little")
    return np.packbits(each.reshape(len(weights), -1), axis=1, bitorder="little")


def _widened(rows: Bytes, taps: int, bits: int) -> NDArray[np.int8]:
    """The inverse of :func:`_narrowed`."""
    each = np.unpackbits(rows, axis=1, count=taps * bits, bitorder="little").reshape(len(rows), taps, bits)
    signed = np.concatenate([each, np.repeat(each[..., -1:], 8 - bits, axis=-1)], axis=-1)
    return np.packbits(signed, axis=-1, bitorder="little").view(np.int8).reshape(len(rows), taps)


def _bytes(values: Sequence[int] | NDArray[Any], dtype: str, channels: int) -> Bytes:
    column = np.broadcast_to(np.asarray(values, dtype), (channels,))
    return np.ascontiguousarray(column).view(np.uint8).reshape(channels, -1)
