"""Memories that only the DMA and the array reach, with what a model of them must remember."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Use:
    """Bytes [start, end) of a memory that a unit reads or writes until the program has seen it done."""

    unit: str
    start: int
    end: int
    writes: bool

    def conflicts(self, other: Use) -> bool:
        """Whether the two share bytes and one of them writes."""
        return self.start < other.end and other.start < self.end and (self.writes or other.writes)


@dataclass(frozen=True)
class SharedMemory:
    """Where a memory on the other side of the DMA lies in the program's map."""

    name: str
    base: int
    size: int

    def holds(self, address: int, size: int) -> bool:
        """Whether all of some bytes lies in it."""
        return self.base <= address <= self.base + self.size - size


class LocalMemory:
    """The bytes, which of them were ever written, and who uses which of them now."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.data = np.zeros(size, np.uint8)
        self.written = np.zeros(size, np.bool_)
        self._uses: list[Use] = []

    def reset(self) -> None:
        """Power-up: nothing written, nobody at work."""
        self.data[:] = 0
        self.written[:] = False
        self._uses.clear()

    def claim(self, unit: str, start: int, size: int, *, writes: bool) -> Use | str:
        """Note a use of some bytes, or say in words why there must be none.

        A unit never disturbs itself: it does one thing after the other.
        """
        use = Use(unit, start, start + size, writes)
        if use.end > self.data.size:
            return f"bytes {start} to {use.end} of {self.name}, which has {self.data.size}"
        rival = next((other for other in self._uses if other.unit != unit and other.conflicts(use)), None)
        if rival is not None:
            return f"bytes {start} to {use.end} of {self.name}, which {rival.unit} is working on"
        missing = size - int(np.count_nonzero(self.written[start : use.end]))
        if missing and not writes:
            return f"bytes {start} to {use.end} of {self.name}, of which {missing} were never written"
        self._uses.append(use)
        return use

    def release(self, use: Use) -> None:
        """The program has seen the end of a use."""
        self._uses.remove(use)
