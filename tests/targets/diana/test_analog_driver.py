"""The analog C driver on the virtual SoC: transfers over banks, a convolution, and programs that must fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from htvm_ir.errors import HtvmError
from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build
from htvm_ir.targets.diana.analog_instruction import AnalogInstruction, config, program
from htvm_ir.targets.diana.analog_packing import K_LAYOUT, pack_weights
from htvm_ir.targets.diana.soc import diana_soc

L1_OUTPUT = 131072
ENTRY = AnalogInstruction.conv(
    input=0, output=L1_OUTPUT // 16, c=40, k=20, cx=5, cy=6, fx=3, fy=3, ox=3, oy=3, stride=2,
    pad_top=1, pad_left=1, pad_bottom=1, pad_right=1,
)  # fmt: skip
X = np.random.default_rng(1).integers(-64, 64, (1, 40, 6, 5)).astype(np.int8)
W = np.random.default_rng(2).integers(-1, 2, (20, 40, 3, 3)).astype(np.int8)
ROUND_TRIPS = {"one": (1, 6), "two": (2, 5), "four": (4, 7), "eight": (8, 3)}
"""Banks and pixels of a feature map that goes to L1 and back."""

STEPS = {
    "conv": (
        "diana_analog_dma_in(0, input, sizeof input, 1, 0, 1, 0, 3); diana_analog_wait();"
        "diana_analog_conv(program, settings, weights); diana_analog_wait();"
        f"diana_analog_dma_out(output, {L1_OUTPUT}, {9 * 32}, 1, 0, 1, 0, 2); diana_analog_wait();",
        None,
    ),
    "missing_wait": (
        "diana_analog_boot(); diana_analog_dma_in(0, input, sizeof input, 1, 0, 1, 0, 3);"
        "diana_analog_conv(program, settings, weights);",
        "TRIGGER while busy",
    ),
    "unwritten": ("diana_analog_conv(program, settings, weights);", "never written"),
    "odd": ("diana_analog_dma_in(0, input, 48, 1, 0, 1, 0, 3);", "multiple of 32 bytes, not 48"),
    "private": ("diana_analog_dma_in(0, private_word, 32, 1, 0, 1, 0, 1);", "outside shared L2"),
}


def array(name: str, data: bytes) -> str:
    return f"uint8_t {name}[{len(data)}] DIANA_L2_SHARED_BSS;"


def words(name: str, values: tuple[int, ...]) -> str:
    return f"static const uint32_t {name}[] DIANA_L2_SHARED_CONST = {{{', '.join(f'{v}u' for v in values)}}};"


def source() -> str:
    """A program that runs the step `chosen` names; round trips follow the steps."""
    steps = [code for code, _ in STEPS.values()]
    for banks, pixels in ROUND_TRIPS.values():
        row = 16 * banks
        steps.append(
            f"diana_analog_dma_in(64, pattern, {row}, {pixels}, {row + 32}, 1, 0, {banks}); diana_analog_wait();"
            f"diana_analog_dma_out(output, 64, {row * pixels}, 1, 0, 1, 0, {banks}); diana_analog_wait();"
        )
    bodies = "".join(f"case {n}: {code} break;\n" for n, code in enumerate(steps))
    return "\n".join(
        (
            '#include "diana_analog.h"\n#include "diana_digital.h"',
            array("input", K_LAYOUT.pack(X).tobytes()),
            array("weights", pack_weights(W)),
            "uint8_t pattern[4096] DIANA_L2_SHARED_BSS; uint8_t output[2048] DIANA_L2_SHARED_BSS;",
            words("program", program(ENTRY)),
            words("settings", config(8 << 16)),
            "volatile uint32_t chosen DIANA_L2_SHARED_BSS; uint32_t private_word[8];",
            f"int main(void) {{ switch (chosen) {{ {bodies} default: return 1; }} return 0; }}",
        )
    )


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled once with every warning an error."""
    folder = tmp_path_factory.mktemp("analog")
    main = folder / "main.c"
    main.write_text(source())
    return build(diana_soc(), [main], [], folder / "analog.elf")


def run(elf: Path, step: int) -> Machine:
    """The virtual SoC after a step."""
    machine = Machine(diana_soc(), elf)
    machine.reset()
    machine.write_symbol("input", K_LAYOUT.pack(X).tobytes())
    machine.write_symbol("weights", pack_weights(W))
    machine.write_symbol("pattern", bytes(i * 7 % 251 for i in range(4096)))
    machine.write_symbol("chosen", step.to_bytes(4, "little"))
    assert machine.run().exit_code == 0
    return machine


def test_a_convolution_powers_the_core_up_and_equals_numpy(elf: Path):
    padded = np.pad(X[0].astype(int), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    expected = np.clip(np.einsum("cyxij,kcij->kyx", windows, W.astype(int)) >> 3, -32, 31)
    stored = np.frombuffer(run(elf, 0).read_symbol("output"), np.int8)[: 9 * 32]
    np.testing.assert_array_equal(K_LAYOUT.unpack(stored, (1, 20, 3, 3))[0], expected)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_banks_come_back_as_they_went(elf: Path, name: str):
    banks, pixels = ROUND_TRIPS[name]
    machine = run(elf, len(STEPS) + list(ROUND_TRIPS).index(name))
    pattern = np.frombuffer(machine.read_symbol("pattern"), np.uint8)
    pieces = [pattern[n * (16 * banks + 32) :][: 16 * banks] for n in range(pixels)]
    assert machine.read_symbol("output")[: 16 * banks * pixels] == np.concatenate(pieces).tobytes()


@pytest.mark.parametrize("name", [name for name, (_, fault) in STEPS.items() if fault])
def test_a_wrong_program_faults(elf: Path, name: str):
    with pytest.raises(HtvmError, match=STEPS[name][1]):
        run(elf, list(STEPS).index(name))
