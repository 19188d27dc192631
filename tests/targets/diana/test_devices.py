"""The accelerators and peripherals as devices on a plain bus: results, time, and every fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from plain_bus import SHARED, Fault, PlainBus

from htvm_ir.targets.diana import packing, soc
from htvm_ir.targets.diana.analog_device import AnalogHwme
from htvm_ir.targets.diana.devices import DigitalHwme
from htvm_ir.targets.diana.instruction import DigitalInstruction, program
from htvm_ir.targets.diana.l1 import L1
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.diana.peripherals import SocControl, Stdout, Timer

TRIGGER, ACQUIRE, STATUS, SOFT_CLEAR = 0x00, 0x04, 0x0C, 0x14
WT_CONV, WT_FC, IM, ACT, CONF = 0x40, 0x48, 0x50, 0x58, 0x60
OP, ADDRESS, WORDS, ROW, BANKS, BANK_ROWS = 0xA0, 0xA4, 0xA8, 0xAC, 0xB0, 0xB4


@dataclass
class Bench:
    """Both accelerators on one L1."""

    parameters: Parameters = DIANA

    def __post_init__(self) -> None:
        self.bus = PlainBus()
        self.l1 = L1(self.parameters.l1_bytes)
        self.digital = DigitalHwme(self.bus, self.l1, self.parameters)
        self.analog = AnalogHwme(self.bus, self.l1, self.parameters)

    def set(self, values: dict[int, int]) -> None:
        """Write registers of the digital core."""
        for offset, value in values.items():
            self.digital.write(offset, 4, value)

    def idle(self) -> None:
        """Let the digital core finish."""
        while self.digital.read(STATUS, 4):
            pass

    def dma(self, operation: int, l2: int, row: int, size: int) -> None:
        """One transfer, waited for."""
        self.set({OP: operation, ADDRESS: l2, ROW: row, WORDS: size // 4, TRIGGER: 0})
        self.idle()

    def job(self, *entries: DigitalInstruction, weights: bytes = b"", stream: int = WT_CONV) -> None:
        """Start an instruction list at the beginning of shared L2, its weights behind it."""
        words = np.array(program(entries), "<u4").tobytes()
        self.bus.write(SHARED, words + weights)
        self.set(
            {
                OP: 0, CONF: SHARED, CONF + 4: 16, IM: SHARED, IM + 4: len(words) // 4, ACT: 0,
                ACT + 4: 0, stream: SHARED + len(words), stream + 4: len(weights) // 4, TRIGGER: 0,
            }
        )  # fmt: skip

    def fill(self, size: int = 4096) -> bytes:
        """Write noise into the first bytes of L1 directly."""
        noise = np.random.default_rng(5).integers(0, 256, size).astype(np.uint8)
        self.l1.data[:size] = noise
        self.l1.written[:size] = True
        return noise.tobytes()


ADD = DigitalInstruction.add(left=0, right=64, output=128, c=4, shift=0)
DENSE = DigitalInstruction.dense(input=0, output=1024, c=1, k=1, shift=0)
IDENTITY = packing.pack_dense(np.eye(16, dtype=np.int8), np.zeros(16, np.int32))
CONV = DigitalInstruction.conv(input=0, output=1024, c=1, k=1, cx=16, cy=4, fx=1, fy=1, ox=1, oy=4, shift=0)
CONV_WEIGHTS = packing.pack_conv(np.ones((16, 1, 1, 1), np.int8), np.zeros(16, np.int32))


def test_transfers_copy_both_ways_and_take_time():
    bench = Bench()
    data = bytes(range(96))
    bench.bus.write(SHARED + 64, data)
    bench.set({OP: 2, ADDRESS: SHARED + 64, ROW: 3, WORDS: 24, TRIGGER: 0})
    assert bench.digital.busy
    assert bench.digital.read(ACQUIRE, 4) == 0xFFFF_FFFF
    assert bench.digital.read(STATUS, 4) == 1
    assert bench.bus.now == 20 + 96 // 8
    assert bench.digital.read(STATUS, 4) == bench.digital.read(ACQUIRE, 4) == 0
    assert bench.l1.data[48:144].tobytes() == data
    assert np.flatnonzero(bench.l1.written).tolist() == list(range(48, 144))
    bench.dma(1, SHARED + 1024, 4, 64)
    assert bench.bus.read(SHARED + 1024, 64) == data[16:80]
    assert bench.bus.intervals == [
        ("digital.dma", "L2 to L1", 0, 32, 96),
        ("digital.dma", "L1 to L2", 32, 60, 64),
    ]


def test_a_transfer_out_of_unwritten_bytes_taints_them():
    bench = Bench()
    bench.l1.written[16:32] = True
    bench.dma(1, SHARED, 0, 64)
    assert bench.bus.tainted == {SHARED + i for i in (*range(16), *range(32, 64))}


def test_tainted_bytes_move_in_as_unwritten():
    """A dense result of 16 bytes leaves with 16 others and comes back with them; only they are lost."""
    bench = Bench()
    bench.fill(16)
    result = bench.l1.data[:16].tobytes()
    bench.dma(1, SHARED, 0, 32)
    bench.dma(2, SHARED, 8, 32)
    assert bench.l1.data[128:144].tobytes() == result
    assert bench.l1.written[128:144].all()
    assert not bench.l1.written[144:160].any()
    with pytest.raises(Fault, match="tainted"):
        bench.bus.read(SHARED, 32)


def test_banks_lie_512_rows_apart_and_rows_are_pixel_major():
    """With one bank: C = 16, W = 32, element (y=1, x=2, c=5) lies at row 34, byte 6."""
    bench = Bench()
    image = np.arange(64 * 64, dtype=np.uint32).view(np.uint8)[: 64 * 64]
    bench.bus.write(SHARED, image.tobytes())
    bench.set({OP: 4, ADDRESS: SHARED, ROW: 0, BANKS: 1, BANK_ROWS: 64, TRIGGER: 0})
    assert bench.l1.data[550] == image[(1 * 32 + 2) * 16 + (5 ^ 3)]
    bench.idle()
    bench.set({BANKS: 4, ROW: 100, TRIGGER: 0})
    for bank, row in ((0, 0), (1, 0), (3, 63)):
        start = 16 * (100 + 512 * bank + row)
        source = 16 * (row * 4 + bank)
        assert bench.l1.data[start : start + 16].tolist() == image[source : source + 16].tolist()
    bench.idle()
    bench.set({OP: 3, ADDRESS: SHARED + 8192, TRIGGER: 0})
    bench.idle()
    assert bench.bus.read(SHARED + 8192, 4096) == image.tobytes()


@pytest.mark.parametrize(
    ("registers", "reason"),
    [
        ({ADDRESS: SHARED - 64}, "outside shared L2"),
        ({ADDRESS: DIANA.shared_end - 32}, "outside shared L2"),
        ({ADDRESS: SHARED + 2}, "not aligned to 4"),
        ({WORDS: 0}, "multiple of 32 bytes, not 0"),
        ({WORDS: 9}, "multiple of 32 bytes, not 36"),
        ({ROW: 16383}, "L1, which has 262144"),
        ({OP: 5}, "MEMCPY_OP 5"),
        ({OP: 4, BANKS: 5, BANK_ROWS: 2}, "5 banks"),
        ({OP: 4, BANKS: 1, BANK_ROWS: 514, ROW: 1}, "multiple of 2048"),
    ],
)
def test_illegal_transfers_fault(registers: dict[int, int], reason: str):
    bench = Bench()
    bench.set({OP: 2, ADDRESS: SHARED, ROW: 0, WORDS: 16} | registers)
    with pytest.raises(Fault, match=reason):
        bench.digital.write(TRIGGER, 4, 0)


def test_a_trigger_while_busy_faults_and_soft_clear_gives_up():
    bench = Bench()
    bench.set({OP: 2, ADDRESS: SHARED, ROW: 0, WORDS: 16, TRIGGER: 0})
    with pytest.raises(Fault, match="TRIGGER while busy until cycle 28"):
        bench.digital.write(TRIGGER, 4, 0)
    bench.digital.write(SOFT_CLEAR, 4, 0)
    assert bench.digital.read(WORDS, 4) == 16
    bench.digital.write(TRIGGER, 4, 0)


def test_registers_are_words_in_the_window():
    bench = Bench()
    for offset, size in ((0xA4, 1), (0xA6, 4), (0xBC, 4)):
        with pytest.raises(Fault, match="register at offset"):
            bench.digital.read(offset, size)
    bench.digital.write(0xB8, 4, 7)
    assert bench.digital.read(0xB8, 4) == 7
    bench.digital.reset()
    assert bench.digital.read(0xB8, 4) == 0


def test_a_dense_job_streams_its_weights_then_computes():
    bench = Bench()
    noise = bench.fill()
    bench.job(DENSE, weights=IDENTITY, stream=WT_FC)
    assert bench.l1.data[1024:1040].tobytes() == noise[:16]
    bench.idle()
    assert bench.bus.intervals == [
        ("digital.weights", "stream", 0, 20 + 32, 512),
        ("digital", "dense 16->16", 52, 52 + 24, 0),
    ]


def test_several_entries_share_one_weight_stream():
    bench = Bench()
    noise = bench.fill()
    later = replace(CONV, output=2048, weights=len(CONV_WEIGHTS))
    twice = packing.pack_conv(np.full((16, 1, 1, 1), 2, np.int8), np.zeros(16, np.int32))
    bench.job(CONV, later, weights=CONV_WEIGHTS + twice)
    values = np.frombuffer(noise[:64], np.int8).astype(int)
    assert bench.l1.data[1024:1088].view(np.int8).tolist() == values.tolist()
    doubled = np.clip(2 * values, -128, 127)
    assert bench.l1.data[2048:2112].view(np.int8).tolist() == doubled.tolist()
    bench.idle()
    assert [unit for unit, *_ in bench.bus.intervals] == ["digital.weights", "digital", "digital"]


def test_a_job_that_reads_unwritten_bytes_faults_unless_allowed():
    with pytest.raises(Fault, match="reads 128 bytes of L1 that were never written"):
        Bench().job(ADD)
    bench = Bench(replace(DIANA, fault_stale_reads=False))
    bench.job(ADD)
    assert bench.l1.written[128:192].all()


def test_hidden_columns_need_not_be_written():
    bench = Bench()
    bench.l1.written[:64] = True
    bench.l1.written[12:16] = False
    with pytest.raises(Fault, match="reads 4 bytes"):
        bench.job(CONV, weights=CONV_WEIGHTS)
    bench.job(replace(CONV, zero_padding=0x40), weights=CONV_WEIGHTS)


@pytest.mark.parametrize(
    ("registers", "reason"),
    [
        ({ACT + 4: 1}, "ACT_N"),
        ({IM: 0x1C00_0000}, "instruction list at 0x1C000000, 256 bytes, is outside shared L2"),
        ({IM: SHARED + 128}, "no work entry"),
        ({IM + 4: 0}, "no work entry"),
        ({CONF: 0x1C00_0000}, "configuration"),
        ({WT_CONV: 0}, "weights at 0x00000000"),
        ({WT_CONV + 4: 4}, "weight stream has 16 bytes, the job needs 80"),
    ],
)
def test_illegal_jobs_fault(registers: dict[int, int], reason: str):
    bench = Bench()
    bench.fill()
    bench.job(CONV, weights=CONV_WEIGHTS)
    bench.idle()
    bench.set(registers)
    with pytest.raises(Fault, match=reason):
        bench.digital.write(TRIGGER, 4, 0)


def test_an_invalid_entry_faults_with_its_description():
    bench = Bench()
    with pytest.raises(Fault, match="conv 1->16 1x1/1 to 4x0: ox is 0"):
        bench.job(replace(CONV, ox=0), weights=CONV_WEIGHTS)
    with pytest.raises(Fault, match="cannot mix"):
        bench.job(CONV, DENSE, weights=CONV_WEIGHTS)
    with pytest.raises(Fault, match="mode 2"):
        bench.job(replace(CONV, mode=2))


def analog_transfer(bench: Bench, operation: int, row: int) -> None:
    """32 bytes between the second half of shared L2 and a row, by the analog engine."""
    address = SHARED + 0x8000
    for offset, value in ((0x6C, operation), (0x70, address), (0x74, 8), (0x78, row), (0, 0)):
        bench.analog.write(offset, 4, value)


def test_both_engines_work_at_once_on_different_bytes():
    bench = Bench()
    bench.fill(512)
    bench.job(ADD)
    analog_transfer(bench, 2, 64)
    assert bench.digital.busy
    assert bench.analog.busy


@pytest.mark.parametrize(("operation", "row"), [(2, 0), (2, 8), (1, 8)])
def test_bytes_in_use_by_the_other_engine_fault(operation: int, row: int):
    bench = Bench()
    bench.fill(512)
    bench.job(ADD)
    with pytest.raises(Fault, match="analog: overlaps the L1 bytes that digital is working on"):
        analog_transfer(bench, operation, row)


def test_both_may_read_the_same_bytes_and_all_is_free_after_completion():
    bench = Bench()
    bench.fill(512)
    bench.job(ADD)
    analog_transfer(bench, 1, 0)
    bench.idle()
    while bench.analog.read(STATUS, 4):
        pass
    analog_transfer(bench, 2, 8)


def test_a_start_that_relies_on_timing_faults():
    bench = Bench()
    bench.fill(512)
    bench.job(ADD)
    bench.bus.advance_to(bench.digital.busy_until)
    with pytest.raises(Fault, match="nobody has waited"):
        bench.job(ADD)


def test_what_a_transfer_writes_counts_when_its_end_was_seen():
    bench = Bench()
    bench.fill(512)
    bench.set({OP: 1, ADDRESS: SHARED, ROW: 0, WORDS: 8, TRIGGER: 0})
    bench.bus.advance_to(bench.digital.busy_until)
    with pytest.raises(Fault):
        bench.bus.read(SHARED, 32)
    bench.idle()
    assert bench.bus.read(SHARED, 32) == bench.l1.data[:32].tobytes()


def test_core_status_stops_the_machine():
    bus = PlainBus()
    control = SocControl(bus)
    control.write(0xA0, 4, 7)
    assert bus.stopped is None
    control.write(0xA0, 4, 0x8000_0007)
    assert bus.stopped == 7
    assert control.read(0xA0, 4) == 0x8000_0007


def test_stdout_collects_characters():
    out = Stdout()
    for character in b"hi":
        out.write(0xF80, 1, character)
    assert out.text == "hi"


def test_the_timer_counts_cycles_while_enabled():
    bus = PlainBus(now=100)
    timer = Timer(bus)
    timer.write(0x00, 4, 1)
    bus.now = (5 << 32) + 107
    assert timer.read(0x08, 4) == 7
    assert timer.read(0x0C, 4) == 5
    timer.write(0x00, 4, 0)
    bus.now += 1000
    assert timer.read(0x08, 4) == 7
    timer.write(0x20, 4, 1)
    timer.write(0x18, 4, 1)
    bus.now += 3
    assert timer.read(0x08, 4) == 3
    assert timer.read(0x00, 4) == 1
    timer.write(0x00, 4, 3)
    assert timer.read(0x08, 4) == 0
    assert timer.read(0x00, 4) == 1


def test_the_map_of_devices_and_memories_does_not_overlap():
    description = soc.diana_soc()
    bus = PlainBus()
    windows = sorted((d.base, d.base + d.size) for d in description.devices(bus))
    regions = sorted((r.base, r.end) for r in description.regions)
    for spans in (windows, regions):
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert regions[-1] == (SHARED, DIANA.shared_end)
    assert description.linker_script.is_file()
    assert all(source.is_file() for source in description.sources)
