"""What the units of the SoC did, and when."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Interval:
    """`unit` did `what` during the cycles [start, end) and moved `bytes` bytes."""

    unit: str
    what: str
    start: int
    end: int
    bytes: int = 0

    @property
    def cycles(self) -> int:
        """The length of the interval."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class UnitTotals:
    """Sums over the intervals of one unit."""

    count: int
    cycles: int
    bytes: int


@dataclass
class Trace:
    """All intervals of a run, in the order in which they were recorded."""

    intervals: list[Interval] = field(default_factory=list[Interval])

    def busy(self, unit: str) -> int:
        """The cycles in which `unit` was doing at least one thing."""
        busy, reached = 0, 0
        for start, end in sorted((i.start, i.end) for i in self.intervals if i.unit == unit):
            busy += max(0, end - max(start, reached))
            reached = max(reached, end)
        return busy

    def totals(self) -> dict[str, UnitTotals]:
        """Number of intervals, busy cycles and bytes moved, by unit in order of first appearance."""
        units = dict.fromkeys(interval.unit for interval in self.intervals)
        return {unit: self._total(unit) for unit in units}

    def _total(self, unit: str) -> UnitTotals:
        mine = [interval for interval in self.intervals if interval.unit == unit]
        return UnitTotals(len(mine), self.busy(unit), sum(interval.bytes for interval in mine))
