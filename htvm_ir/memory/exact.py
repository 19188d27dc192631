"""The smallest arena by CP-SAT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from htvm_ir.cpsat import Model
from htvm_ir.memory.problem import Buffer


@dataclass(frozen=True)
class Exact:
    """`offsets` by buffer, None if nothing smaller was found; `closed`: the search is complete."""

    offsets: list[int] | None
    closed: bool


def search(buffers: Sequence[Buffer], low: int, high: int, seconds: float) -> Exact:
    """Look for the smallest arena of low..high bytes.

    At each step the live buffers are intervals that do not overlap; an offset is counted in units
    of the buffer's alignment. All buffers have at least one byte.
    """
    if any(buffer.reserved > high for buffer in buffers):
        return Exact(None, True)
    model = Model()
    arena = model.integer(low, high)
    units = [model.integer(0, (high - b.reserved) // b.alignment) for b in buffers]
    intervals = [model.interval(unit, b.alignment, b.reserved) for unit, b in zip(units, buffers, strict=True)]
    for unit, b in zip(units, buffers, strict=True):
        model.linear([(1, arena), (-b.alignment, unit)], b.reserved, high)
    for group in _largest_groups(buffers):
        model.no_overlap([intervals[i] for i in group])
    model.minimise([(1, arena)])
    outcome = model.solve(seconds)
    closed = outcome.status in ("optimal", "infeasible")
    if not outcome.values:
        return Exact(None, closed)
    offsets = [outcome.values[unit] * b.alignment for unit, b in zip(units, buffers, strict=True)]
    return Exact(offsets, closed)


def _largest_groups(buffers: Sequence[Buffer]) -> Iterator[list[int]]:
    """Yield the sets of buffers alive together that no later set contains."""
    alive: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: buffers[i].start):
        still = [j for j in alive if buffers[j].end > buffers[i].start]
        if len(still) < len(alive):
            yield alive
        alive = [*still, i]
    if alive:
        yield alive
