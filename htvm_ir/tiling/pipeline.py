"""A nest whose transfers run beside its jobs: exact cycles of the software pipeline that a CPU drives.

An operand has one, two or three buffers. A load is started as soon as its buffer is free: with one buffer, when its
last job has been waited for; with more, behind the start of the job after that one. A store is started when its
job has been waited for, with three buffers behind the start of the next job. Transfers run beside the engine, those of
one port one after the other in the order in which they are started. It is what ``pipeline-dma`` makes of channels
with a queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias


@dataclass(frozen=True)
class Parts:
    """A value for each tile of each candidate size of one dimension."""

    dimension: str
    tables: tuple[tuple[int, ...], ...]


Term: TypeAlias = tuple[int, tuple[Parts, ...]]
"""A coefficient times values of a tile."""


@dataclass(frozen=True)
class Operand:
    """Transfers of an operand.

    name: the choice that is its number of buffers. moved_by: the dimensions of which it has a part for each tile; a
    tile that has the parts of the tile before is not loaded again. cycles: of one transfer. count: transfers a tile.
    port: what they share with the other transfers of the same port.
    """

    name: str
    moved_by: tuple[str, ...]
    cycles: tuple[Term, ...]
    count: int = 1
    port: str = ""


@dataclass(frozen=True)
class Software:
    """Cycles of the CPU: call and return, the start of a transfer, the start of a job, the end of a wait."""

    kernel: int
    transfer: int
    job: int
    wait: int


@dataclass(frozen=True)
class Pipeline:
    """What a nest does for each tile.

    loads, store: without operands that stay in local memory. queue: transfers a channel takes before it has done the
    first.
    """

    loads: tuple[Operand, ...]
    store: Operand | None
    job: tuple[Term, ...]
    software: Software
    queue: int

    def keep(self, name: str, indices: Sequence[int]) -> Pipeline:
        """The same with only these candidates of one dimension."""

        def cut(terms: tuple[Term, ...]) -> tuple[Term, ...]:
            return tuple((number, tuple(map(kept, parts))) for number, parts in terms)

        def kept(parts: Parts) -> Parts:
            if parts.dimension != name:
                return parts
            return replace(parts, tables=tuple(parts.tables[i] for i in indices))

        loads = tuple(replace(load, cycles=cut(load.cycles)) for load in self.loads)
        store = None if self.store is None else replace(self.store, cycles=cut(self.store.cycles))
        return replace(self, loads=loads, store=store, job=cut(self.job))

    def latency(self, point: Mapping[str, int], counts: Mapping[str, int], depths: Mapping[str, int]) -> int:
        """Cycles of the whole nest.

        point: the chosen candidates. counts: tiles of each dimension, outermost loop first. depths: buffers by operand.
        """
        return Run(self, point, tiles_of(counts), depths).cycles()


def tiles_of(counts: Mapping[str, int]) -> list[dict[str, int]]:
    """All tiles, the innermost loop's next one first."""
    return [dict(zip(counts, tile, strict=True)) for tile in product(*map(range, counts.values()))]


def value(terms: Sequence[Term], point: Mapping[str, int], tile: Mapping[str, int]) -> int:
    """The sum of the terms for one tile."""
    total = 0
    for coefficient, parts in terms:
        amount = coefficient
        for part in parts:
            amount *= part.tables[point[part.dimension]][tile[part.dimension]]
        total += amount
    return total


@dataclass
class _Load:
    """A transfer into a buffer, for jobs ``first`` to ``last``."""

    first: int
    last: int
    cycles: int
    done: int = 0


class _Channel:
    """The queue of one operand's transfers."""

    def __init__(self, queue: int, port: str = ""):
        self.queue, self.port, self.ends = queue, port, [0]

    def room(self, now: int) -> int:
        """When the queue can take another transfer."""
        return max(now, self.ends[-self.queue]) if len(self.ends) > self.queue else now


class Run:
    """One run of the pipeline in virtual time."""

    def __init__(
        self,
        pipeline: Pipeline,
        point: Mapping[str, int],
        tiles: Sequence[Mapping[str, int]],
        depths: Mapping[str, int],
    ):
        self.software, self.now = pipeline.software, pipeline.software.kernel
        self.ports: dict[str, int] = {}
        self.jobs = [value(pipeline.job, point, tile) for tile in tiles]
        store = pipeline.store
        self.stores = [] if store is None else [value(store.cycles, point, tile) for tile in tiles]
        self.store_depth = len(tiles) if store is None else depths[store.name]
        self.store_channel = _Channel(pipeline.queue, "" if store is None else store.port)
        self.stored: list[int] = []
        self.plans = [
            (load.count, _Channel(pipeline.queue, load.port), list(_loads(load, point, tiles)), depths[load.name])
            for load in pipeline.loads
        ]
        self.next = [0] * len(self.plans)
        self.needed: dict[int, list[_Load]] = {}
        for _, _, loads, _ in self.plans:
            for load in loads:
                self.needed.setdefault(load.first, []).append(load)

    def cycles(self) -> int:
        """The end of the last store, or job."""
        self._load(-1)
        for job, cycles in enumerate(self.jobs):
            self._wait_for_operands(job)
            self._launch(job)
            end = self.now + cycles
            if self._is_deferred(job - 1):
                self._store(job - 1)
            self._load(job)
            self._await(job, end)
            if self.stores and not self._is_deferred(job):
                self._store(job)
            self._load_now(job)
        return max(self.now, self.stored[-1]) + self.software.wait if self.stores else self.now

    def _wait_for_operands(self, job: int) -> None:
        if job >= self.store_depth:
            self.now = max(self.now, self.stored[job - self.store_depth]) + self.software.wait
        for load in self.needed.get(job, ()):
            self.now = max(self.now, load.done) + self.software.wait

    def _launch(self, job: int) -> None:
        del job  # written down by a subclass
        self.now += self.software.job

    def _await(self, job: int, end: int) -> None:
        del job
        self.now = max(self.now, end) + self.software.wait

    def _is_deferred(self, job: int) -> bool:
        """Whether a job's store is started behind the start of the next job: that needs no buffer but a free one."""
        return 0 <= job < len(self.stores) - 1 and (self.store_depth > 2 or self.store_depth - 1 > job)

    def _store(self, job: int) -> None:
        self.stored.append(self._transfer(self.store_channel, self.stores[job]))

    def _transfer(self, channel: _Channel, cycles: int) -> int:
        """Start a transfer; when it is done."""
        self.now = channel.room(self.now + self.software.transfer)
        end = self.ports[channel.port] = max(self.now, self.ports.get(channel.port, 0)) + cycles
        channel.ends.append(end)
        return end

    def _load(self, job: int) -> None:
        """Start the loads whose buffers were free before a job was started (-1: before the first one)."""
        while ready := [index for index in range(len(self.plans)) if self._is_ready(index, job)]:
            self._start(min(ready, key=lambda index: self.plans[index][2][self.next[index]].first))

    def _is_ready(self, index: int, job: int) -> bool:
        """Whether the next load of an operand has a buffer that no job from ``job`` on still needs."""
        _, _, loads, depth = self.plans[index]
        number = self.next[index]
        return number < len(loads) and (number < depth or loads[number - depth].last < max(job, 0))

    def _load_now(self, job: int) -> None:
        """Start the loads that the next job needs and the last one made room for."""
        for index, (_, _, loads, _) in enumerate(self.plans):
            while self.next[index] < len(loads) and loads[self.next[index]].first == job + 1:
                self._start(index)

    def _start(self, index: int) -> None:
        count, channel, loads, _ = self.plans[index]
        load = loads[self.next[index]]
        for _ in range(count):
            load.done = self._transfer(channel, load.cycles)
        self.next[index] += 1


def _loads(operand: Operand, point: Mapping[str, int], tiles: Sequence[Mapping[str, int]]) -> Iterator[_Load]:
    """The transfers of an operand, in order."""
    before, current = None, _Load(0, 0, 0)
    for job, tile in enumerate(tiles):
        held = tuple(tile[name] for name in operand.moved_by if name in tile)
        if held == before:
            current.last = job
            continue
        if before is not None:
            yield current
        before, current = held, _Load(job, job, value(operand.cycles, point, tile))
    yield current
