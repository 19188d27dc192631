"""The cycle and instruction counters of RISC-V, which programs read as control and status registers.

The CPU emulator would answer with the time of the host; the virtual core answers with virtual time. Register numbers
are those of the RISC-V privileged specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_CSR_READ_MASK = 0x000FF07F
_CSR_READ = 0x00002073  # csrrs rd, csr, x0


class Counter(Enum):
    """What a counter counts."""

    CYCLES = 0
    INSTRUCTIONS = 2


@dataclass(frozen=True, slots=True)
class CounterRead:
    """An instruction that reads bits [shift, shift + 32) of a counter into register `rd`."""

    counter: Counter
    shift: int
    rd: int


_REGISTERS = {
    base + half + counter.value: (counter, 32 if half else 0)
    for base in (0xB00, 0xC00)  # mcycle, minstret; cycle, instret
    for half in (0x00, 0x80)  # low word, high word
    for counter in Counter
}


def counter_reads(address: int, code: bytes) -> dict[int, CounterRead]:
    """The instructions in `code`, placed at `address`, that read a counter, by address.

    Every even offset is tried, so a match may lie across two instructions or in data; nothing is ever executed there.
    """
    reads: dict[int, CounterRead] = {}
    for offset in range(0, len(code) - 3, 2):
        word = int.from_bytes(code[offset : offset + 4], "little")
        if word & _CSR_READ_MASK == _CSR_READ and word >> 20 in _REGISTERS:
            counter, shift = _REGISTERS[word >> 20]
            reads[address + offset] = CounterRead(counter, shift, word >> 7 & 31)
    return reads
