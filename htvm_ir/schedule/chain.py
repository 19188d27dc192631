"""What kernels take one after the other, where transfers of each may run beside the jobs of its neighbours.

The sum of what they take alone does not tell that. Here they are put in the very order that ``transfers`` finds
for them, as far as there is room for the tiles of neighbours at one time, and run in virtual time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from htvm_ir.schedule.transfers import Event, overlap, simulate


@dataclass(frozen=True)
class Region:
    """Rows ``first`` up to ``end``, without it, of a tensor."""

    tensor: Hashable
    first: int
    end: int

    def touches(self, other: Region) -> bool:
        """Whether both have a row of the same tensor."""
        return self.tensor == other.tensor and self.first < other.end and other.first < self.end


@dataclass(frozen=True)
class Room:
    """Bytes of a memory that something holds from the first event that uses it to the last."""

    name: Hashable
    memory: str
    size: int


@dataclass(frozen=True)
class Act:
    """An event of a kernel, whose number and neighbours do not count yet.

    event: ``waits_for`` is the place of an act of the same kernel. reads, writes: parts of tensors, of what is started.
    rooms: what it uses; what kernels have for themselves has another name in each.
    """

    event: Event
    reads: tuple[Region, ...] = ()
    writes: tuple[Region, ...] = ()
    rooms: tuple[Room, ...] = ()


def cycles(kernels: Sequence[Sequence[Act]], sizes: Mapping[str, int], call: int) -> int:
    """Cycles of kernels in this order, each given as its acts.

    sizes: bytes of each memory. call: what the CPU needs to turn to another kernel.
    """
    events = list(linked(kernels))
    room = _Rooms([act.rooms for acts in kernels for act in acts], sizes)
    return simulate(events, overlap(events, call, room.fit), call).total()


def linked(kernels: Sequence[Sequence[Act]]) -> Iterator[Event]:
    """The events of all kernels; what reads a region comes after the waits for what kernels before it write there."""
    written: dict[Hashable, list[tuple[Region, int]]] = {}
    first = 0
    for kernel, acts in enumerate(kernels):
        done = {act.event.waits_for: place for place, act in enumerate(acts)}
        for act in acts:
            waits_for = act.event.waits_for
            after = (end for r in act.reads for region, end in written.get(r.tensor, ()) if region.touches(r))
            start = None if waits_for is None else first + waits_for
            yield replace(act.event, kernel=kernel, waits_for=start, after=frozenset(after))
        for place, act in enumerate(acts):
            for region in act.writes:
                written.setdefault(region.tensor, []).append((region, first + done.get(place, place)))
        first += len(acts)


class _Rooms:
    """Whether what events use has room, by what is alive at one time; where it would lie is not asked."""

    def __init__(self, used: Sequence[Iterable[Room]], sizes: Mapping[str, int]):
        self.sizes = sizes
        self.users: dict[Room, list[int]] = {}
        for number, rooms in enumerate(used):
            for room in rooms:
                self.users.setdefault(room, []).append(number)

    def fit(self, order: Sequence[int]) -> bool:
        """Whether all that is alive during some events, consecutive up to the last of a kernel, fits each memory."""
        places, last = {number: place for place, number in enumerate(order)}, max(order)
        changes = {memory: [0] * (len(order) + 1) for memory in self.sizes}
        for room, users in self.users.items():
            inside = [places[user] for user in users if user in places]
            before = any(user < last and user not in places for user in users)
            behind = users[-1] > last
            if inside or (before and behind):
                changes[room.memory][0 if before else min(inside)] += room.size
                changes[room.memory][len(order) if behind else max(inside) + 1] -= room.size
        return all(max(accumulate(changes[memory])) <= size for memory, size in self.sizes.items())
