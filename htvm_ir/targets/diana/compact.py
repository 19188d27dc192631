"""Feature maps whose rows are stored as narrow as words allow, for the digital core (model choice).

The published layout stores rows of whole 16 columns, so a map of 6 columns costs a 1x1 convolution as much as one of
16. Here a row takes its width rounded up to 4 bytes, and a 1x1 convolution of stride 1 sees the whole plane as one row.

Every other job writes rows of whole 16 columns: each row is a job of its own, in ascending order, so that the next row
overwrites the surplus. That of the last row stays behind the map: a plane has room for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.layout import WORD, Layout
from htvm_ir.targets.workload import Tensor, Workload


def pitch(tensor: Tensor) -> int:
    """Bytes from one row of a map to the next."""
    return round_up(tensor.shape[3], WORD)


def groups(tensor: Tensor) -> int:
    """Groups of 16 columns that hold a whole plane as one row."""
    return -(-tensor.shape[2] * pitch(tensor) // LANES)


def plane_rows(tensor: Tensor) -> int:
    """Rows that a stored plane has: those of the map, and what holds the surplus of the last row or group."""
    last_row = (tensor.shape[2] - 1) * pitch(tensor) + round_up(tensor.shape[3], LANES)
    return -(-max(last_row, LANES * groups(tensor)) // pitch(tensor))


def plane_bytes(tensor: Tensor) -> int:
    """Bytes from one channel of a map to the next."""
    return plane_rows(tensor) * pitch(tensor)


def layout(tensor: Tensor) -> Layout:
    """The order of a map's bytes."""
    return Layout((0, 1, 2, 3), (1, 1, plane_rows(tensor), WORD), xor=3)


def is_narrower(tensor: Tensor) -> bool:
    """Whether rows are shorter than in the published layout."""
    return pitch(tensor) < round_up(tensor.shape[3], LANES)


def sees_every_row(workload: Workload) -> bool:
    """Whether no row of the output depends on padding alone, which a job of one row cannot express."""
    stride, top, fy = workload.strides[0], workload.pads[0], workload.kernel[0]
    last = (workload.output.shape[2] - 1) * stride - top
    return fy > top and last < workload.inputs[0].shape[2]


def row_jobs(entry: DigitalInstruction, row_pitch: int) -> Iterator[DigitalInstruction]:
    """The jobs of the output rows of a job, which lie ``row_pitch`` bytes apart."""
    bottom, left = entry.pad_bottom, entry.zero_padding & 0xFF
    for row in range(entry.oy):
        first = row * entry.stride - entry.pad_top
        skipped = max(first, 0)
        yield replace(
            entry,
            oy=1,
            cy=entry.cy - skipped,
            input=entry.input + skipped * entry.cx,
            output=entry.output + row * row_pitch,
            zero_padding=bottom << 12 | (skipped - first) << 8 | left,
        )
