"""Virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """Cycles since reset.

    The core charges a basic block when it enters it: `charged` is the sum. While a device serves an access from within
    the block, `ahead` is the cost of what the block has not executed yet. `waited` is the part of the time in which the
    CPU stood still, and `waits` when that was, as [start, end).
    """

    charged: int = 0
    ahead: int = 0
    waited: int = 0
    waits: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    @property
    def now(self) -> int:
        """The cycle at which the access being served, or else the next instruction, begins."""
        return self.charged - self.ahead

    def wait_until(self, cycle: int) -> None:
        """Let time pass, without executing anything, up to `cycle`; no effect if that is past."""
        cycles = max(0, cycle - self.now)
        if cycles:
            self.waits.append((self.now, cycle))
        self.charged += cycles
        self.waited += cycles

    def reset(self) -> None:
        """Start again at cycle 0."""
        self.charged = self.ahead = self.waited = 0
        self.waits = []
