"""The virtual core executes exactly the instructions that QEMU does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from small_soc import PIPELINE_COSTS, PROGRAMS, SmallSoc

from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build

_QEMU = shutil.which("qemu-system-riscv32")


def _qemu(elf: Path) -> str:
    """What the program prints on QEMU, one nanosecond an instruction."""
    assert _QEMU is not None
    machine = ["-M", "virt", "-cpu", "rv32,a=off,f=off,d=off", "-bios", "none"]
    output = ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    command = [_QEMU, *machine, "-icount", "shift=0", *output, "-kernel", str(elf)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(_QEMU is None, reason="qemu-system-riscv32 is not installed")
@pytest.mark.parametrize("name", ["sort", "convolution", "polling"])
def test_results_and_instruction_counts_equal_qemu(name: str, tmp_path: Path):
    small = SmallSoc()
    elf = build(small.soc, [PROGRAMS / f"{name}.c"], [], tmp_path / "program.elf")
    result = Machine(small.soc, elf).run()
    assert small.console.text == _qemu(elf)
    printed_count = int(small.console.text.split()[-1], 16)
    assert printed_count > 10_000
    assert printed_count < result.instructions < printed_count + 500
    assert result.cycles == result.instructions


def test_runs_are_reproducible_and_costs_do_not_change_the_count(sort_elf: Path):
    small = SmallSoc(PIPELINE_COSTS)
    machine = Machine(small.soc, sort_elf)
    first = machine.run()
    text = small.console.text
    machine.reset()
    second = machine.run()
    assert (second.cycles, second.instructions, small.console.text) == (first.cycles, first.instructions, text)
    assert first.instructions == Machine(SmallSoc().soc, sort_elf).run().instructions
    assert first.cpu_cycles == first.cycles > first.instructions
