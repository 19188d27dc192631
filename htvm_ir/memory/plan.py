"""Offsets for buffers whose lifetimes overlap: greedy first, CP-SAT where greedy leaves a gap."""

from __future__ import annotations

from collections.abc import Sequence

from htvm_ir.errors import HtvmError
from htvm_ir.memory.greedy import Neighbours, height, neighbours, orders, place, raise_top
from htvm_ir.memory.problem import Buffer, Placement, live_bytes

LOOKS = 1_500_000
"""How many placed neighbours the greedy search may look at, about a second (model choice)."""

REPAIRS = 16
"""How often one order is repaired at most (model choice)."""


def plan(buffers: Sequence[Buffer], capacity: int | None = None, seconds: float = 5.0) -> Placement:
    """Return offsets such that no two live buffers overlap, in the smallest arena found.

    `seconds` limits the exact search, which starts only if the greedy one misses the lower bound.
    Deterministic. Raises ValueError if two buffers share a name, and HtvmError if the arena found
    is larger than `capacity` bytes.
    """
    names = [buffer.name for buffer in buffers]
    if len(set(names)) != len(names):
        raise ValueError("buffer names repeat")
    filled = [buffer for buffer in buffers if buffer.size]
    bound = live_bytes(filled)
    offsets = greedy(filled, bound)
    size, proven = height(filled, offsets), height(filled, offsets) == bound
    if not proven:
        from htvm_ir.memory.exact import search

        exact = search(filled, bound, size - 1, seconds)
        proven = exact.closed
        offsets = exact.offsets or offsets
        size = height(filled, offsets)
    if capacity is not None and size > capacity:
        raise HtvmError(_too_small(size, bound, proven, capacity))
    placed = {b.name: offset for b, offset in zip(filled, offsets, strict=True)}
    return Placement({name: placed.get(name, 0) for name in names}, size, bound, proven)


def greedy(buffers: Sequence[Buffer], bound: int) -> list[int]:
    """Return the best greedy offsets; stops at the lower bound."""
    near = neighbours(buffers)
    tries = [(order, place(buffers, order, near)) for order in orders(buffers)]
    tries.sort(key=lambda tried: height(buffers, tried[1]))
    best = tries[0][1]
    repairs = min(REPAIRS, LOOKS // (len(tries) * (sum(map(len, near)) + len(buffers) + 1)))
    for order, offsets in tries:
        if height(buffers, best) == bound:
            break
        repaired = _repair(buffers, (order, offsets), near, repairs)
        best = min(best, repaired, key=lambda found: height(buffers, found))
    return best


def _repair(buffers: Sequence[Buffer], tried: tuple[list[int], list[int]], near: Neighbours, repairs: int) -> list[int]:
    """Place the topmost buffers first, again and again; return the best offsets."""
    order, offsets = tried
    best = offsets
    for _ in range(repairs):
        order = raise_top(buffers, order, offsets)
        offsets = place(buffers, order, near)
        best = min(best, offsets, key=lambda found: height(buffers, found))
    return best


def _too_small(size: int, bound: int, proven: bool, capacity: int) -> str:
    short = f"memory plan: {size} bytes are needed and {capacity} are there"
    if bound > capacity:
        return f"{short}; {bound} bytes are alive at one step: use smaller tiles or buffers"
    if proven:
        return f"{short}; no placement is smaller: use smaller tiles or buffers"
    return f"{short}; {bound} might do: allow the planner more time or use smaller buffers"
