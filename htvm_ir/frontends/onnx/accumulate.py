"""Integer parameters of layers that accumulate, and the range of what they accumulate."""

from __future__ import annotations

import numpy as np

from htvm_ir.frontends.onnx.graph import INT32, Array, Node


def integer_array(node: Node, array: Array, what: str) -> Array:
    """A constant as int64; raises HtvmError unless all elements are integers of 32 bits."""
    if array.size == 0:
        raise node.error(f"there are no elements in the {what}")
    least, greatest = float(array.min()), float(array.max())
    if not (INT32[0] <= least and greatest <= INT32[1]):
        raise node.error(f"the {what} must fit int32, but range from {least:g} to {greatest:g}")
    whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        example = array[whole != array].flat[0]
        raise node.error(f"the {what} must be integers, but hold {example:g}; quantise the network first")
    return whole


def narrowed(array: Array) -> Array:
    """An int64 array in the narrowest of int8, int16 and int32 that holds it."""
    least, greatest = int(array.min()), int(array.max())
    for kind in (np.int8, np.int16):
        if np.iinfo(kind).min <= least and greatest <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.int32)


def bias_of(node: Node, array: Array, channels: int, rank: int) -> Array:
    """A constant [K] or whatever broadcasts along axis 1 of a result of ``rank``, as int64 [K]."""
    whole = integer_array(node, array, "bias values")
    target = (1, channels) + (1,) * (rank - 2)
    flat = whole if whole.shape == (channels,) else None
    try:
        return np.broadcast_to(whole, target).reshape(channels) if flat is None else flat
    except ValueError:
        raise node.error(f"bias of shape {list(array.shape)} does not fit {channels} output channels") from None


def accumulated_range(
    node: Node, weights: Array, bias: Array | None, source: tuple[int, int], padded: bool
) -> tuple[int, int]:
    """The least and greatest sum over the inputs of any output channel, axis 0 of the int64 ``weights``.

    ``source`` is the range of the inputs; with ``padded`` some may be zero instead. Raises
    HtvmError if a sum, or a part of it in any order of addition, may leave int32.
    """
    least, greatest = source
    if padded:
        least, greatest = min(least, 0), max(greatest, 0)
    rows = weights.reshape(weights.shape[0], -1)
    positive = [int(v) for v in np.maximum(rows, 0).sum(axis=1)]
    negative = [int(v) for v in np.minimum(rows, 0).sum(axis=1)]
    start = [0] * len(positive) if bias is None else [int(v) for v in bias]
    sums = list(zip(positive, negative, start, strict=True))
    largest = max(abs(least), abs(greatest))
    worst = max((p - n) * largest + abs(b) for p, n, b in sums)
    if worst > INT32[1]:
        raise node.error(
            f"the accumulator may reach {worst}, beyond int32; use smaller weights or clip the input to fewer bits"
        )
    low = min(p * least + n * greatest + b for p, n, b in sums)
    high = max(p * greatest + n * least + b for p, n, b in sums)
    return low, high
