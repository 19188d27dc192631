"""The analog core's instruction: 32 fields of 16 bits in 16 words, and lists of them.

Fields and their bits are those of the field table of the chip's lab bring-up; the values of a convolution are those of
dory-hal's `analog_conv_2d.c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any

INSTRUCTION_WORDS = 16
ROW = 16
"""Bytes of a row of L1; addresses of the analog core count rows."""
CONFIG_WORDS = 16
GAIN_WORD = 6
"""The configuration word that carries the gain in Q16.16, 0 for 1 (model choice: no register is known for it)."""
GAIN_ONE = 1 << 16

INPUT_LOW, INPUT_HIGH = -64, 63
ADC_LOW, ADC_HIGH = -32, 31
"""What the array takes, 7 bits, and what leaves its converters, 6 bits."""

CONV_CONFIG = (0x0300_0000, 0x0303_001F)
"""Timing and bits of converters and activations for a convolution (dory-hal)."""


def _bits(register: int, low: int, width: int, default: int = 0) -> Any:
    """A field in bits [low, low + width) of a 16-bit register."""
    return field(default=default, metadata={"register": register, "low": low, "width": width})


@dataclass(frozen=True, kw_only=True)
class AnalogInstruction:
    """One entry of an instruction list. Addresses are rows of L1; `ox` is the output width divided by `ox_unroll`.

    Defaults are what a convolution of the published driver and its stop entry have in common: all post-processing
    skipped, which leaves the output of the converters.
    """

    skip_pool: int = _bits(0, 0, 1, 1)
    skip_quant: int = _bits(0, 1, 1, 1)
    skip_activation: int = _bits(0, 2, 1, 1)
    skip_residual: int = _bits(0, 3, 1, 1)
    skip_batch_norm: int = _bits(0, 4, 1, 1)
    skip_partial_sum: int = _bits(0, 5, 1, 1)
    pool: int = _bits(0, 6, 2)
    relu_type: int = _bits(0, 8, 1)
    input: int = _bits(2, 0, 14)
    output: int = _bits(3, 0, 14)
    partial_sum: int = _bits(4, 0, 14)
    residual: int = _bits(5, 0, 14)
    batch_norm: int = _bits(6, 0, 13)
    c: int = _bits(7, 0, 10)
    k: int = _bits(8, 0, 10)
    cx: int = _bits(9, 0, 10)
    cy: int = _bits(10, 0, 10)
    precision: int = _bits(11, 0, 4, 7)
    fp_int: int = _bits(11, 4, 1)
    fx: int = _bits(12, 0, 4)
    fy: int = _bits(12, 4, 4)
    pooling_size: int = _bits(12, 8, 5)
    ox: int = _bits(13, 0, 10)
    oy: int = _bits(14, 0, 10)
    ox_unroll: int = _bits(15, 0, 4, 1)
    residual_word_size: int = _bits(15, 4, 4)
    stride: int = _bits(16, 0, 2)
    pad_bottom: int = _bits(17, 0, 2)
    pad_top: int = _bits(17, 2, 2)
    pad_right: int = _bits(17, 4, 2)
    pad_left: int = _bits(17, 6, 2)
    blocks: int = _bits(18, 0, 4, 1)
    partial_sum_precision: int = _bits(19, 0, 2, 1)
    output_precision: int = _bits(19, 2, 2, 1)
    output_offset: int = _bits(19, 4, 5)
    buffer_offset: int = _bits(19, 9, 4)
    weight_init: int = _bits(19, 13, 1)
    simd_init: int = _bits(19, 14, 1)
    columns: int = _bits(20, 0, 16)
    unit_time: int = _bits(21, 0, 8)
    delay_sync: int = _bits(21, 8, 2, 1)
    stop: int = _bits(22, 0, 1)
    core_init: int = _bits(22, 1, 1)
    average_divisor: int = _bits(22, 2, 8)
    core_init_value: int = _bits(22, 10, 2)
    memory_layout: int = _bits(22, 12, 4, 15)
    bias_driver: int = _bits(23, 0, 4)
    adc_range: int = _bits(23, 4, 1)
    pooled_size: int = _bits(23, 5, 10)
    reserved24: int = _bits(24, 0, 16, 0x84)
    weight_packets: int = _bits(25, 0, 16)
    batch_norm_packets: int = _bits(26, 0, 16)
    quant_scale: int = _bits(27, 0, 8)
    residual_scale: int = _bits(27, 8, 4)
    beta_scale: int = _bits(27, 12, 4)
    leaky_threshold: int = _bits(28, 0, 16)
    wait_supply: int = _bits(29, 0, 1)
    bias_delay: int = _bits(29, 1, 15)

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
        stride: int = 1,
        pad_top: int = 0,
        pad_left: int = 0,
        pad_bottom: int = 0,
        pad_right: int = 0,
        ox_unroll: int = 1,
    ) -> AnalogInstruction:
        """A convolution of `c` channels of `cy` x `cx` pixels into `k` channels of `oy` x `ox` pixels.

        Raises ValueError when `ox` is no multiple of `ox_unroll`; `words` does when a number does not fit its field.
        """
        if ox % ox_unroll:
            raise ValueError(f"{ox} output columns are not whole groups of {ox_unroll}")
        return cls(
            input=input,
            output=output,
            c=c,
            k=k,
            cx=cx,
            cy=cy,
            fx=fx,
            fy=fy,
            ox=ox // ox_unroll,
            oy=oy,
            ox_unroll=ox_unroll,
            stride=stride,
            pad_top=pad_top,
            pad_left=pad_left,
            pad_bottom=pad_bottom,
            pad_right=pad_right,
            blocks=-(-c // 64),
            weight_init=1,
            columns=column_blocks(k),
            weight_packets=-(-2 * c * fx * fy // 32) * 32,
        )

    @classmethod
    def from_words(cls, words: Sequence[int]) -> AnalogInstruction:
        """The inverse of `words`. Raises ValueError unless there are 16 and the bits without a field are 0."""
        if len(words) != INSTRUCTION_WORDS:
            raise ValueError(f"an analog instruction has 16 words, not {len(words)}")
        registers = [half for word in words for half in (word & 0xFFFF, word >> 16)]
        numbers: dict[str, int] = {}
        for item in fields(cls):
            register, low, width = _place(item)
            numbers[item.name] = registers[register] >> low & (1 << width) - 1
            registers[register] &= ~((1 << width) - 1 << low)
        if any(registers):
            number = next(n for n, rest in enumerate(registers) if rest)
            raise ValueError(f"bits 0x{registers[number]:X} of R{number} belong to no field")
        return cls(**numbers)

    def registers(self) -> tuple[int, ...]:
        """R0 to R31. Raises ValueError when a number does not fit its field."""
        registers = [0] * (2 * INSTRUCTION_WORDS)
        for item in fields(self):
            register, low, width = _place(item)
            value: int = getattr(self, item.name)
            if not 0 <= value < 1 << width:
                raise ValueError(f"{item.name} = {value} does not fit its {width} bits")
            registers[register] |= value << low
        return tuple(registers)

    def words(self) -> tuple[int, ...]:
        """The 16 words as the core fetches them: register 2n in the low half of word n."""
        r = self.registers()
        return tuple(r[2 * n] | r[2 * n + 1] << 16 for n in range(INSTRUCTION_WORDS))

    @property
    def rows(self) -> int:
        """Rows of the array that a convolution drives, before unrolling."""
        return self.c * self.fy * self.fx

    @property
    def width(self) -> int:
        """Output columns."""
        return self.ox * self.ox_unroll


STOP = AnalogInstruction(stop=1, columns=1, unit_time=0x0A)


def column_blocks(k: int) -> int:
    """R20: one bit for each 32 columns in use, the first block in the highest bit (dory-hal)."""
    return 0xFFFF << 16 - -(-k // 32) & 0xFFFF


def program(instruction: AnalogInstruction) -> tuple[int, ...]:
    """The 32 words of a work entry and the stop entry."""
    return (*instruction.words(), *STOP.words())


def config(gain: int) -> tuple[int, ...]:
    """The 16 configuration words of a convolution with a gain in Q16.16."""
    words = [*CONV_CONFIG, *(0,) * (CONFIG_WORDS - len(CONV_CONFIG))]
    words[GAIN_WORD] = gain
    return tuple(words)


def _place(item: Field[Any]) -> tuple[int, int, int]:
    """Register, lowest bit and width of a field."""
    return item.metadata["register"], item.metadata["low"], item.metadata["width"]
