"""The channels of the DMA and the array as memory-mapped devices.

A transfer or job takes effect on the memories when it is started, and keeps its bytes to itself until the program
has seen its end. So whatever a program must not rely on is a fault in words: a buffer that a job reads while a
transfer fills it, a result that is used before anybody waited for it. Registers are words; reading a WAIT register
takes until the condition holds, as an event unit has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from htvm_ir.targets.layout import WORD
from htvm_ir.targets.npu import datapath
from htvm_ir.targets.npu.costs import job_cycles
from htvm_ir.targets.npu.job import WEIGHTED, WORDS, decode, map_runs
from htvm_ir.targets.npu.memories import LocalMemory, SharedMemory, Use
from htvm_ir.targets.npu.parameters import EXTERNAL_BASE, SHARED_BASE, Parameters
from htvm_ir.targets.npu.runs import Runs, one_run
from htvm_ir.targets.soc import Bus
from htvm_ir.targets.target import Bytes, Job

WINDOW = 0x100
DMA_BASE = 0x1A20_0000
ARRAY_BASE = 0x1A21_0000


class Registers(ABC):
    """A window of word registers."""

    registers: ClassVar[tuple[int, ...]]

    def __init__(self, name: str, base: int, bus: Bus, parameters: Parameters) -> None:
        self.name, self.base, self.size = name, base, WINDOW
        self.bus, self.p = bus, parameters
        self._values: dict[int, int] = {}

    def reset(self) -> None:
        """All registers 0."""
        self._values.clear()

    def read(self, offset: int, size: int) -> int:
        """Only WAIT registers can be read."""
        self._check(offset, size)
        return self.wait(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        """Set a register; START starts what the others describe."""
        self._check(offset, size)
        if offset not in self.registers:
            self.bus.fault(f"{self.name}: no register to write at offset 0x{offset:X}")
        self._values[offset] = value
        if offset == self.registers[-1]:
            self.start()

    def value(self, offset: int) -> int:
        """What was written to a register."""
        return self._values.get(offset, 0)

    def claim(self, memory: LocalMemory, start: int, runs: Runs, *, writes: bool) -> Use:
        """Keep bytes of a local memory."""
        use = memory.claim(self.name, start, runs, writes=writes)
        if isinstance(use, str):
            self.bus.fault(f"{self.name} {'writes' if writes else 'reads'} {use}")
        return use

    def shared(self, memory: SharedMemory, address: int, size: int) -> int:
        """An address in the one memory on the other side that a device reaches."""
        if not memory.holds(address, size):
            self.bus.fault(f"{self.name}: {size} bytes at 0x{address:08X} are not in {memory.name}")
        return address

    def _check(self, offset: int, size: int) -> None:
        if size != WORD or offset % WORD:
            self.bus.fault(f"{self.name}: no {size}-byte register at offset 0x{offset:X}")

    @abstractmethod
    def start(self) -> None:
        """START was written."""

    @abstractmethod
    def wait(self, offset: int) -> int:
        """A WAIT register is read."""


@dataclass(frozen=True)
class Transfer:
    """A descriptor on its way: the bytes it keeps, and what it puts into L2, row by row, once its end is seen."""

    end: int
    use: Use
    landing: tuple[tuple[int, bytes], ...] = ()


@dataclass
class Port:
    """The way between a memory and the local ones: one transfer at a time, in the order in which they are started.

    start: cycles before the first byte of a transfer. width: bytes a cycle.
    """

    memory: SharedMemory
    start: int
    width: int
    free_at: int = 0


def l2_memory(p: Parameters) -> SharedMemory:
    """L2, which the CPU addresses too."""
    return SharedMemory("L2", SHARED_BASE, p.l2)


def l2_port(p: Parameters) -> Port:
    """The port of L2."""
    return Port(l2_memory(p), p.dma_start, p.dma_width)


def external_port(p: Parameters) -> Port:
    """The port of the external memory."""
    return Port(SharedMemory("the external memory", EXTERNAL_BASE, p.ext_memory), p.ext_start, p.ext_width)


class DmaChannel(Registers):
    """One channel of the DMA: a queue of descriptors, done in order on a port that it may share with other channels.

    LOCAL, SHARED: addresses. LENGTH: bytes of a contiguous run. COUNT, STRIDE, COUNT2, STRIDE2: the two loops around
    it in the shared memory; the local side is packed. START: how many of the loops there are; the store takes until
    the queue has room. Reading WAIT + 4 * n takes until at most n descriptors are unfinished.
    """

    LOCAL, SHARED, LENGTH, COUNT, STRIDE, COUNT2, STRIDE2, START = range(0, 32, 4)
    WAIT = 0x40
    registers = (LOCAL, SHARED, LENGTH, COUNT, STRIDE, COUNT2, STRIDE2, START)

    def __init__(
        self, name: str, index: int, bus: Bus, port: Port, memory: LocalMemory, parameters: Parameters, *, loads: bool
    ) -> None:
        super().__init__(name, DMA_BASE + WINDOW * index, bus, parameters)
        self._port, self._memory, self._loads = port, memory, loads
        self._queue: deque[Transfer] = deque()

    def reset(self) -> None:
        """Idle, all registers 0, the local memory as at power-up."""
        super().reset()
        self._queue.clear()
        self._memory.reset()
        self._port.free_at = 0

    def start(self) -> None:
        """Queue the transfer that the registers describe."""
        loops, length = self.value(self.START), self.value(self.LENGTH)
        count = self.value(self.COUNT) if loops > 0 else 1
        count2 = self.value(self.COUNT2) if loops > 1 else 1
        if not (length and count and count2) or loops > 2:
            self.bus.fault(f"{self.name}: a transfer of {count2} x {count} x {length} bytes in {loops} loops")
        if len(self._queue) >= self.p.dma_queue:
            self.bus.advance_to(self._queue[-self.p.dma_queue].end)
        size, local = length * count * count2, self.value(self.LOCAL)
        use = self.claim(self._memory, local, one_run(size), writes=self._loads)
        shared, stride, stride2 = (self.value(register) for register in (self.SHARED, self.STRIDE, self.STRIDE2))
        rows = [
            self.shared(self._port.memory, shared + i * stride2 + j * stride, length)
            for i in range(count2)
            for j in range(count)
        ]
        begin = max(self.bus.now, self._port.free_at)
        end = begin + self._port.start + count * count2 * -(-length // self._port.width)
        self._port.free_at = end
        self.bus.record(f"{self.name}.dma", f"{count2}x{count}x{length}", begin, end, size)
        if self._loads:
            data = b"".join(self.bus.read(row, length) for row in rows)
            self._memory.data[local : local + size] = np.frombuffer(data, np.uint8)
            self._memory.written[local : local + size] = True
            self._queue.append(Transfer(end, use))
            return
        data = self._memory.data[local : local + size].tobytes()
        for row in rows:
            self.bus.taint(row, length)
        landing = tuple((row, data[n * length : (n + 1) * length]) for n, row in enumerate(rows))
        self._queue.append(Transfer(end, use, landing))

    def wait(self, offset: int) -> int:
        """Let time pass until few enough descriptors are unfinished; all that are finished have then been seen."""
        allowed = (offset - self.WAIT) // WORD
        if offset < self.WAIT:
            self.bus.fault(f"{self.name}: no register to read at offset 0x{offset:X}")
        if len(self._queue) > allowed:
            self.bus.advance_to(self._queue[-1 - allowed].end)
        while len(self._queue) > allowed:
            transfer = self._queue.popleft()
            self._memory.release(transfer.use)
            for address, data in transfer.landing:
                self.bus.write(address, data)
        return len(self._queue)


class ArrayDevice(Registers):
    """The array: START takes the address of a descriptor in L2; reading WAIT takes until the job is done."""

    START, WAIT = 0, 4
    registers = (START,)
    unit: ClassVar[str] = "array"
    place: ClassVar[int] = ARRAY_BASE

    def __init__(self, bus: Bus, l1: LocalMemory, weights: LocalMemory, parameters: Parameters) -> None:
        super().__init__(self.unit, self.place, bus, parameters)
        self._l1, self._weights = l1, weights
        self._uses: list[tuple[LocalMemory, Use]] = []
        self._end = 0

    @property
    def local_memory(self) -> str:
        """The memory that :meth:`peek` shows."""
        return self._l1.name

    def peek(self, offset: int, size: int) -> bytes:
        """Bytes of L1 as they are, for checks from outside the SoC."""
        return self._l1.data[offset : offset + size].tobytes()

    def reset(self) -> None:
        """Idle."""
        super().reset()
        self._uses.clear()
        self._end = 0

    def start(self) -> None:
        """Fetch a descriptor and run its job."""
        if self._uses:
            self.bus.fault(f"{self.name}: START, but nobody has waited for the last job")
        address = self.shared(l2_memory(self.p), self.value(self.START), WORDS * WORD)
        words = np.frombuffer(self.bus.read(address, WORDS * WORD), "<u4").tolist()
        decoded = decode(words)
        if isinstance(decoded, str):
            self.bus.fault(f"{self.name}: {decoded}")
        job, addresses = decoded
        begin, self._end = self.bus.now, self.bus.now + self.cycles(job)
        self._run(job, addresses)
        self.bus.record(self.name, describe(job), begin, self._end)

    def cycles(self, job: Job) -> int:
        """Cycles of a job."""
        return job_cycles(job, self.p)

    @property
    def weight_bits(self) -> int:
        """Bits of a weight in the weight memory."""
        return 8

    def _run(self, job: Job, addresses: dict[str, int]) -> None:
        *sources, result = map_runs(job)
        places = [addresses[name] for name in ("input", "second")[: len(sources)]]
        inputs = [self._operand(self._l1, *operand, writes=False) for operand in zip(places, sources, strict=True)]
        weights = np.zeros(0, np.uint8)
        if job.kernel in WEIGHTED:
            constants = one_run(datapath.constant_bytes(job, self.weight_bits))
            weights = self._operand(self._weights, addresses["constants"], constants, writes=False)
        output = self._operand(self._l1, addresses["output"], result, writes=True)
        datapath.execute(job, inputs, weights, output, self.weight_bits)

    def _operand(self, memory: LocalMemory, address: int, runs: Runs, *, writes: bool) -> Bytes:
        self._uses.append((memory, self.claim(memory, address, runs, writes=writes)))
        if writes:
            runs.view(memory.written[address:])[...] = True
        return memory.data[address : address + runs.span]

    def wait(self, offset: int) -> int:
        """Let time pass until the job is done."""
        if offset != self.WAIT:
            self.bus.fault(f"{self.name}: no register to read at offset 0x{offset:X}")
        self.bus.advance_to(self._end)
        for memory, use in self._uses:
            memory.release(use)
        self._uses.clear()
        return 0


def describe(job: Job) -> str:
    """A job in a few words, for traces and faults."""
    window = f" {job['fy']}x{job['fx']}/{job['sy']}" if job.kernel != "add" else ""
    return f"{job.kernel} {job['c']}->{job['k']}{window} to {job['oy']}x{job['ox']}"


class Control:
    """The end of the program, and a console that keeps what is written."""

    EXIT, PUTC = 0, 4

    def __init__(self, bus: Bus) -> None:
        self.name, self.base, self.size = "control", 0x1A10_0000, 0x1000
        self._bus = bus
        self.text = ""

    def reset(self) -> None:
        """Forget the text."""
        self.text = ""

    def read(self, offset: int, size: int) -> int:
        """Nothing can be read."""
        self._bus.fault(f"control: no register of {size} bytes to read at offset 0x{offset:X}")

    def write(self, offset: int, size: int, value: int) -> None:
        """EXIT ends the program with a code, PUTC is a character."""
        if offset == self.EXIT:
            self._bus.stop(value)
        elif offset == self.PUTC:
            self.text += chr(value & 0xFF)
        else:
            self._bus.fault(f"control: no register of {size} bytes to write at offset 0x{offset:X}")
