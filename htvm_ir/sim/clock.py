"""Virtual time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Cycles since reset: `now` is the time, `waited` the part of it in which the CPU stood still."""

    now: int = 0
    waited: int = 0

    def wait_until(self, cycle: int) -> None:
        """Move the time forward to `cycle` without executing anything; never moves it back."""
        if cycle > self.now:
            self.waited += cycle - self.now
            self.now = cycle

    def reset(self) -> None:
        """Start again at cycle 0."""
        self.now = self.waited = 0
