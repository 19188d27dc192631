"""How operands of the analog core lie in memory, and back.

Weights are DORY's image: bit polarity and column order were also used on the chip; which order of rows the silicon
expects is not verifiable (model choice: DORY's). Activations have 16 channels in a 16-byte row, one row a pixel, words
reversed as everywhere on DIANA.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from htvm_ir.targets.diana.packing import Bytes, Int8, round_up
from htvm_ir.targets.layout import Layout

K_LAYOUT = Layout((0, 2, 3, 1), (1, 16, 1, 1), xor=3)
"""Feature maps in L2: pixel-major, channels padded to 16."""

ROW_STEP = 288
COLUMN_STEP = 128
"""An image has whole multiples of these rows and columns of the array."""


def image_rows(c: int, fy: int, fx: int) -> int:
    """Rows of the image of a kernel."""
    return round_up(c * fy * fx, ROW_STEP)


def image_bytes(k: int, c: int, fy: int, fx: int) -> int:
    """Bytes of the image of `k` output channels: two bits a weight."""
    return 2 * image_rows(c, fy, fx) * round_up(k, COLUMN_STEP) // 8


def pack_weights(weights: Int8) -> bytes:
    """The image of ternary weights `[K, C, FY, FX]`.

    Rows are mirrored, the sign of a weight is twisted by its place (see `_twist`), and each row becomes two rows of
    bits: where the weight is +1, and where it is -1. The first column is the highest bit of the first word.
    """
    k, c, fy, fx = weights.shape
    rows, columns = image_rows(c, fy, fx), round_up(k, COLUMN_STEP)
    array = np.zeros((rows, columns), np.int8)
    array[: c * fy * fx, :k] = weights.reshape(k, -1).T
    array = array[::-1] * _twist(rows, columns)
    bits = np.stack((array == 1, array == -1), axis=1)
    return np.packbits(bits.reshape(2 * rows, columns), axis=1).view(">u4").astype("<u4").tobytes()


def unpack_weights(image: bytes | Bytes, k: int, c: int, fy: int, fx: int) -> Int8:
    """The inverse of `pack_weights`; a cell with both bits set counts as 0 (model choice)."""
    rows, columns = image_rows(c, fy, fx), round_up(k, COLUMN_STEP)
    words = np.frombuffer(image, "<u4", 2 * rows * columns // 32).astype(">u4")
    bits = np.unpackbits(words.view(np.uint8)).reshape(rows, 2, columns).astype(np.int8)
    array = (bits[:, 0] - bits[:, 1]) * _twist(rows, columns)
    taps = array[::-1][: c * fy * fx, :k]
    return np.ascontiguousarray(taps.T).reshape(k, c, fy, fx)


def _twist(rows: int, columns: int) -> npt.NDArray[np.int8]:
    """-1 where a weight is stored negated: in even columns outside the blocks of 64 rows 6 to 11, in odd up to 8."""
    block = np.arange(rows)[:, None] // 64
    odd = np.arange(columns)[None, :] % 2 == 1
    negated = np.where(odd, block <= 8, (block < 6) | (block > 11))
    return np.where(negated, -1, 1).astype(np.int8)
