"""The digital core's instruction: 32 words, one field a word, and lists of them.

Field order and the values of each mode are those of dory-hal's `encoders_instruction_memory.c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

INSTRUCTION_WORDS = 32
LANES = 16
"""Rows and columns of the array; `k`, `ox` and the `c` of dense and sum count in this unit."""


class Mode(IntEnum):
    """Word 0. A depthwise layer is a series of convolution jobs; mode 2 has no known meaning."""

    DENSE = 0
    CONV = 1
    ADD = 3


@dataclass(frozen=True, kw_only=True)
class DigitalInstruction:
    """One entry of an instruction list; the fields are words 0 to 27 in order, words 28 to 31 are 0.

    `input` and `output` are byte offsets in L1. `weights` is the byte offset in the weight memory, or for
    a sum the L1 byte offset of its second operand.
    """

    mode: int = 0
    weights: int = 0
    input: int = 0
    output: int = 0
    c: int = 0
    k: int = 0
    cx: int = 0
    cy: int = 0
    padded_cx: int = 0
    size_channel: int = 0
    fx: int = 0
    fy: int = 0
    ox: int = 0
    oy: int = 0
    activation: int = 0
    write_l2_l1: int = 0
    output_channel_size: int = 0
    dilation: int = 0
    stop: int = 0
    shift: int = 0
    zero_padding: int = 0
    nonlinear_type: int = 0
    weight_tile_size: int = 0
    weight_tiles: int = 0
    strided: int = 0
    norm: int = 0
    output_precision: int = 0
    input_precision: int = 0

    @classmethod
    def conv(
        cls,
        *,
        input: int,
        output: int,
        c: int,
        k: int,
        cx: int,
        cy: int,
        fx: int,
        fy: int,
        ox: int,
        oy: int,
        shift: int,
        relu: bool = False,
        stride: int = 1,
        pad_left: int = 0,
        pad_top: int = 0,
        pad_bottom: int = 0,
        hidden_columns: int = 0,
        weights: int = 0,
        size_channel: int | None = None,
        output_channel_size: int | None = None,
    ) -> DigitalInstruction:
        """A convolution of `c` planes of `cy` x `cx` bytes into `16 k` planes of `oy` x `16 ox` bytes.

        A plane of the input starts `size_channel` bytes (default `cx * cy`) after the one before it, one of
        the output `output_channel_size` bytes (default `16 * ox * oy`). `hidden_columns` trailing columns
        of the input read as zero. Raises ValueError when a padding does not fit its four bits.
        """
        return cls(
            mode=Mode.CONV,
            weights=weights,
            input=input,
            output=output,
            c=c,
            k=k,
            cx=cx,
            cy=cy,
            padded_cx=cx,
            size_channel=cx * cy if size_channel is None else size_channel,
            fx=fx,
            fy=fy,
            ox=ox,
            oy=oy,
            activation=int(relu),
            write_l2_l1=2,
            output_channel_size=(LANES * ox * oy if output_channel_size is None else output_channel_size),
            dilation=1,
            shift=shift,
            zero_padding=_nibbles(pad_bottom, pad_top, hidden_columns, pad_left),
            strided=stride - 1,
        )

    @classmethod
    def dense(
        cls,
        *,
        input: int,
        output: int,
        c: int,
        k: int,
        shift: int,
        relu: bool = False,
        weights: int = 0,
    ) -> DigitalInstruction:
        """A matrix of `16 k` x `16 c` times a vector of `16 c` bytes."""
        return cls(
            mode=Mode.DENSE,
            weights=weights,
            input=input,
            output=output,
            c=c,
            k=k,
            activation=int(relu),
            write_l2_l1=2,
            dilation=1,
            shift=shift,
        )

    @classmethod
    def add(cls, *, left: int, right: int, output: int, c: int, shift: int, relu: bool = False) -> DigitalInstruction:
        """The sum of two tensors of `16 c` bytes."""
        return cls(
            mode=Mode.ADD,
            weights=right,
            input=left,
            output=output,
            c=c,
            activation=int(relu),
            shift=shift,
        )

    @classmethod
    def from_words(cls, words: Sequence[int]) -> DigitalInstruction:
        """The inverse of `words`. Raises ValueError unless there are 32 and the last four are 0."""
        fields = len(cls.__dataclass_fields__)
        if len(words) != INSTRUCTION_WORDS or any(words[fields:]):
            raise ValueError("an instruction has 32 words, the last four of them 0")
        return cls(**dict(zip(cls.__dataclass_fields__, words, strict=False)))

    def words(self) -> tuple[int, ...]:
        """The 32 words as the core fetches them."""
        fields = tuple(map(int, vars(self).values()))  # a dataclass sets them in order
        return fields + (0,) * (INSTRUCTION_WORDS - len(fields))

    @property
    def stride(self) -> int:
        """Step of the window in both directions."""
        return self.strided + 1

    @property
    def pad_bottom(self) -> int:
        """Rows of padding below the image; the core only needs the number to be large enough."""
        return self.zero_padding >> 12 & 0xF

    @property
    def pad_top(self) -> int:
        """Rows of padding above the image."""
        return self.zero_padding >> 8 & 0xF

    @property
    def hidden_columns(self) -> int:
        """Trailing stored columns of the input that read as zero (model choice)."""
        return self.zero_padding >> 4 & 0xF

    @property
    def pad_left(self) -> int:
        """Columns of padding left of the image; the padding on the right follows from `ox`."""
        return self.zero_padding & 0xF


STOP = DigitalInstruction(stop=1)


def program(instructions: Sequence[DigitalInstruction]) -> tuple[int, ...]:
    """The words of `instructions` and of the stop entry: 64 for the usual list of one."""
    return tuple(word for entry in (*instructions, STOP) for word in entry.words())


def _nibbles(*values: int) -> int:
    """Pack four values, the first into bits 15:12."""
    word = 0
    for value in values:
        if not 0 <= value <= 0xF:
            raise ValueError(f"padding {value} does not fit four bits")
        word = word << 4 | value
    return word
