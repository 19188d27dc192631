"""What the analog core computes: the exact arithmetic of one job on the bytes of L1.

Ternary weights times 7-bit activations, summed without limit, divided by the gain towards minus infinity, clipped to
the 6 bits of the converters (HTVM's and quantlib's contract). What follows in the core (batch normalisation,
activation, pooling) is switched off by the published driver and not modelled.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from htvm_ir.targets.diana import analog_packing
from htvm_ir.targets.diana.analog_instruction import ADC_HIGH, ADC_LOW, GAIN_ONE, ROW, AnalogInstruction, column_blocks
from htvm_ir.targets.diana.datapath import Span, overlap
from htvm_ir.targets.diana.packing import REVERSED, Bytes, Element
from htvm_ir.targets.diana.parameters import DIANA, Parameters

Int64 = npt.NDArray[np.int64]

BLOCK = 64
"""Input channels that the activation buffer takes at a time: four rows of L1."""


def spans(address: int, channels: int, pixels: int, parameters: Parameters = DIANA) -> tuple[Span, ...]:
    """Where a feature map lies in L1: one span for each run of pixels, its pieces are slices of 16 channels.

    `address` is a row. Up to 16 channels lie in consecutive rows. Of more, each slice has a bank of 512 rows; four
    banks are a group, and the next 512 pixels follow in the next group.
    """
    slices, bank, group = -(-channels // ROW), parameters.bank_rows, parameters.bank_rows * parameters.max_banks
    if slices == 1:
        return (Span(ROW * address, ROW * pixels),)
    plane = -(-pixels // bank) * group
    result: list[Span] = []
    for first in range(0, slices, parameters.max_banks):
        for start in range(0, pixels, bank):
            row = address + first // parameters.max_banks * plane + start // bank * group
            count = min(parameters.max_banks, slices - first)
            result.append(Span(ROW * row, ROW * min(bank, pixels - start), count, ROW * bank))
    return tuple(result)


def reads(i: AnalogInstruction, parameters: Parameters = DIANA) -> tuple[Span, ...]:
    """The L1 bytes a valid job reads: the whole input, whole rows."""
    return spans(i.input, i.c, i.cx * i.cy, parameters)


def writes(i: AnalogInstruction, parameters: Parameters = DIANA) -> tuple[Span, ...]:
    """The L1 bytes a valid job writes: whole rows, zero where there is no channel (model choice)."""
    return spans(i.output, i.k, i.width * i.oy, parameters)


def gather(memory: npt.NDArray[Element], address: int, channels: int, pixels: int) -> npt.NDArray[Element]:
    """The elements `[channels, pixels]` of a feature map in `memory`, which has L1's length."""
    slices = -(-channels // ROW)
    rows = np.empty((slices, pixels, ROW), memory.dtype)
    for span, (first, start) in zip(spans(address, channels, pixels), _origins(slices, pixels), strict=True):
        pieces = span.pieces(memory).reshape(span.count, -1, ROW)
        rows[first : first + span.count, start : start + pieces.shape[1]] = pieces
    return rows[..., REVERSED].transpose(0, 2, 1).reshape(slices * ROW, pixels)[:channels]


def scatter(memory: Bytes, address: int, values: npt.NDArray[np.int8]) -> None:
    """Store `[channels, pixels]` as a feature map."""
    channels, pixels = values.shape
    slices = -(-channels // ROW)
    padded = np.zeros((slices * ROW, pixels), np.int8)
    padded[:channels] = values
    rows = padded.reshape(slices, ROW, pixels).transpose(0, 2, 1)[..., REVERSED].view(np.uint8)
    for span, (first, start) in zip(spans(address, channels, pixels), _origins(slices, pixels), strict=True):
        part = rows[first : first + span.count, start : start + span.length // ROW]
        span.pieces(memory)[...] = part.reshape(span.count, -1)


def _origins(slices: int, pixels: int, parameters: Parameters = DIANA) -> Iterator[tuple[int, int]]:
    """First slice and first pixel of each of `spans`."""
    step = pixels if slices == 1 else parameters.bank_rows
    for first in range(0, slices, parameters.max_banks):
        yield from ((first, start) for start in range(0, pixels, step))


def convert(mac: Int64, gain: int) -> npt.NDArray[np.int8]:
    """The converters: `clip(floor(mac / gain), -32, 31)`, `gain` in Q16.16 and 0 for 1."""
    return np.clip(mac * GAIN_ONE // (gain or GAIN_ONE), ADC_LOW, ADC_HIGH).astype(np.int8)


def execute(
    l1: Bytes,
    i: AnalogInstruction,
    image: bytes | Bytes,
    gain: int,
    noise: np.random.Generator | None = None,
    sigma: float = 0.0,
) -> None:
    """Run one valid job on `l1` in place.

    `image` holds the weights, `gain` is in Q16.16. `noise` draws an error of `sigma` steps of the converters,
    normally distributed, for each result.
    """  # fmt: skip
    inputs = gather(l1.view(np.int8), i.input, i.c, i.cx * i.cy).reshape(i.c, i.cy, i.cx)
    weights = analog_packing.unpack_weights(image, i.k, i.c, i.fy, i.fx)
    mac = _accumulate(inputs, weights, i)
    if noise is not None:
        steps = sigma * (gain or GAIN_ONE) / GAIN_ONE
        mac = mac + np.rint(noise.normal(0.0, steps, mac.shape)).astype(np.int64)
    scatter(l1, i.output, convert(mac, gain))


def _accumulate(inputs: npt.NDArray[np.int8], weights: npt.NDArray[np.int8], i: AnalogInstruction) -> Int64:
    """Sums `[K, pixels]`; they stay far below 2^24, where float32 is exact."""
    height, width = (i.oy - 1) * i.stride + i.fy, (i.width - 1) * i.stride + i.fx
    padded = np.zeros((i.c, max(height, i.pad_top + i.cy), max(width, i.pad_left + i.cx)), np.float32)
    padded[:, i.pad_top : i.pad_top + i.cy, i.pad_left : i.pad_left + i.cx] = inputs
    windows = sliding_window_view(padded[:, :height, :width], (i.fy, i.fx), (1, 2))[:, :: i.stride, :: i.stride]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(i.rows, -1)
    return (weights.reshape(i.k, -1).astype(np.float32) @ columns).astype(np.int64)


def validate(i: AnalogInstruction, parameters: Parameters = DIANA) -> str | None:
    """Why a work entry is illegal, or None."""
    return next((fault for part in (_chain_faults, _shape_faults, _array_faults, _memory_faults)
                 for fault in part(i, parameters)), None)  # fmt: skip


def _chain_faults(i: AnalogInstruction, parameters: Parameters) -> Iterator[str]:
    del parameters
    if i.registers()[0] != 0x3F:
        yield f"R0 is 0x{i.registers()[0]:X}: post-processing in the core is not implemented, only 0x3F"
    if i.buffer_offset or i.output_offset:
        yield "offsets into the array are not implemented"
    if not i.weight_init:
        yield "a job that keeps the weights of the one before is not implemented"


def _shape_faults(i: AnalogInstruction, parameters: Parameters) -> Iterator[str]:
    del parameters
    for name in ("c", "k", "cx", "cy", "fx", "fy", "ox", "oy", "ox_unroll"):
        if getattr(i, name) == 0:
            yield f"{name} is 0"
    if i.stride not in (1, 2):
        yield f"stride {i.stride} is not supported, only 1 and 2"
    sides = (
        ("bottom", i.oy, i.fy, i.pad_top, i.cy, i.pad_bottom),
        ("right", i.width, i.fx, i.pad_left, i.cx, i.pad_right),
    )
    for side, extent, kernel, before, size, after in sides:
        missing = (extent - 1) * i.stride + kernel - before - size
        if missing > after:
            yield f"the last output needs {missing} pixels of padding at the {side}, not {after}"


def _array_faults(i: AnalogInstruction, parameters: Parameters) -> Iterator[str]:
    rows = i.c * i.fy * (i.fx + i.ox_unroll - 1)
    if rows > parameters.analog_rows:
        yield f"{rows} rows exceed the array's {parameters.analog_rows}"
    if i.k * i.ox_unroll > parameters.analog_columns:
        yield f"{i.k * i.ox_unroll} columns exceed the array's {parameters.analog_columns}"
    if i.ox_unroll not in (1, 2, 4):
        yield f"ox_unroll {i.ox_unroll} is none of 1, 2, 4"
    if i.blocks != -(-i.c // BLOCK):
        yield f"{i.c} input channels are {-(-i.c // BLOCK)} blocks of 64, not {i.blocks}"
    if i.columns != column_blocks(i.k):
        yield f"{i.k} output channels need the column blocks 0x{column_blocks(i.k):04X}, not 0x{i.columns:04X}"


def _memory_faults(i: AnalogInstruction, parameters: Parameters) -> Iterator[str]:
    """Bounds in L1, and outputs that would overwrite operands still needed."""
    for verb, used in (("reads", reads(i, parameters)), ("writes", writes(i, parameters))):
        end = max(span.end for span in used)
        if end > parameters.l1_bytes:
            yield f"the job {verb} L1 up to byte {end} of {parameters.l1_bytes}"
    if overlap(reads(i, parameters), writes(i, parameters), parameters.l1_bytes):
        yield "the output overlaps the input"
