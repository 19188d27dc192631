"""An accelerator as a memory-mapped device, and the digital one; the other is in `analog_device`.

Registers are those of archi's `hwme_v1.h`. An operation happens at once on the memories when TRIGGER is
written, and the device is then busy for as long as the cost model says (model choice: nothing public tells
when silicon reads or writes which byte). Everything a driver must not rely on is a fault in words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from htvm_ir.errors import HtvmError
from htvm_ir.targets.diana import datapath
from htvm_ir.targets.diana.costs import compute_cycles, dma_cycles, weight_stream_cycles
from htvm_ir.targets.diana.datapath import Span
from htvm_ir.targets.diana.instruction import INSTRUCTION_WORDS, LANES, DigitalInstruction, Mode
from htvm_ir.targets.diana.l1 import L1
from htvm_ir.targets.diana.packing import Bytes, Element
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.layout import WORD
from htvm_ir.targets.soc import Bus

Known = npt.NDArray[np.bool_]

WINDOW = 0x100
DIGITAL_BASE = 0x1A10_C000

TRIGGER = 0x00
ACQUIRE = 0x04
STATUS = 0x0C
SOFT_CLEAR = 0x14


@dataclass(frozen=True)
class DmaRegisters:
    """Offsets of the registers that describe a transfer."""

    operation: int
    address: int
    words: int
    row: int
    banks: int
    rows_per_bank: int


@dataclass(frozen=True)
class _Landing:
    """Bytes on their way to L2, and which of them are known."""

    address: int
    data: Bytes
    written: Known


class Hwme(ABC):
    """What both accelerators have in common: registers, one thing at a time, and transfers from and to L1."""

    dma: ClassVar[DmaRegisters]
    last_register: ClassVar[int]

    def __init__(self, name: str, base: int, bus: Bus, l1: L1, parameters: Parameters) -> None:
        self.name = name
        self.base = base
        self.size = WINDOW
        self.busy_until = 0
        self._bus = bus
        self._l1 = l1
        self._parameters = parameters
        self._registers: dict[int, int] = {}
        self._seen_idle = True
        self._landing: _Landing | None = None

    def reset(self) -> None:
        """Idle, all registers 0 (model choice), L1 as at power-up."""
        self.busy_until = 0
        self._seen_idle, self._landing = True, None
        self._registers.clear()
        self._l1.reset()

    @property
    def local_memory(self) -> str:
        """Both accelerators share L1."""
        return "L1"

    def peek(self, offset: int, size: int) -> bytes:
        """Bytes of L1 as they are."""
        return self._l1.data[offset : offset + size].tobytes()

    @property
    def busy(self) -> bool:
        """Whether the last operation is still under way."""
        return self._bus.now < self.busy_until

    def read(self, offset: int, size: int) -> int:
        """The value of a register. Reading the STATUS of a busy device moves the clock to its completion."""
        self._check_access(offset, size)
        busy = self.busy
        if offset == STATUS:
            if busy:
                self._bus.advance_to(self.busy_until)
            else:
                self._finish()
            return int(busy)
        if offset == ACQUIRE:
            return 0xFFFF_FFFF if busy else 0
        return self._registers.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Set a register; TRIGGER starts the operation, SOFT_CLEAR gives up the one under way."""
        self._check_access(offset, size)
        if offset == TRIGGER:
            self._start()
            self._seen_idle = False
        elif offset == SOFT_CLEAR:
            self.busy_until = self._bus.now
            self._l1.release(self.name)
            self._finish()
        else:
            self._registers[offset] = value

    def _check_access(self, offset: int, size: int) -> None:
        if size != WORD or offset % WORD or offset > self.last_register:
            self._bus.fault(f"{self.name}: no {size}-byte register at offset 0x{offset:X}")

    def _register(self, offset: int) -> int:
        return self._registers.get(offset, 0)

    def _finish(self) -> None:
        """The program has seen the end of the last operation: what it wrote to L2 counts from now on."""
        self._seen_idle = True
        if self._landing is not None:
            landing, self._landing = self._landing, None
            self._bus.write(landing.address, landing.data.tobytes())
            edges = np.flatnonzero(np.diff(landing.written, prepend=True, append=True))
            for first, end in edges.reshape(-1, 2).tolist():
                self._bus.taint(landing.address + first, end - first)

    def _start(self) -> None:
        if self.busy:
            self._bus.fault(f"{self.name}: TRIGGER while busy until cycle {self.busy_until}")
        if not self._seen_idle:  # model choice: a program that is right by its timing alone is wrong
            self._bus.fault(f"{self.name}: TRIGGER, but nobody has waited for the last operation (STATUS 0)")
        operation = self._register(self.dma.operation)
        if operation == 0:
            self._compute()
        elif operation <= 4:
            self._transfer(to_l1=operation in (2, 4), banked=operation in (3, 4))
        else:
            self._bus.fault(f"{self.name}: MEMCPY_OP {operation} has no known meaning")

    @abstractmethod
    def _compute(self) -> None:
        """Run the job that the registers describe."""

    def _claim(self, until: int, reads: Sequence[Span], writes: Sequence[Span]) -> None:
        """Be busy until a cycle with these bytes of L1."""
        other = self._l1.claim(self.name, self._bus.now, until, reads, writes)
        if other is not None:
            self._bus.fault(f"{self.name}: overlaps the L1 bytes that {other} is working on")
        self.busy_until = until

    def _shared(self, address: int, size: int, what: str) -> int:
        """`address`, after checking that the accelerator can reach `size` bytes of L2 there."""
        p = self._parameters
        if address % p.l2_alignment:
            self._bus.fault(f"{self.name}: {what} at 0x{address:08X} is not aligned to 4 bytes")
        if not p.shared_base <= address <= p.shared_end - size:
            self._bus.fault(f"{self.name}: {what} at 0x{address:08X}, {size} bytes, is outside shared L2")
        return address

    def _fetch(self, pair: int, what: str) -> bytes:
        """The bytes that an address register and the word count behind it describe."""
        size = WORD * self._register(pair + WORD)
        return self._bus.read(self._shared(self._register(pair), size, what), size)

    def _check_written(self, used: Sequence[Known], what: str, address: int) -> None:
        """Fault when a job uses bytes of L1 that nothing ever wrote."""
        stale = sum(mask.size - int(np.count_nonzero(mask)) for mask in used)
        if stale and self._parameters.fault_stale_reads:
            self._bus.fault(
                f"{self.name}: {what} reads {stale} bytes of L1 that were never written, input at {address}"
            )

    def _transfer(self, *, to_l1: bool, banked: bool) -> None:
        spans = self._banks() if banked else self._linear()
        size = sum(span.count * span.length for span in spans)
        self._check_transfer(spans, size)
        address = self._shared(self._register(self.dma.address), size, "transfer")
        start = self._bus.now
        end = start + dma_cycles(size, self._parameters)
        self._claim(end, () if to_l1 else spans, spans if to_l1 else ())
        if to_l1:
            self._load(address, spans, size)
        else:
            self._store(address, spans)
        what = "L2 to L1" if to_l1 else "L1 to L2"
        self._bus.record(f"{self.name}.dma", what, start, end, size)

    def _linear(self) -> list[Span]:
        start = self._parameters.row_bytes * self._register(self.dma.row)
        return [Span(start, WORD * self._register(self.dma.words))]

    def _banks(self) -> list[Span]:
        """Bank b starts 512 rows after bank b - 1; a 513th row of a bank would follow the fourth bank."""
        p = self._parameters
        row, banks = self._register(self.dma.row), self._register(self.dma.banks)
        rows, group = self._register(self.dma.rows_per_bank), p.bank_rows * p.max_banks
        if not 1 <= banks <= p.max_banks:
            self._bus.fault(f"{self.name}: transfer with {banks} banks, allowed are 1 to 4")
        if rows > p.bank_rows and row % group:
            self._bus.fault(f"{self.name}: {rows} rows a bank must start at a multiple of {group}")
        return [
            Span(
                p.row_bytes * (row + group * (first // p.bank_rows)),
                p.row_bytes * min(p.bank_rows, rows - first),
                banks,
                p.row_bytes * p.bank_rows,
            )
            for first in range(0, rows, p.bank_rows)
        ]

    def _check_transfer(self, spans: Sequence[Span], size: int) -> None:
        p = self._parameters
        if size == 0 or size % p.dma_granule:
            self._bus.fault(f"{self.name}: a transfer moves a multiple of {p.dma_granule} bytes, not {size}")
        end = max(span.end for span in spans)
        if end > p.l1_bytes:
            self._bus.fault(f"{self.name}: transfer up to byte {end} of L1, which has {p.l1_bytes}")

    def _load(self, address: int, spans: Sequence[Span], size: int) -> None:
        """Copy in; meaningless bytes of L2 (what a rounded-up transfer left behind) count as unwritten in L1."""
        data, known = self._read(address, size)
        first = 0
        for span in spans:
            chunk = slice(first, first + span.count * span.length)
            span.pieces(self._l1.data)[...] = _interleave(data[chunk], span)
            span.pieces(self._l1.written)[...] = _interleave(known[chunk], span)
            first = chunk.stop

    def _read(self, address: int, size: int) -> tuple[Bytes, Known]:
        """Bytes of shared L2, and which of them are not tainted; the bus refuses to read the others."""
        try:
            return np.frombuffer(self._bus.read(address, size), np.uint8), np.ones(size, np.bool_)
        except HtvmError:
            if size == 1:
                return np.zeros(1, np.uint8), np.zeros(1, np.bool_)
        half = size // 2
        low, high = self._read(address, half), self._read(address + half, size - half)
        return np.concatenate((low[0], high[0])), np.concatenate((low[1], high[1]))

    def _store(self, address: int, spans: Sequence[Span]) -> None:
        """Copy out; until the program has seen the end, the destination in L2 is not to be read.

        Bytes that were never written in L1 count as unwritten in L2 too.
        """
        data = np.concatenate([_linearize(span.pieces(self._l1.data)) for span in spans])
        written = np.concatenate([_linearize(span.pieces(self._l1.written)) for span in spans])
        self._bus.taint(address, data.size)
        self._landing = _Landing(address, data, written)


class DigitalHwme(Hwme):
    """The digital core at 0x1A10C000: transfers and instruction lists."""

    dma = DmaRegisters(0xA0, 0xA4, 0xA8, 0xAC, 0xB0, 0xB4)
    last_register = 0xB8
    WT_CONV = 0x40
    WT_FC = 0x48
    IM = 0x50
    ACT = 0x58
    CONF = 0x60

    def __init__(self, bus: Bus, l1: L1, parameters: Parameters) -> None:
        super().__init__("digital", DIGITAL_BASE, bus, l1, parameters)

    def _compute(self) -> None:
        """Run the list up to its stop entry. Nothing is known of what the configuration words mean."""
        if self._register(self.ACT + WORD):
            self._bus.fault("digital: activations streamed with a job (ACT_N) are not modelled")
        self._fetch(self.CONF, "configuration")
        entries = self._program()
        weights = self._weights(entries)
        cycle = self._bus.now + weight_stream_cycles(len(weights), self._parameters)
        if weights:
            self._bus.record("digital.weights", "stream", self._bus.now, cycle, len(weights))
        reads: list[Span] = []
        writes: list[Span] = []
        for entry in entries:
            self._execute(entry, weights)
            reads += datapath.reads(entry)
            writes += datapath.writes(entry)
            end = cycle + compute_cycles(entry, self._parameters)
            self._bus.record("digital", describe(entry), cycle, end)
            cycle = end
        self._claim(cycle, reads, writes)

    def _program(self) -> list[DigitalInstruction]:
        """The entries before the first stop, or all of them."""
        words = np.frombuffer(self._fetch(self.IM, "instruction list"), "<u4").tolist()
        entries: list[DigitalInstruction] = []
        for first in range(0, len(words) - INSTRUCTION_WORDS + 1, INSTRUCTION_WORDS):
            try:
                entry = DigitalInstruction.from_words(words[first : first + INSTRUCTION_WORDS])
            except ValueError as error:
                self._bus.fault(f"digital: {error}")
            if entry.stop:
                break
            entries.append(entry)
        if not entries:
            self._bus.fault("digital: the instruction list has no work entry")
        return entries

    def _weights(self, entries: Sequence[DigitalInstruction]) -> bytes:
        """What the trigger streams; the registers of the other mode may hold old values."""
        modes = {entry.mode for entry in entries} & {Mode.CONV, Mode.DENSE}
        if len(modes) > 1:
            self._bus.fault("digital: an instruction list cannot mix convolutions and dense jobs")
        if not modes:
            return b""
        return self._fetch(self.WT_CONV if Mode.CONV in modes else self.WT_FC, "weights")

    def _execute(self, entry: DigitalInstruction, weights: bytes) -> None:
        reason = datapath.validate(entry, len(weights), self._parameters)
        if reason is not None:
            self._bus.fault(f"digital: {describe(entry)}: {reason}")
        self._check_written(datapath.operands(self._l1.written, entry), describe(entry), entry.input)
        datapath.execute(self._l1.data, entry, weights)
        for span in datapath.writes(entry):
            span.pieces(self._l1.written)[...] = True


def describe(entry: DigitalInstruction) -> str:
    """An entry in a few words, for reports and faults."""
    if entry.mode == Mode.CONV:
        return (
            f"conv {entry.c}->{LANES * entry.k} {entry.fy}x{entry.fx}/{entry.stride} to {entry.oy}x{LANES * entry.ox}"
        )
    if entry.mode == Mode.DENSE:
        return f"dense {LANES * entry.c}->{LANES * entry.k}"
    return f"sum of {LANES * entry.c}" if entry.mode == Mode.ADD else f"mode {entry.mode}"


def _linearize(pieces: npt.NDArray[Element]) -> npt.NDArray[Element]:
    """`[banks, bytes]` in L1 as the stream in L2: row by row, all banks of a row together."""
    banks = len(pieces)
    return pieces.reshape(banks, -1, LANES).swapaxes(0, 1).reshape(-1)


def _interleave(stream: npt.NDArray[Element], span: Span) -> npt.NDArray[Element]:
    """The inverse of `_linearize`."""
    return stream.reshape(-1, span.count, LANES).swapaxes(0, 1).reshape(span.count, -1)
