"""Memories that only the DMA and the array reach, with what a model of them must remember."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from htvm_ir.targets.npu.runs import Runs


@dataclass(frozen=True)
class Use:
    """Bytes of a memory that a unit reads or writes until the program has seen it done."""

    unit: str
    start: int
    runs: Runs
    writes: bool

    @property
    def end(self) -> int:
        """The byte behind the last one."""
        return self.start + self.runs.span

    def conflicts(self, other: Use) -> bool:
        """Whether the two share bytes and one of them writes."""
        low, high = max(self.start, other.start), min(self.end, other.end)
        if low >= high or not (self.writes or other.writes):
            return False
        return bool(np.any(self._mask(low, high) & other._mask(low, high)))

    def _mask(self, low: int, high: int) -> NDArray[np.bool_]:
        """Which of some bytes are used."""
        used = np.zeros(self.runs.span, np.bool_)
        self.runs.view(used)[...] = True
        return used[low - self.start : high - self.start]


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

    def claim(self, unit: str, start: int, runs: Runs, *, writes: bool) -> Use | str:
        """Note a use of some bytes, or say in words why there must be none.

        A unit never disturbs itself: it does one thing after the other.
        """
        use = Use(unit, start, runs, writes)
        if use.end > self.data.size:
            return f"bytes {start} to {use.end} of {self.name}, which has {self.data.size}"
        rival = next((other for other in self._uses if other.unit != unit and other.conflicts(use)), None)
        if rival is not None:
            return f"bytes {start} to {use.end} of {self.name}, which {rival.unit} is working on"
        missing = int(np.count_nonzero(~runs.view(self.written[start:])))
        if missing and not writes:
            return f"bytes {start} to {use.end} of {self.name}, of which {missing} were never written"
        self._uses.append(use)
        return use

    def release(self, use: Use) -> None:
        """The program has seen the end of a use."""
        self._uses.remove(use)
