"""The analog core's instruction: the words of a bring-up decoded, what does not fit, the driver's boot program."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.diana import soc
from htvm_ir.targets.diana.analog_instruction import STOP, AnalogInstruction, column_blocks, config, program

BRING_UP = (
    0x3F, 0x10000000, 0, 0x100000, 0x200010, 0x70020, 0x200033, 0x10020,
    0x550001, 0x32050001, 0x10A8000, 0xF000, 0x9000084, 0, 0, 0,
)  # fmt: skip
"""A convolution that ran on the chip: 16 channels of 32x32 to 16, 3x3, padded by 1."""

CONV = AnalogInstruction.conv(input=0, output=64, c=16, k=16, cx=32, cy=32, fx=3, fy=3, ox=32, oy=32)


def test_the_words_of_the_bring_up_decode():
    entry = AnalogInstruction.from_words(BRING_UP)
    assert (entry.c, entry.k, entry.cx, entry.cy, entry.fx, entry.fy) == (16, 16, 32, 32, 3, 3)
    assert (entry.ox, entry.oy, entry.ox_unroll, entry.stride) == (32, 32, 1, 1)
    assert (entry.pad_top, entry.pad_left, entry.pad_bottom, entry.pad_right) == (1, 1, 1, 1)
    assert (entry.input, entry.output, entry.columns, entry.weight_packets) == (0, 4096, 0x8000, 2304)
    assert (entry.blocks, entry.buffer_offset, entry.weight_init, entry.memory_layout) == (1, 9, 1, 15)
    assert entry.words() == BRING_UP


def test_the_published_driver_s_values():
    registers = AnalogInstruction.conv(
        input=3, output=2048, c=130, k=200, cx=9, cy=8, fx=3, fy=1, ox=8, oy=4, stride=2,
        pad_top=1, pad_left=2, pad_bottom=3, pad_right=0, ox_unroll=4,
    ).registers()  # fmt: skip
    assert registers[0] == 0x3F
    assert registers[2:4] == (3, 2048)
    assert registers[12:19] == (0x13, 2, 4, 4, 2, 3 | 1 << 2 | 0 << 4 | 2 << 6, 3)
    assert registers[19:26] == (0x2005, 0xFE00, 0x0100, 0xF000, 0, 0x0084, 800)
    assert STOP.registers()[11:] == (7, 0, 0, 0, 1, 0, 0, 1, 5, 1, 0x10A, 0xF001, 0, 0x84, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("k", "blocks"), [(1, 0x8000), (32, 0x8000), (33, 0xC000), (512, 0xFFFF)])
def test_column_blocks_start_at_the_top(k: int, blocks: int):
    assert column_blocks(k) == blocks


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 400), st.integers(1, 512), st.integers(0, 3), st.sampled_from((1, 3, 5, 7)))
def test_from_words_inverts_words(c: int, k: int, pad: int, kernel: int):
    entry = AnalogInstruction.conv(
        input=c, output=k, c=c, k=k, cx=7, cy=9, fx=kernel, fy=kernel, ox=4, oy=5, pad_left=pad, ox_unroll=2
    )
    assert AnalogInstruction.from_words(entry.words()) == entry


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="pad_top = 4 does not fit its 2 bits"):
        replace(CONV, pad_top=4).words()
    with pytest.raises(ValueError, match="33 output columns are not whole groups of 2"):
        AnalogInstruction.conv(input=0, output=0, c=1, k=1, cx=33, cy=1, fx=1, fy=1, ox=33, oy=1, ox_unroll=2)
    with pytest.raises(ValueError, match="16 words, not 3"):
        AnalogInstruction.from_words([0, 0, 0])
    with pytest.raises(ValueError, match="bits 0x8000 of R2"):
        AnalogInstruction.from_words([0, 0x8000, *[0] * 14])


def test_the_gain_is_word_6_of_the_configuration():
    assert config(0x28000) == (0x03000000, 0x0303001F, 0, 0, 0, 0, 0x28000, *[0] * 9)


def test_the_driver_boots_with_the_published_job():
    text = Path(soc.RUNTIME / "diana_analog.c").read_text()
    found = re.search(r"boot_program\[PROGRAM_WORDS\][^{]*{([^}]*)}", text)
    assert found is not None
    words = [int(word, 16) for word in found[1].split(",")]
    boot = AnalogInstruction.conv(input=0, output=0x800, c=64, k=512, cx=2, cy=2, fx=1, fy=1, ox=2, oy=2)
    assert (*words, *[0] * (32 - len(words))) == program(boot)
