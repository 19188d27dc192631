"""The analog core as a device on a plain bus: its job, time, power-up, noise, and every fault."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from plain_bus import SHARED, Fault, PlainBus

from htvm_ir.targets.diana import analog_datapath
from htvm_ir.targets.diana.analog_device import AnalogHwme
from htvm_ir.targets.diana.analog_instruction import STOP, AnalogInstruction, config, program
from htvm_ir.targets.diana.analog_packing import pack_weights
from htvm_ir.targets.diana.l1 import L1
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.diana.peripherals import Gpio, Supply

TRIGGER, STATUS, WEIGHTS, IM, ACT, CONF, NB_TILE, OP = 0x00, 0x0C, 0x40, 0x48, 0x50, 0x58, 0x68, 0x6C
ENTRY = AnalogInstruction.conv(input=0, output=256, c=16, k=16, cx=8, cy=8, fx=1, fy=1, ox=8, oy=8)
IDENTITY = pack_weights(np.eye(16, dtype=np.int8).reshape(16, 16, 1, 1))
IMAGE = SHARED + 1024


@dataclass
class Bench:
    """The core with its L1; 64 pixels of 16 channels lie at its beginning."""

    parameters: Parameters = DIANA
    supply: Supply | None = None

    def __post_init__(self) -> None:
        self.bus, self.l1 = PlainBus(), L1(self.parameters.l1_bytes)
        self.core = AnalogHwme(self.bus, self.l1, self.parameters, self.supply)
        self.input = np.random.default_rng(3).integers(-64, 64, (16, 64)).astype(np.int8)
        analog_datapath.scatter(self.l1.data, 0, self.input)
        self.l1.written[:1024] = True

    def job(self, words: tuple[int, ...] = program(ENTRY), gain: int = 1 << 16, **registers: int) -> None:
        """Start a job; `registers` are set last."""
        self.bus.write(SHARED, np.array([*words, *config(gain)], "<u4").tobytes())
        self.bus.write(IMAGE, IDENTITY)
        values = {
            OP: 0, IM: SHARED, IM + 4: len(words), CONF: SHARED + 4 * len(words), CONF + 4: 16, ACT + 4: 0, NB_TILE: 0,
            WEIGHTS: IMAGE, **{globals()[name]: value for name, value in registers.items()},
        }  # fmt: skip
        for offset, value in values.items():
            self.core.write(offset, 4, value)
        self.core.write(TRIGGER, 4, 0)

    def output(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        """What the job left."""
        return analog_datapath.gather(self.l1.data.view(np.int8), 256, 16, 64)


def test_a_job_loads_the_array_then_computes():
    bench = Bench()
    bench.job(gain=1 << 17)
    np.testing.assert_array_equal(bench.output(), np.clip(bench.input >> 1, -32, 31))
    assert bench.l1.written[4096:5120].all()
    assert not bench.l1.written[5120:].any()
    loaded = DIANA.weight_start + 8 * 16
    end = loaded + -(-64 * 182 // 10)
    assert bench.bus.intervals == [
        ("analog.weights", "load", 0, loaded, len(IDENTITY)),
        ("analog", "conv 16->16 1x1/1 to 8x8", loaded, end, 0),
    ]
    assert bench.core.read(STATUS, 4) == 1
    assert bench.bus.now == end
    assert bench.core.read(STATUS, 4) == 0


def test_noise_is_drawn_from_its_seed_and_moves_results_by_steps():
    def run(sigma: float, seed: int) -> list[int]:
        bench = Bench(replace(DIANA, analog_noise=sigma, analog_seed=seed))
        bench.job(gain=1 << 18)
        return bench.output().reshape(-1).astype(int).tolist()

    exact = np.array(run(0.0, 0))
    noisy = np.array(run(1.0, 0))
    assert noisy.tolist() == run(1.0, 0)
    assert noisy.tolist() != run(1.0, 1)
    assert 0.5 < np.std(noisy - exact) < 1.5


def test_without_power_only_the_boot_job_runs():
    supply = Supply()
    gpio, bench = Gpio(supply), Bench(supply=supply)
    with pytest.raises(Fault, match="the core has no supply; run the power-up sequence"):
        bench.job()
    boot = AnalogInstruction.conv(input=0, output=0x800, c=64, k=512, cx=2, cy=2, fx=1, fy=1, ox=2, oy=2)
    bench.job(program(boot), WEIGHTS=0)
    assert not bench.l1.written[1024:].any()
    while bench.core.read(STATUS, 4):
        pass
    assert gpio.read(Gpio.PADIN, 4) == 0
    gpio.write(Gpio.PADOUT, 4, 1 << 17)
    assert gpio.read(Gpio.PADIN, 4) == 0
    gpio.write(Gpio.PADOUT, 4, 0)
    assert gpio.read(Gpio.PADIN, 4) == 1 << 18
    bench.job()
    gpio.reset()
    assert not supply.on


def test_the_set_and_clear_registers_request_the_supply_too():
    gpio = Gpio(supply := Supply())
    gpio.write(Gpio.CLEAR, 4, 1 << 17)
    assert not supply.on
    gpio.write(Gpio.SET, 4, 3 << 17)
    gpio.write(Gpio.CLEAR, 4, 1 << 17)
    assert supply.on
    assert gpio.read(Gpio.PADOUT, 4) == 1 << 18


@pytest.mark.parametrize(
    ("registers", "reason"),
    [
        ({"IM": 0x1C00_0000}, "instruction list at 0x1C000000, 128 bytes, is outside shared L2"),
        ({"WEIGHTS": DIANA.shared_end - 64}, "weights at .* 9216 bytes, is outside shared L2"),
        ({"NB_TILE": 1}, "NB_TILE is not modelled"),
        ({"OP": 5}, "MEMCPY_OP 5"),
    ],
)
def test_illegal_registers_fault(registers: dict[str, int], reason: str):
    with pytest.raises(Fault, match=reason):
        Bench().job(program(ENTRY), 1 << 16, **registers)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (program(ENTRY)[:16], "32 words, not 16"),
        ((*STOP.words(), *STOP.words()), "the first entry must work"),
        ((*ENTRY.words(), *ENTRY.words()), "and the second stop"),
        ((0xFE3F, *program(ENTRY)[1:]), "belong to no field"),
        (program(replace(ENTRY, skip_pool=0)), "not implemented"),
    ],
)
def test_illegal_instruction_lists_fault(words: tuple[int, ...], reason: str):
    with pytest.raises(Fault, match=reason):
        Bench().job(words)


def test_inputs_of_eight_bits_fault():
    bench = Bench()
    bench.l1.data[3] = 64
    with pytest.raises(Fault, match="inputs from -64 to 64 do not fit the core's 7 bits"):
        bench.job()


def test_unwritten_inputs_fault():
    bench = Bench()
    bench.l1.written[100] = False
    with pytest.raises(Fault, match="reads 1 bytes of L1 that were never written"):
        bench.job()


def test_a_trigger_while_busy_faults():
    bench = Bench()
    bench.job()
    with pytest.raises(Fault, match="TRIGGER while busy"):
        bench.core.write(TRIGGER, 4, 0)
