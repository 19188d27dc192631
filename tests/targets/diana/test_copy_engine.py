"""The analog core's DMA as a copy engine on the virtual SoC: its driver, what faults, whole networks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build
from htvm_ir.targets.diana.instruction import DigitalInstruction, program
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.diana.soc import diana_soc
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.registry import load_target

COPYING = Parameters(copy_engine="analog")
"""Of the virtual SoC, where only the run-time library differs."""

PATTERN = np.arange(1024, dtype=np.int64).astype(np.uint8) % 61

SUM = DigitalInstruction.add(left=0, right=1024, output=2048, c=64, shift=0, relu=False)
"""Of 1024 elements: reads L1 up to 2048, writes it from there to 3072."""

START = (
    "diana_copy_in(0, input, 1024, 1, 0, 1, 0); diana_copy_wait();"
    "diana_copy_in(1024, input, 512, 2, 512, 1, 0); diana_copy_wait(); diana_digital_add(sum);"
)
END = "diana_digital_wait(); diana_copy_out(output, 2048, 1024, 1, 0, 1, 0); diana_copy_wait();"
STEPS = {
    "beside a job": (
        START
        + "diana_copy_in(3072, input, 64, 3, 96, 1, 0); diana_copy_wait();"
        + "diana_copy_out(copied, 3072, 192, 1, 0, 1, 0); diana_copy_wait();"
        + END,
        None,
    ),
    "into what the job reads": (START + "diana_copy_in(512, input, 64, 1, 0, 1, 0);", "overlaps the L1 bytes"),
    "into what the job writes": (START + "diana_copy_in(3040, input, 32, 1, 0, 1, 0);", "overlaps the L1 bytes"),
    "the overrun of a piece": (START + "diana_copy_in(2016, input, 1, 1, 0, 1, 0);", "overlaps the L1 bytes"),
    "out of what the job writes": (START + "diana_copy_out(copied, 2048, 32, 1, 0, 1, 0);", "overlaps the L1 bytes"),
    "the analog core is busy": (
        START + "diana_copy_in(4096, input, 1024, 1, 0, 1, 0); diana_copy_in(8192, input, 32, 1, 0, 1, 0);",
        "analog: TRIGGER while busy",
    ),
    "nobody has waited": (
        START + "diana_copy_in(4096, input, 32, 1, 0, 1, 0); for (volatile int i = 0; i < 99; i++) {}"
        "diana_copy_in(8192, input, 32, 1, 0, 1, 0);",
        "nobody has waited",
    ),
    "read too early": (
        START + "diana_copy_out(copied, 0, 1024, 1, 0, 1, 0); return copied[0];",
        "which a transfer has not finished",
    ),
}


def source() -> str:
    """A program that runs the step `chosen` names."""
    words = ", ".join(f"{word}u" for word in program([SUM]))
    bodies = "".join(f"case {n}: {code} break;\n" for n, (code, _) in enumerate(STEPS.values()))
    return "\n".join(
        (
            '#include "diana_copy.h"\n#include "diana_digital.h"',
            "uint8_t input[1024] DIANA_L2_SHARED_BSS; uint8_t output[1024] DIANA_L2_SHARED_BSS;",
            "uint8_t copied[1024] DIANA_L2_SHARED_BSS; volatile uint32_t chosen DIANA_L2_SHARED_BSS;",
            f"static const uint32_t sum[] DIANA_L2_SHARED_CONST = {{{words}}};",
            f"int main(void) {{ switch (chosen) {{ {bodies} default: return 1; }} return 0; }}",
        )
    )


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled once with every warning an error."""
    folder = tmp_path_factory.mktemp("copy")
    (folder / "main.c").write_text(source())
    return build(diana_soc(COPYING), [folder / "main.c"], [], folder / "copy.elf")


def run(elf: Path, step: str) -> Machine:
    machine = Machine(diana_soc(COPYING), elf)
    machine.reset()
    machine.write_symbol("input", PATTERN.tobytes())
    machine.write_symbol("chosen", list(STEPS).index(step).to_bytes(4, "little"))
    assert machine.run().exit_code == 0
    return machine


def test_a_transfer_beside_a_job_leaves_it_alone(elf: Path):
    machine = run(elf, "beside a job")
    np.testing.assert_array_equal(np.frombuffer(machine.read_symbol("output"), np.uint8), 2 * PATTERN)
    pieces = np.concatenate([PATTERN[first : first + 64] for first in (0, 96, 192)])
    np.testing.assert_array_equal(np.frombuffer(machine.read_symbol("copied"), np.uint8)[:192], pieces)


@pytest.mark.parametrize("name", [name for name, (_, fault) in STEPS.items() if fault])
def test_a_wrong_program_faults(elf: Path, name: str):
    with pytest.raises(HtvmError, match=STEPS[name][1]):
        run(elf, name)


@cache
def measured(model: str, settings: str, engines: tuple[str, ...] | None) -> tuple[Compiled, Execution]:
    """One run, every layer compared with the interpreter."""
    compiled = compile_model(model, Options(target=",".join(filter(None, ("diana", settings))), engines=engines))
    samples = load_samples("random:1", *edges(compiled.module), 1)
    execution = execute(compiled, "default", samples, check=True, check_layers=True)
    assert execution.check is not None and not execution.check.failed, execution.check
    return compiled, execution


def cycles(model: str, settings: str, engines: tuple[str, ...] | None = ("digital",)) -> int:
    return measured(model, settings, engines)[1].report["cycles"]["per_inference"]


def test_a_network_that_does_not_fit_l1_gains_and_takes_the_predicted_cycles():
    settings = "l1_bytes=16k,copy_engine=analog"
    assert cycles("zoo:resnet8", settings) < 0.97 * cycles("zoo:resnet8", "l1_bytes=16k")
    predicted = measured("zoo:resnet8", settings, ("digital",))[0].report["cycles"]["predicted"]
    assert abs(predicted / cycles("zoo:resnet8", settings) - 1) < 0.01


def test_a_network_whose_maps_stay_in_l1_loses_nothing():
    assert cycles("zoo:resnet8", "copy_engine=analog") <= cycles("zoo:resnet8", "")


def test_the_analog_core_computes_and_copies():
    compiled, _ = measured("zoo:dscnn-mixed", "copy_engine=analog", None)
    assert {layer["engine"] for layer in compiled.report["layers"]} == {"digital", "analog", "cpu"}
    texts = [text for name, text in compiled.files.items() if name.endswith("_kernels.c")]
    assert any("diana_copy_in(" in text and "diana_analog_conv(" in text for text in texts)


def test_it_is_off_unless_asked_for():
    assert diana().parameters["copy_engine"] == "none"
    assert not any(channel.lent_by for channel in diana().channels)
    compiled, _ = measured("zoo:resnet8", "", ("digital",))
    assert not any("diana_copy" in text for text in compiled.files.values())


def test_there_is_no_other_copy_engine():
    with pytest.raises(HtvmError, match="copy_engine=digital: choose from none, analog"):
        load_target("diana,copy_engine=digital")
