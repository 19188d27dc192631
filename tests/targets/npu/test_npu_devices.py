"""The devices: transfers and jobs take their time, and what a program must not rely on is a fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import pytest
from test_array import ARRAY, conv
from workloads import expected, maps

from htvm_ir.errors import HtvmError
from htvm_ir.targets.npu.devices import WINDOW, ArrayDevice, DmaChannel, l2_port
from htvm_ir.targets.npu.job import encode
from htvm_ir.targets.npu.memories import LocalMemory
from htvm_ir.targets.npu.parameters import NPU, SHARED_BASE
from htvm_ir.targets.workload import Requant, Tensor, Workload, tile_workload

START = NPU.dma_start


@dataclass
class L2Bus:
    """L2 and a clock that only moves when somebody moves it."""

    now: int = 0
    memory: bytearray = field(default_factory=lambda: bytearray(NPU.l2))
    tainted: set[int] = field(default_factory=set[int])

    def advance_to(self, cycle: int) -> None:
        self.now = max(self.now, cycle)

    def read(self, address: int, size: int) -> bytes:
        if self.tainted.intersection(range(address, address + size)):
            self.fault("tainted")
        return bytes(self.memory[address - SHARED_BASE :][:size])

    def write(self, address: int, data: bytes) -> None:
        self.memory[address - SHARED_BASE : address - SHARED_BASE + len(data)] = data
        self.tainted.difference_update(range(address, address + len(data)))

    def taint(self, address: int, size: int) -> None:
        self.tainted.update(range(address, address + size))

    def record(self, unit: str, what: str, start: int, end: int, bytes: int = 0) -> None:
        assert start <= end

    def fault(self, message: str) -> NoReturn:
        raise HtvmError(message)

    def stop(self, code: int) -> None:
        raise AssertionError("no device here ends the program")


@dataclass
class Chip:
    """The devices on a bus of their own."""

    bus: L2Bus = field(default_factory=L2Bus)
    l1: LocalMemory = field(default_factory=lambda: LocalMemory("L1", NPU.l1))
    weights: LocalMemory = field(default_factory=lambda: LocalMemory("WM", NPU.weight_memory))

    def __post_init__(self) -> None:
        port = l2_port(NPU)
        self.inputs = DmaChannel("inputs", 0, self.bus, port, self.l1, NPU, loads=True)
        self.constants = DmaChannel("weights", 1, self.bus, port, self.weights, NPU, loads=True)
        self.outputs = DmaChannel("outputs", 2, self.bus, port, self.l1, NPU, loads=False)
        self.array = ArrayDevice(self.bus, self.l1, self.weights, NPU)

    def transfer(self, channel: DmaChannel, local: int, shared: int, length: int, *loops: int) -> None:
        """Program a channel: local and shared address, run, then count and stride of the loops around it."""
        for offset, value in zip(range(0, 28, 4), (local, SHARED_BASE + shared, length, *loops), strict=False):
            channel.write(offset, 4, value)
        channel.write(DmaChannel.START, 4, len(loops) // 2)

    def wait(self, channel: DmaChannel, left: int = 0) -> None:
        channel.read(DmaChannel.WAIT + 4 * left, 4)

    def job(self, words: tuple[int, ...], at: int = 0x1000) -> None:
        self.bus.write(SHARED_BASE + at, np.array(words, "<u4").tobytes())
        self.array.write(ArrayDevice.START, 4, SHARED_BASE + at)


@pytest.fixture
def chip() -> Chip:
    made = Chip()
    made.bus.write(SHARED_BASE, bytes(range(256)))
    return made


def test_a_strided_transfer_packs_its_runs(chip: Chip) -> None:
    chip.transfer(chip.inputs, 3, 1, 5, 2, 16, 3, 64)
    chip.wait(chip.inputs)
    runs = [64 * i + 16 * j + 1 for i in range(3) for j in range(2)]
    assert chip.l1.data[3:33].tolist() == [run + n for run in runs for n in range(5)]
    assert chip.bus.now == START + 6  # a run of 5 bytes takes a cycle


def test_transfers_of_all_channels_share_the_port(chip: Chip) -> None:
    chip.transfer(chip.inputs, 0, 0, 80)
    chip.transfer(chip.constants, 0, 80, 40)
    chip.wait(chip.constants)
    assert chip.bus.now == 2 * START + 10 + 5


def test_a_wait_may_leave_the_last_transfers(chip: Chip) -> None:
    for n in range(3):
        chip.transfer(chip.inputs, 80 * n, 0, 80)
    chip.wait(chip.inputs, 2)
    assert chip.bus.now == START + 10
    chip.wait(chip.inputs)
    assert chip.bus.now == 3 * (START + 10)


def test_a_full_queue_stops_the_program(chip: Chip) -> None:
    for n in range(NPU.dma_queue):
        chip.transfer(chip.inputs, 80 * n, 0, 80)
    assert chip.bus.now == 0
    chip.transfer(chip.inputs, 80 * NPU.dma_queue, 0, 80)
    assert chip.bus.now == START + 10


def test_what_a_store_brings_counts_when_it_has_been_waited_for(chip: Chip) -> None:
    chip.transfer(chip.inputs, 0, 0, 8)
    chip.wait(chip.inputs)
    chip.transfer(chip.outputs, 0, 0x100, 8)
    with pytest.raises(HtvmError, match="tainted"):
        chip.bus.read(SHARED_BASE + 0x100, 8)
    chip.wait(chip.outputs)
    assert chip.bus.read(SHARED_BASE + 0x100, 8) == bytes(range(8))


def test_a_job_computes_and_takes_its_time(chip: Chip) -> None:
    workload = conv(k=20)
    (x,) = maps(workload)
    loaded(chip, x.tobytes(), ARRAY.pack(workload).tobytes())
    before = chip.bus.now
    chip.job(encode(ARRAY.job(workload), [0], 1024, 16))
    chip.array.read(ArrayDevice.WAIT, 4)
    assert chip.bus.now == before + ARRAY.cycles(ARRAY.job(workload))
    size = workload.output.size
    got = chip.l1.data[1024 : 1024 + size].view(np.int8).reshape(workload.output.shape)
    np.testing.assert_array_equal(got, expected(workload, [x]))


def loaded(chip: Chip, x: bytes, constants: bytes) -> None:
    """An input at 0 of L1 and constants at 16 of the weight memory."""
    chip.bus.write(SHARED_BASE + 0x4000, x + constants)
    chip.transfer(chip.inputs, 0, 0x4000, len(x))
    chip.transfer(chip.constants, 16, 0x4000 + len(x), len(constants))
    chip.wait(chip.inputs)
    chip.wait(chip.constants)


def running(chip: Chip) -> None:
    """A job that reads bytes 0 to 360 and writes 1024 to 1144 of L1, and has 31 bytes of constants."""
    workload = conv(k=1)
    (x,) = maps(workload)
    loaded(chip, x.tobytes(), ARRAY.pack(workload).tobytes())
    chip.job(encode(ARRAY.job(workload), [0], 1024, 16))


@pytest.mark.parametrize(
    ("local", "loads", "reason"),
    [(359, True, "array is working on"), (1143, True, "array is working on"), (1024, False, "array is working on")],
    ids=["overwrites the input", "overwrites the output", "reads the output"],
)
def test_a_transfer_must_leave_a_job_alone(chip: Chip, local: int, loads: bool, reason: str) -> None:
    running(chip)
    with pytest.raises(HtvmError, match=reason):
        chip.transfer(chip.inputs if loads else chip.outputs, local, 0, 8)


def test_a_transfer_beside_a_job_is_fine(chip: Chip) -> None:
    running(chip)
    chip.transfer(chip.inputs, 512, 0, 8)
    chip.transfer(chip.constants, 256, 0, 8)


def on_rows(chip: Chip) -> bytes:
    """Start a job that reads rows 2 and 3 of a map of 3 x 10 x 12, and writes them of one of 2 x 10 x 12 at 1024."""
    plain = Requant("floor", (1,), (0,), 0, -128, 127)
    shapes = Tensor((1, 3, 10, 12)), Tensor((1, 2, 10, 12))
    weights = np.zeros((2, 3, 1, 1), np.int64)
    weights[:, 2] = 1
    whole = Workload("conv2d", shapes[:1], shapes[1], weights=weights, requant=plain, resident=frozenset({0, 1}))
    part = tile_workload(whole, {"y": (2, 2)})
    x = maps(whole)[0].tobytes()
    chip.bus.write(SHARED_BASE + 0x4000, x + ARRAY.pack(whole).tobytes())
    for plane in range(3):  # only what the job reads
        chip.transfer(chip.inputs, 120 * plane + 24, 0x4000 + 120 * plane + 24, 24)
    chip.transfer(chip.constants, 0, 0x4000 + len(x), ARRAY.pack(whole).size)
    chip.wait(chip.inputs)
    chip.wait(chip.constants)
    chip.job(encode(ARRAY.job(part), [24], 1024 + 24, 0))
    return x


def test_a_job_on_rows_leaves_the_others_alone(chip: Chip) -> None:
    x = on_rows(chip)
    chip.transfer(chip.inputs, 1024 + 48, 0, 96)  # between the planes of its output
    chip.transfer(chip.inputs, 48, 0, 96)
    chip.array.read(ArrayDevice.WAIT, 4)
    chip.wait(chip.inputs)
    got, last = chip.l1.data[1024 : 1024 + 240].tobytes(), x[264:288]
    assert got == bytes(24) + last + bytes(range(96)) + last + bytes(72)
    with pytest.raises(HtvmError, match="24 were never written"):
        chip.transfer(chip.outputs, 1024, 0, 48)


@pytest.mark.parametrize(("local", "loads"), [(143, True), (24, True), (1024 + 144, True), (1024 + 24, False)])
def test_a_transfer_must_leave_the_rows_of_a_job_alone(chip: Chip, local: int, loads: bool) -> None:
    on_rows(chip)
    with pytest.raises(HtvmError, match="array is working on"):
        chip.transfer(chip.inputs if loads else chip.outputs, local, 0, 8)


def test_a_job_must_not_read_what_still_comes_in(chip: Chip) -> None:
    workload = conv(k=1)
    constants = ARRAY.pack(workload).tobytes()
    chip.bus.write(SHARED_BASE + 0x4000, constants)
    chip.transfer(chip.constants, 16, 0x4000, len(constants))
    chip.wait(chip.constants)
    chip.transfer(chip.inputs, 0, 0, 360)
    with pytest.raises(HtvmError, match="inputs is working on"):
        chip.job(encode(ARRAY.job(workload), [0], 1024, 16))


def test_a_job_must_not_read_what_was_never_written(chip: Chip) -> None:
    with pytest.raises(HtvmError, match="360 were never written"):
        chip.job(encode(ARRAY.job(conv(k=1)), [0], 1024, 16))


def test_the_last_job_must_have_been_waited_for(chip: Chip) -> None:
    running(chip)
    with pytest.raises(HtvmError, match="nobody has waited"):
        chip.job(encode(ARRAY.job(conv(k=1)), [0], 1024, 16))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((9,) + (0,) * 40, "kernel 9"),
        ((0,) * 41, "c = 0"),
        (encode(ARRAY.job(conv()), [NPU.l1 - 8], 0, 0), "which has 32768"),
    ],
)
def test_illegal_descriptors_are_faults(chip: Chip, words: tuple[int, ...], reason: str) -> None:
    with pytest.raises(HtvmError, match=reason):
        chip.job(words)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((0, 0, 0), "0 bytes"),
        ((0, NPU.l2 - 4, 8), "not in L2"),
        ((NPU.l1 - 4, 0, 8), "which has"),
        ((0, 0, 8, 0, 8), "x 0 x 8"),
    ],
)
def test_illegal_transfers_are_faults(chip: Chip, arguments: tuple[int, ...], reason: str) -> None:
    with pytest.raises(HtvmError, match=reason):
        chip.transfer(chip.inputs, *arguments)


def test_registers_are_words(chip: Chip) -> None:
    for access in (
        lambda: chip.inputs.write(0, 2, 0),
        lambda: chip.inputs.read(0, 4),
        lambda: chip.array.read(0, 4),
        lambda: chip.array.write(8, 4, 0),
        lambda: chip.inputs.write(WINDOW - 4, 4, 0),
    ):
        with pytest.raises(HtvmError, match="no "):
            access()
