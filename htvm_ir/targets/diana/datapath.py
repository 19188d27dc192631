"""What the digital core computes: the exact arithmetic of one job on the bytes of L1.

int8 operands, int32 accumulation that starts at the bias and wraps, arithmetic right shift (towards minus
infinity), clip to int8 (HTVM's patterns, DORY's golden model). All 16 lanes of a block are computed and
stored, also those of a depthwise job that the published driver overwrites later (model choice).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from htvm_ir.targets.diana import packing
from htvm_ir.targets.diana.costs import weight_bytes
from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction, Mode
from htvm_ir.targets.diana.packing import Bytes, Element, Int32, reverse_words
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.layout import WORD

Int64 = npt.NDArray[np.int64]

SINGLE_PRECISION_TAPS = 1024
"""Sums of that many products of two int8 stay within 2^24, where float32 is exact."""


@dataclass(frozen=True)
class Span:
    """`count` pieces of `length` bytes of L1, one every `stride` bytes from `start` on."""

    start: int
    length: int
    count: int = 1
    stride: int = 0

    @property
    def end(self) -> int:
        """First byte after the last piece."""
        return self.start + (self.count - 1) * self.stride + self.length

    def pieces(self, memory: npt.NDArray[Element]) -> npt.NDArray[Element]:
        """The bytes as a writable view `[count, length]` of L1-sized `memory`; the span lies inside."""
        return as_strided(memory[self.start :], (self.count, self.length), (self.stride, 1))


def reads(instruction: DigitalInstruction) -> tuple[Span, ...]:
    """The L1 bytes a valid job reads; hidden columns between visible ones count as read."""
    if instruction.mode == Mode.DENSE:
        return (Span(instruction.input, LANES * instruction.c),)
    if instruction.mode == Mode.ADD:
        size = LANES * instruction.c
        return Span(instruction.input, size), Span(instruction.weights, size)
    length = _visible_rows(instruction) * instruction.cx
    return (Span(instruction.input, length, instruction.c, instruction.size_channel),)


def writes(instruction: DigitalInstruction) -> tuple[Span, ...]:
    """The L1 bytes a valid job writes, all lanes included."""
    if instruction.mode == Mode.DENSE:
        return (Span(instruction.output, LANES * instruction.k),)
    if instruction.mode == Mode.ADD:
        return (Span(instruction.output, LANES * instruction.c),)
    plane = LANES * instruction.ox * instruction.oy
    count = LANES * instruction.k
    return (Span(instruction.output, plane, count, instruction.output_channel_size),)


def operands(memory: npt.NDArray[Element], instruction: DigitalInstruction) -> tuple[npt.NDArray[Element], ...]:
    """The elements a valid job uses, in logical order: `[C, rows, columns]`, `[C]`, or two vectors.

    `memory` is L1 or any array of its length, such as one that marks the written bytes.
    """
    spans = reads(instruction)
    if instruction.mode != Mode.CONV:
        return tuple(reverse_words(span.pieces(memory)[0]) for span in spans)
    planes = reverse_words(spans[0].pieces(memory))
    shape = (instruction.c, _visible_rows(instruction), instruction.cx)
    return (planes.reshape(shape)[:, :, : _visible_columns(instruction)],)


def execute(l1: Bytes, instruction: DigitalInstruction, weight_memory: bytes) -> None:
    """Run one valid job on `l1` in place. `weight_memory` holds what the trigger streamed."""
    inputs = operands(l1.view(np.int8), instruction)
    data = np.frombuffer(weight_memory, np.uint8)
    if instruction.mode == Mode.ADD:
        accumulator = inputs[0].astype(np.int64) + inputs[1]
    elif instruction.mode == Mode.DENSE:
        accumulator = _dense(inputs[0], instruction, data[instruction.weights :])
    else:
        accumulator = _conv(inputs[0], instruction, data[instruction.weights :])
    result = _requantize(accumulator, instruction)
    for span in writes(instruction):
        pieces = reverse_words(result.reshape(span.count, span.length))
        span.pieces(l1)[...] = pieces.view(np.uint8)


def validate(instruction: DigitalInstruction, streamed: int, parameters: Parameters = DIANA) -> str | None:
    """Why a work entry is illegal when its trigger streams `streamed` bytes of weights, or None."""
    modes = {Mode.DENSE: _dense_faults, Mode.CONV: _conv_faults, Mode.ADD: _add_faults}
    if instruction.mode not in modes:
        return f"mode {instruction.mode} has no known meaning"
    faults = chain(
        _common_faults(instruction, parameters),
        modes[Mode(instruction.mode)](instruction, parameters),
        _weight_faults(instruction, streamed, parameters),
        _memory_faults(instruction, parameters),
    )
    return next(faults, None)


def _visible_rows(instruction: DigitalInstruction) -> int:
    """Rows of the input that some tap of a convolution sees."""
    last = (instruction.oy - 1) * instruction.stride + instruction.fy - instruction.pad_top
    return max(0, min(instruction.cy, last))


def _visible_columns(instruction: DigitalInstruction) -> int:
    """Columns of the input that some tap of a convolution sees and that are not hidden."""
    last = (LANES * instruction.ox - 1) * instruction.stride + instruction.fx
    stored = instruction.cx - instruction.hidden_columns
    return max(0, min(stored, last - instruction.pad_left))


def _conv(planes: npt.NDArray[np.int8], instruction: DigitalInstruction, data: Bytes) -> Int64:
    """Accumulators `[16 k, oy * 16 ox]` as one matrix product over the gathered windows."""
    shape = (instruction.c, instruction.fy, instruction.fx)
    weights, bias = packing.unpack_conv(data, LANES * instruction.k, *shape)
    taps = weights[0].size
    exact = np.float32 if taps <= SINGLE_PRECISION_TAPS else np.float64
    s, fy, fx = instruction.stride, instruction.fy, instruction.fx
    height = (instruction.oy - 1) * s + fy
    width = (LANES * instruction.ox - 1) * s + fx
    padded = np.zeros((instruction.c, height, width), exact)
    top, left = instruction.pad_top, instruction.pad_left
    padded[:, top : top + planes.shape[1], left : left + planes.shape[2]] = planes
    windows = sliding_window_view(padded, (fy, fx), (1, 2))[:, ::s, ::s]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(taps, -1)
    product = weights.reshape(-1, taps).astype(exact) @ columns
    return product.astype(np.int64) + bias[:, None]


def _dense(vector: npt.NDArray[np.int8], instruction: DigitalInstruction, data: Bytes) -> Int64:
    """Accumulators `[16 k]`."""
    weights, bias = packing.unpack_dense(data, LANES * instruction.k, LANES * instruction.c)
    product = weights.astype(np.float64) @ vector.astype(np.float64)
    return product.astype(np.int64) + bias


def _requantize(accumulator: Int64, instruction: DigitalInstruction) -> npt.NDArray[np.int8]:
    """Wrap to 32 bits, shift, clip."""
    wrapped: Int32 = accumulator.astype(np.int32)
    low = 0 if instruction.activation else -128
    return np.clip(wrapped >> instruction.shift, low, 127).astype(np.int8)


def _common_faults(i: DigitalInstruction, parameters: Parameters) -> Iterator[str]:
    if not 0 <= i.shift <= parameters.max_shift:
        yield f"shift {i.shift} is outside 0..{parameters.max_shift}"
    if i.activation not in (0, 1):
        yield f"activation {i.activation}: 0 is none, 1 is ReLU"
    if i.c == 0:
        yield "c is 0"
    unknown = {
        "nonlinear_type": i.nonlinear_type,
        "weight_tile_size": i.weight_tile_size,
        "weight_tiles": i.weight_tiles,
        "norm": i.norm,
        "output_precision": i.output_precision,
        "input_precision": i.input_precision,
    }
    for name, value in unknown.items():
        if value:
            yield f"{name} is {value}; only 0 has a known meaning"


def _conv_faults(i: DigitalInstruction, parameters: Parameters) -> Iterator[str]:
    for name, value in (("k", i.k), ("ox", i.ox), ("oy", i.oy), ("cx", i.cx), ("cy", i.cy)):
        if value == 0:
            yield f"{name} is 0"
    if i.fx not in parameters.kernels or i.fy not in parameters.kernels:
        yield f"kernel {i.fy}x{i.fx}: each side must be one of {parameters.kernels}"
    if i.dilation != 1:
        yield f"dilation {i.dilation} is not supported, only 1"
    if i.strided not in (0, 1):
        yield f"stride {i.stride} is not supported, only 1 and 2"
    if i.write_l2_l1 != 2:
        yield f"write_l2_l1 is {i.write_l2_l1}; only layout 2 is modelled"
    yield from _plane_faults(i, parameters)
    if i.hidden_columns and not parameters.narrow_maps:
        yield f"padding word hides {i.hidden_columns} columns, but narrow maps are switched off"
    missing = (i.oy - 1) * i.stride + i.fy - i.pad_top - i.cy
    if missing > i.pad_bottom:
        yield f"the last output row needs {missing} rows of bottom padding, not {i.pad_bottom}"


def _plane_faults(i: DigitalInstruction, parameters: Parameters) -> Iterator[str]:
    """The stored shape of the planes of a convolution."""
    unit = _map_alignment(parameters)
    if i.cx % unit:
        yield f"input width {i.cx} is not a stored width (a multiple of {unit})"
    if i.padded_cx != i.cx:
        yield f"padded_cx {i.padded_cx} differs from cx {i.cx}"
    if i.size_channel % unit or i.size_channel < i.cx * i.cy:
        yield f"size_channel {i.size_channel} does not hold {i.cy} rows of {i.cx} bytes"
    plane = LANES * i.ox * i.oy
    if i.output_channel_size % unit or i.output_channel_size < plane:
        yield f"output_channel_size {i.output_channel_size} does not hold {plane} bytes"


def _map_alignment(parameters: Parameters) -> int:
    """What rows and planes of maps are multiples of: words, since the core exchanges the bytes of a word."""
    return WORD if parameters.compact_maps else parameters.row_bytes


def _dense_faults(i: DigitalInstruction, parameters: Parameters) -> Iterator[str]:
    del parameters
    if i.k == 0:
        yield "k is 0"
    if i.write_l2_l1 != 2:
        yield f"write_l2_l1 is {i.write_l2_l1}; only layout 2 is modelled"


def _add_faults(i: DigitalInstruction, parameters: Parameters) -> Iterator[str]:
    if i.activation and not parameters.sum_relu:
        yield "a sum with ReLU, but that is switched off"


def _weight_faults(i: DigitalInstruction, streamed: int, parameters: Parameters) -> Iterator[str]:
    if streamed > parameters.weight_memory_bytes:
        yield (f"{streamed} bytes of weights exceed the weight memory of {parameters.weight_memory_bytes}")
    if i.mode == Mode.ADD:
        return
    if i.weights % parameters.weight_alignment:
        yield f"weight offset {i.weights} is not a multiple of {parameters.weight_alignment}"
    needed = i.weights + weight_bytes(i)
    if needed > streamed:
        yield f"the weight stream has {streamed} bytes, the job needs {needed}"


def _memory_faults(i: DigitalInstruction, parameters: Parameters) -> Iterator[str]:
    """Alignment and bounds in L1, and outputs that would overwrite operands still needed."""
    row = _map_alignment(parameters) if i.mode == Mode.CONV else parameters.row_bytes
    sides = (("reads", reads(i)), ("writes", writes(i)))
    for verb, span in ((verb, span) for verb, spans in sides for span in spans):
        if span.start % row:
            yield f"L1 address {span.start} is not a multiple of {row}"
        if span.end > parameters.l1_bytes:
            yield f"the job {verb} L1 up to byte {span.end} of {parameters.l1_bytes}"
    # A sum may write over one of its operands, element by element; other jobs read an element many times.
    kept = [s for s in reads(i) if i.mode != Mode.ADD or s.start != i.output]
    if overlap(kept, writes(i), parameters.l1_bytes):
        yield "the output overlaps an operand"


def overlap(first: Sequence[Span], second: Sequence[Span], size: int) -> bool:
    """Whether two sets of spans, all inside a memory of `size` bytes, share a byte."""
    mark = np.zeros(size, np.bool_)
    for span in first:
        span.pieces(mark)[...] = True
    return any(bool(span.pieces(mark).any()) for span in second)
