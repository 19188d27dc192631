"""Virtual time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Cycles since reset: `now` is the time, `waited` the part of it in which the CPU stood still.

    The core charges a basic block when it enters it, so within a block `now` runs ahead of the instruction being
    executed; `SimBus.now` is the time that devices see.
    """

    now: int = 0
    waited: int = 0

    def wait(self, cycles: int) -> None:
        """Let `cycles` pass in which nothing is executed."""
        self.now += cycles
        self.waited += cycles

    def reset(self) -> None:
        """Start again at cycle 0."""
        self.now = self.waited = 0
