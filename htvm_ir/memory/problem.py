"""What the memory planner is asked and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """`size` bytes, alive in the steps start <= step < end, at a multiple of `alignment` bytes.

    Raises ValueError if the size is negative, the lifetime empty or the alignment not positive.
    """

    name: str
    size: int
    start: int
    end: int
    alignment: int = 1

    def __post_init__(self) -> None:
        if self.size < 0 or self.end <= self.start or self.alignment < 1:
            raise ValueError(f"buffer {self.name}: bad size, lifetime or alignment in {self}")

    @property
    def reserved(self) -> int:
        """Bytes that belong to the buffer: the size rounded up to the alignment.

        The padding is the buffer's own, so that an engine that writes whole words stays inside.
        """
        return -(-self.size // self.alignment) * self.alignment


@dataclass(frozen=True)
class Placement:
    """Offsets in bytes by buffer name, and the bytes of the whole arena.

    No placement needs fewer than `lower_bound` bytes. If `proven_minimal`, none needs fewer than
    `bytes`; the two differ when buffers cannot be stacked without a hole.
    """

    offsets: dict[str, int]
    bytes: int
    lower_bound: int
    proven_minimal: bool


def live_bytes(buffers: Iterable[Buffer]) -> int:
    """Return the largest sum of reserved bytes alive at one step: no arena can be smaller."""
    changes = sorted(
        change for buffer in buffers for change in ((buffer.start, buffer.reserved), (buffer.end, -buffer.reserved))
    )
    peak = alive = 0
    for _, change in changes:
        alive += change
        peak = max(peak, alive)
    return peak
