"""The constants of a layer as they lie in the weight memory: a record for each output channel.

bias (int32), then, in a scaled layer, multiplier (int32), shift (int32) and addend (int64), then the weights
[C, FY, FX] (int8). Everything is little-endian, and no record is padded.
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


def record_bytes(taps: int, scaled: bool) -> int:
    """Bytes of one output channel of so many weights."""
    return BIAS_BYTES + (SCALE_BYTES if scaled else 0) + taps


def pack(workload: Workload) -> Bytes:
    """All records of a layer."""
    weights = as_array(workload.weights).astype(np.int8)
    channels = len(weights)
    bias = np.zeros(channels) if workload.bias is None else workload.bias
    columns = [_bytes(bias, "<i4", channels)]
    requant = workload.requant
    if requant is not None and is_scaled(requant):
        for values, dtype in ((requant.multiplier, "<i4"), (requant.shift, "<i4"), (requant.addend, "<i8")):
            columns.append(_bytes(values, dtype, channels))
    columns.append(weights.reshape(channels, -1).view(np.uint8))
    return np.concatenate(columns, axis=1).reshape(-1)


@dataclass(frozen=True)
class Constants:
    """What a job finds in the weight memory; ``scales`` are multipliers, shifts and addends, if there are any."""

    weights: NDArray[Any]
    bias: NDArray[Any]
    scales: tuple[list[int], list[int], list[int]] | None


def unpack(data: Bytes, shape: tuple[int, ...], scaled: bool) -> Constants:
    """The inverse of :func:`pack` for weights [K, C, FY, FX]."""
    taps = int(np.prod(shape[1:]))
    records = data[: shape[0] * record_bytes(taps, scaled)].reshape(shape[0], -1)

    def column(start: int, dtype: str) -> NDArray[Any]:
        size = np.dtype(dtype).itemsize
        return np.ascontiguousarray(records[:, start : start + size]).view(dtype).reshape(-1)

    weights = np.ascontiguousarray(records[:, -taps:]).view(np.int8).reshape(shape)
    if not scaled:
        return Constants(weights, column(0, "<i4"), None)
    scales = (column(4, "<i4").tolist(), column(8, "<i4").tolist(), column(12, "<i8").tolist())
    return Constants(weights, column(0, "<i4"), scales)


def _bytes(values: Sequence[int] | NDArray[Any], dtype: str, channels: int) -> Bytes:
    column = np.broadcast_to(np.asarray(values, dtype), (channels,))
    return np.ascontiguousarray(column).view(np.uint8).reshape(channels, -1)
