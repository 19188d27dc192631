"""The activation memory both accelerators share, with what a model of it must remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htvm_ir.targets.diana.datapath import Span, overlap


@dataclass(frozen=True)
class _Flight:
    """What the operation in flight of one accelerator touches, until a cycle."""

    until: int
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]


class L1:
    """The bytes, which of them were ever written, and who uses which of them now."""

    def __init__(self, size: int) -> None:
        self.data = np.zeros(size, np.uint8)
        self.written = np.zeros(size, np.bool_)
        self._flights: dict[str, _Flight] = {}

    def reset(self) -> None:
        """Power-up: nothing written, nobody at work."""
        self.data[:] = 0
        self.written[:] = False
        self._flights.clear()

    def claim(self, unit: str, now: int, until: int, reads: Sequence[Span], writes: Sequence[Span]) -> str | None:
        """Note what `unit` uses from `now` to `until`.

        Returns the name of another unit still at work on the same bytes, unless both only read them.
        """
        size = len(self.data)
        flight = _Flight(until, tuple(reads), tuple(writes))
        for other, theirs in self._flights.items():
            if other == unit or theirs.until <= now:
                continue
            if overlap(writes, theirs.reads + theirs.writes, size) or overlap(reads, theirs.writes, size):
                return other
        self._flights[unit] = flight
        return None

    def release(self, unit: str) -> None:
        """`unit` gave up its operation."""
        self._flights.pop(unit, None)
