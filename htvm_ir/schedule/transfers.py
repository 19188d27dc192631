"""Which transfers of a kernel begin, and end, beside the jobs of its neighbours.

A kernel that waits for its first tiles, and for its last results, leaves its engine idle. Its first loads may begin
beside the last jobs of the kernel before it, as far as what they read is there, and its last stores may be waited for
in the kernel behind it. A kernel of another engine, as far as it needs nothing of the one before, may run beside it.
Transfers share ports, so an order is judged by running it in virtual time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

AHEAD = 8
"""Up to so many of the last jobs of a kernel the next one's loads may begin before (model choice)."""


@dataclass(frozen=True)
class Event:
    """Something the CPU does: it starts work of a unit, waits for some, or computes a kernel itself.

    cpu: its cycles. work: cycles for which ``unit`` goes on afterwards. queue: transfers that the unit takes before it
    has done the first, 0 = an engine. load: whether the work fills a local buffer. port: what its transfers go through,
    one at a time. waits_for: index of the event whose work must be done before this one. after: indices of events of
    other kernels that come first. barrier: whether nothing passes it.
    """

    kernel: int
    cpu: int
    work: int = 0
    unit: str = ""
    queue: int = 0
    load: bool = False
    port: str = ""
    waits_for: int | None = None
    after: frozenset[int] = frozenset()
    barrier: bool = False

    @property
    def is_job(self) -> bool:
        """Whether it starts an engine."""
        return bool(self.unit) and not self.queue


class _Run:
    """Some events in virtual time. ``call``: what the CPU needs to turn to another kernel."""

    def __init__(self, events: Sequence[Event], call: int):
        self.events, self.call, self.now = events, call, 0
        self.spent = Counter[int]()
        self._done: dict[int, int] = {}
        self._queues: dict[str, list[int]] = {}
        self._ports: dict[str, int] = {}
        self._kernel: int | None = None

    def after(self, number: int) -> int:
        """The CPU's time behind an event, if that comes next."""
        event = self.events[number]
        now = self.now + event.cpu + (self.call if event.kernel != self._kernel else 0)
        if event.waits_for is not None:
            return max(now, self._done.get(event.waits_for, 0))
        ends = self._queues.get(event.unit, [])
        return max(now, ends[-event.queue]) if 0 < event.queue <= len(ends) else now

    def take(self, number: int) -> None:
        """Let an event come next."""
        event, now = self.events[number], self.after(number)
        if event.queue:
            end = max(now, self._ports.get(event.port, 0)) + event.work
            self._ports[event.port] = self._done[number] = end
            self._queues.setdefault(event.unit, []).append(end)
        elif event.unit:
            self._done[number] = now + event.work
        self.spent[event.kernel] += now - self.now
        self.now, self._kernel = now, event.kernel


def simulate(events: Sequence[Event], order: Sequence[int], call: int) -> Counter[int]:
    """Cycles by kernel, from its turn to the next one's.

    call: what the CPU needs to turn to another kernel. Work whose start is not in the order is done when it begins.
    """
    run = _Run(events, call)
    for number in order:
        run.take(number)
    return run.spent


def overlap(events: Sequence[Event], call: int, fits: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return the events in an order in which neighbours overlap where that is faster; deterministic.

    The events are given kernel by kernel. fits: whether the buffers of some consecutive events have room together.
    """
    order: list[int] = []
    window = 0  # where the last kernel with jobs begins
    for kernel in _kernels(events):
        if any(events[n].barrier for n in kernel):
            order += kernel
            window = len(order)
            continue
        tail = order[window:]
        ways = sorted({*map(tuple, _ways(events, tail, kernel)), *map(tuple, _beside(events, tail, kernel, call))})
        by_time = sorted(ways, key=lambda way: simulate(events, way, call).total())
        plain = (*tail, *kernel)
        best = next((way for way in by_time if way == plain or fits(way)), plain)
        order[window:] = best
        if any(events[n].is_job for n in kernel):
            window += min(best.index(n) for n in kernel)
    return order


def _kernels(events: Sequence[Event]) -> Iterator[list[int]]:
    current: list[int] = []
    for number, event in enumerate(events):
        if current and events[current[-1]].kernel != event.kernel:
            yield current
            current = []
        current.append(number)
    if current:
        yield current


def _ways(events: Sequence[Event], before: Sequence[int], kernel: Sequence[int]) -> Iterator[list[int]]:
    """The orders to choose from: how many jobs earlier how many of the first loads begin, and when waits come."""
    first = next((place for place, n in enumerate(kernel) if events[n].waits_for is not None), len(kernel))
    loads = [n for n in kernel[:first] if events[n].load]
    needed = [n for n in loads if n in _awaited_at_once(events, kernel)]
    jobs = [place for place, n in enumerate(before) if events[n].is_job]
    places = [place + 1 for place in jobs[: -AHEAD - 1 : -1]] or [0]
    yield [*before, *kernel]
    for chosen, place in product((loads, needed, []), places):
        yield _postponed(events, before, _advanced(events, before, chosen, place), kernel)


def _beside(events: Sequence[Event], before: Sequence[int], kernel: Sequence[int], call: int) -> Iterator[list[int]]:
    """A kernel of another engine between the events before it: what keeps the CPU waiting least comes next.

    Of two that keep it waiting alike, always the older one, or always the newer one.
    """
    engines, mine = ({events[n].unit for n in numbers if events[n].is_job} for numbers in (before, kernel))
    if not (engines and mine) or engines & mine:
        return
    for lead in (0, 1):
        run, order, rest, new = _Run(events, call), list[int](), deque(before), deque(kernel)
        while rest and new:
            is_early = not events[new[0]].after.isdisjoint(rest)
            source = rest if is_early or run.after(rest[0]) + lead <= run.after(new[0]) else new
            order.append(source.popleft())
            run.take(order[-1])
        yield [*order, *rest, *new]


def _awaited_at_once(events: Sequence[Event], kernel: Sequence[int]) -> set[int]:
    """What is waited for before the first job."""
    job = next((place for place, n in enumerate(kernel) if events[n].is_job), 0)
    return {wait for n in kernel[:job] if (wait := events[n].waits_for) is not None}


def _advanced(events: Sequence[Event], before: Sequence[int], loads: Sequence[int], place: int) -> list[int]:
    """Put loads behind a place of an order, or behind what they need; waits for that move up with them.

    No load overtakes one of another kernel, or of its own channel.
    """
    order = list(before)
    first = max([place, *(n + 1 for n, other in enumerate(order) if events[other].load)])
    for number, load in enumerate(loads):
        earlier = [n for n in loads[:number] if events[n].unit == events[load].unit]
        place = max([first, *(order.index(n) + 1 for n in earlier)])
        while place < len(order) and order[place] in loads:
            place += 1
        for needed in [n for n in order[place:] if n in events[load].after]:
            start = events[needed].waits_for
            if start is not None and not events[start].is_job:
                order.remove(needed)
                place = max(place, order.index(start) + 1 if start in order else 0)
                order.insert(place, needed)
            place = max(place, order.index(needed) + 1)
        order.insert(place, load)
    return order


def _postponed(events: Sequence[Event], before: Sequence[int], advanced: list[int], kernel: Sequence[int]) -> list[int]:
    """Append the rest of a kernel; the last waits of those before it come when something needs them, or at its end."""
    order = [*advanced, *(n for n in kernel if n not in advanced)]
    end = next(iter(_last_waits(events, kernel)), None)
    for wait in [n for n in _last_waits(events, before) if n in advanced]:
        place = order.index(wait)
        later = order[place + 1 :]
        stop = next((n for n in later if wait in events[n].after or n == end), None)
        order.remove(wait)
        order.insert(len(order) if stop is None else order.index(stop), wait)
    return order


def _last_waits(events: Sequence[Event], before: Sequence[int]) -> list[int]:
    """The waits for stores behind the last thing that is none."""
    last = max((place for place, n in enumerate(before) if not _is_store_wait(events, n)), default=-1)
    return list(before[last + 1 :])


def _is_store_wait(events: Sequence[Event], number: int) -> bool:
    start = events[number].waits_for
    return start is not None and events[start].queue > 0 and not events[start].load
