"""How operands of the digital core lie in memory, and back.

The layouts are those of DORY's encoders (target Diana_SoC, also used by MATCH). All of them share one
habit: the core handles words with their first element in the most significant byte, so every aligned group
of four bytes is reversed, which the published texts write as `position ^ 3`.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from htvm_ir.targets.diana.instruction import LANES

Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Element = TypeVar("Element", bound=np.generic)

REVERSED = np.arange(LANES) ^ 3
"""Where each lane of a row lies; the permutation is its own inverse."""

BIAS_PLANES = 4
DEPTHWISE_GROUP = 4
DEPTHWISE_TAIL = 12
"""The job of a group's last channel starts 12 bytes into it and reads as many past its end."""


def round_up(value: int, multiple: int) -> int:
    """The least multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


def conv_block_bytes(c: int, fy: int, fx: int) -> int:
    """Bytes of the weights and biases of 16 output channels: a K tile is a slice of whole blocks."""
    return LANES * (c * fy * fx + BIAS_PLANES)


def depthwise_group_bytes(fy: int, fx: int) -> int:
    """Bytes of four channels, which is also what each channel's job streams."""
    return LANES * (fy * fx + BIAS_PLANES)


def diagonal_block_bytes(lanes: int, fy: int, fx: int) -> int:
    """Bytes of 16 channels of a depthwise layer as diagonal blocks of `lanes` channels."""
    return conv_block_bytes(lanes, fy, fx)


def diagonal_tail(lanes: int) -> int:
    """Bytes that the job of a block's last channels reads past its end: it starts as many into it."""
    return LANES - lanes


def dense_block_bytes(c: int) -> int:
    """Bytes of the weights and biases of 16 outputs with `c` inputs (padded to 16)."""
    return LANES * (round_up(c, LANES) + LANES)


def reverse_words(data: npt.NDArray[Element]) -> npt.NDArray[Element]:
    """Element `i` of the last axis becomes element `i ^ 3`; its length is a multiple of 4."""
    return data.reshape(*data.shape[:-1], -1, 4)[..., ::-1].reshape(data.shape)


def pack_conv(weights: Int8, bias: Int32) -> bytes:
    """Weights `[K, C, FY, FX]` and biases `[K]`; missing channels of the last 16 are zero."""
    taps = weights[0].size
    w = _pad(weights, {0: LANES}).reshape(-1, LANES, taps).view(np.uint8)
    b = _bias_bytes(_pad(bias, {0: LANES})).reshape(-1, LANES, BIAS_PLANES)
    rows = np.concatenate((w, b), axis=2).transpose(0, 2, 1)
    return rows[..., REVERSED].tobytes()


def unpack_conv(data: bytes | Bytes, k: int, c: int, fy: int, fx: int) -> tuple[Int8, Int32]:
    """The inverse of `pack_conv`; `data` may hold more blocks than `k` channels need."""
    taps = c * fy * fx
    blocks = round_up(k, LANES) // LANES
    raw = np.frombuffer(data, np.uint8, blocks * conv_block_bytes(c, fy, fx))
    rows = raw.reshape(blocks, taps + BIAS_PLANES, LANES)[..., REVERSED].transpose(0, 2, 1)
    w = np.ascontiguousarray(rows[..., :taps]).view(np.int8)
    b = np.ascontiguousarray(rows[..., taps:]).view("<i4")
    return w.reshape(-1, c, fy, fx)[:k], b.reshape(-1)[:k].astype(np.int32)


def pack_depthwise(weights: Int8, bias: Int32) -> bytes:
    """Weights `[C, 1, FY, FX]` and biases `[C]` in groups of four channels, the last padded with zeros."""
    taps = weights[0].size
    w = _pad(weights, {0: DEPTHWISE_GROUP}).reshape(-1, DEPTHWISE_GROUP, taps).view(np.uint8)
    b = _bias_bytes(_pad(bias, {0: DEPTHWISE_GROUP})).reshape(-1, DEPTHWISE_GROUP, BIAS_PLANES)
    image = np.zeros((len(w), taps + BIAS_PLANES, LANES), np.uint8)
    image[..., 3::4] = np.concatenate((w, b), axis=2).transpose(0, 2, 1)
    return image.tobytes() + bytes(DEPTHWISE_TAIL)


def unpack_depthwise(data: bytes, c: int, fy: int, fx: int) -> tuple[Int8, Int32]:
    """The inverse of `pack_depthwise`."""
    taps = fy * fx
    groups = round_up(c, DEPTHWISE_GROUP) // DEPTHWISE_GROUP
    raw = np.frombuffer(data, np.uint8, groups * depthwise_group_bytes(fy, fx))
    image = raw.reshape(groups, taps + BIAS_PLANES, LANES)[..., 3::4].transpose(0, 2, 1)
    w = np.ascontiguousarray(image[..., :taps]).view(np.int8)
    b = np.ascontiguousarray(image[..., taps:]).view("<i4")
    return w.reshape(-1, 1, fy, fx)[:c], b.reshape(-1)[:c].astype(np.int32)


def pack_diagonal(weights: Int8, bias: Int32, lanes: int) -> bytes:
    """Depthwise weights `[C, 1, FY, FX]` and biases `[C]` for jobs of `lanes` (4, 8, 16) channels.

    A job is an ordinary convolution of that many input channels, whose weights lie on the diagonal: each row has one
    for each job of 16 channels, the jobs `lanes` bytes apart. The bias follows a job's own last row, so a last job of
    fewer channels has it earlier. Lanes from `lanes` on read the weights of other jobs: they compute nothing useful.
    """
    channels, taps = len(weights), weights[0].size
    image = np.zeros((-(-channels // LANES), lanes * taps + BIAS_PLANES, LANES), np.uint8)
    values = weights.reshape(channels, taps).view(np.uint8)
    biases = _bias_bytes(bias).reshape(channels, BIAS_PLANES)
    for channel in range(channels):
        first = channel // lanes * lanes
        lane, rows = channel - first, min(lanes, channels - first) * taps
        byte = first % LANES + REVERSED[lane]
        block = image[channel // LANES]
        block[lane * taps : (lane + 1) * taps, byte] = values[channel]
        block[rows : rows + BIAS_PLANES, byte] = biases[channel]
    return image.tobytes() + bytes(diagonal_tail(lanes))


def for_plain_vectors(weights: Int8, bias: Int32) -> tuple[Int8, Int32]:
    """Weights `[K, C]` and biases `[K]` of the same layer on vectors whose words are not reversed.

    What the core takes for input `c` is then input `c ^ 3`, and what it writes as output `k` must be output `k ^ 3`.
    """
    reversed_inputs = reverse_words(_pad(weights, {0: LANES, 1: LANES}))
    outputs = np.arange(len(reversed_inputs)) ^ 3
    return reversed_inputs[outputs], _pad(bias, {0: LANES})[outputs]


def pack_dense(weights: Int8, bias: Int32) -> bytes:
    """Weights `[K, C]` and biases `[K]` as 16 x 16 squares, both dimensions padded with zeros.

    A bias takes a whole row, as a 128-bit number of which the core uses the low 32 bits.
    """
    padded = _pad(weights, {0: LANES, 1: LANES})
    k, c = padded.shape
    w = padded.reshape(k // LANES, LANES, c // LANES, LANES).transpose(0, 2, 1, 3)
    wide = _pad(bias, {0: LANES}).astype("<i8")
    b = np.stack((wide, wide >> 63), axis=1).view(np.int8).reshape(-1, 1, LANES, LANES)
    return np.concatenate((w, b), axis=1)[..., REVERSED].tobytes()


def unpack_dense(data: bytes | Bytes, k: int, c: int) -> tuple[Int8, Int32]:
    """The inverse of `pack_dense`; `data` may hold more blocks than `k` outputs need."""
    blocks, squares = round_up(k, LANES) // LANES, round_up(c, LANES) // LANES
    raw = np.frombuffer(data, np.int8, blocks * dense_block_bytes(c))
    rows = raw.reshape(blocks, squares + 1, LANES, LANES)[..., REVERSED]
    w = rows[:, :squares].transpose(0, 2, 1, 3).reshape(blocks * LANES, squares * LANES)
    b = np.ascontiguousarray(rows[:, squares, :, :BIAS_PLANES]).view("<i4")
    return np.ascontiguousarray(w[:k, :c]), b.reshape(-1)[:k].astype(np.int32)


def _pad(array: npt.NDArray[Element], multiples: dict[int, int]) -> npt.NDArray[Element]:
    """Append zeros along each named axis up to a multiple."""
    widths = [(0, 0)] * array.ndim
    for axis, multiple in multiples.items():
        widths[axis] = (0, -array.shape[axis] % multiple)
    return np.pad(array, widths)


def _bias_bytes(bias: Int32) -> Bytes:
    """The four bytes of each bias, least significant first."""
    return np.ascontiguousarray(bias, dtype="<i4").view(np.uint8)
