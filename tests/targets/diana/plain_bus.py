"""A bus for device tests: shared L2 and a clock that only moves when somebody moves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from htvm_ir.errors import HtvmError
from htvm_ir.targets.diana.parameters import DIANA

SHARED = DIANA.shared_base


class Fault(HtvmError):
    """What the bus of these tests raises."""


@dataclass
class PlainBus:
    """Shared L2 and a clock that only moves when somebody moves it."""

    now: int = 0
    memory: bytearray = field(default_factory=lambda: bytearray(DIANA.shared_bytes))
    tainted: set[int] = field(default_factory=set[int])
    intervals: list[tuple[str, str, int, int, int]] = field(default_factory=list[tuple[str, str, int, int, int]])
    stopped: int | None = None

    def advance_to(self, cycle: int) -> None:
        self.now = max(self.now, cycle)

    def read(self, address: int, size: int) -> bytes:
        if self.tainted.intersection(range(address, address + size)):
            self.fault("tainted")
        return bytes(self.memory[address - SHARED : address - SHARED + size])

    def write(self, address: int, data: bytes) -> None:
        self.memory[address - SHARED : address - SHARED + len(data)] = data
        self.tainted.difference_update(range(address, address + len(data)))

    def taint(self, address: int, size: int) -> None:
        self.tainted.update(range(address, address + size))

    def record(self, unit: str, what: str, start: int, end: int, bytes: int = 0) -> None:
        self.intervals.append((unit, what, start, end, bytes))

    def fault(self, message: str) -> NoReturn:
        raise Fault(message)

    def stop(self, code: int) -> None:
        self.stopped = code
