"""What the CPU does for a nest whose transfers run beside its jobs, act by act, in the order of its pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from htvm_ir.tiling.pipeline import Pipeline, Run, tiles_of

JOB = "job"
"""The operand of an act that starts a job."""

Slot: TypeAlias = tuple[str, int]
"""A buffer of a nest: the operand it is for, and which of this operand's it is."""


@dataclass(frozen=True)
class Act:
    """The start of a transfer of an operand or of a job, or the wait for one of these.

    work: cycles of what it starts. tile: the tile that is for, as in the pipeline's tables.
    slots: the buffers it is about. part: which of the transfers that the operand has for each tile. waits_for: the
    place of the act whose work must be done before this one.
    """

    operand: str
    work: int
    tile: Mapping[str, int]
    slots: tuple[Slot, ...]
    part: int = 0
    waits_for: int | None = None


def acts(
    pipeline: Pipeline, point: Mapping[str, int], counts: Mapping[str, int], depths: Mapping[str, int]
) -> tuple[Act, ...]:
    """The acts of a nest, in their order; arguments as of :meth:`Pipeline.latency`."""
    return _Trace(pipeline, point, tiles_of(counts), depths).run()


class _Trace(Run):
    """A run that writes down what the CPU does."""

    def __init__(
        self,
        pipeline: Pipeline,
        point: Mapping[str, int],
        tiles: Sequence[Mapping[str, int]],
        depths: Mapping[str, int],
    ):
        super().__init__(pipeline, point, tiles, depths)
        self.tiles, self.names = tiles, [load.name for load in pipeline.loads]
        self.store_name = "" if pipeline.store is None else pipeline.store.name
        self.acts: list[Act] = []
        self.loaded: dict[int, list[int]] = {}
        self.starts: list[int] = []
        self.jobs_at: dict[int, int] = {}

    def run(self) -> tuple[Act, ...]:
        self.cycles()
        awaited = {act.waits_for for act in self.acts}
        for start in self.starts:
            if start not in awaited:
                self._wait(start)
        return tuple(self.acts)

    def _wait(self, number: int) -> None:
        start = self.acts[number]
        self.acts.append(replace(start, work=0, waits_for=number))

    def _wait_for_operands(self, job: int) -> None:
        super()._wait_for_operands(job)
        if job >= self.store_depth:
            self._wait(self.starts[job - self.store_depth])
        for load in self.needed.get(job, ()):
            for number in self.loaded[id(load)]:
                self._wait(number)

    def _launch(self, job: int) -> None:
        super()._launch(job)
        self.jobs_at[job] = len(self.acts)
        self.acts.append(Act(JOB, self.jobs[job], self.tiles[job], tuple(self._slots(job))))

    def _slots(self, job: int) -> Iterator[Slot]:
        """The buffers of a job."""
        for name, (_, _, loads, depth) in zip(self.names, self.plans, strict=True):
            number = next(n for n, load in enumerate(loads) if load.first <= job <= load.last)
            yield name, number % depth
        if self.stores:
            yield self._store_slot(job)

    def _store_slot(self, job: int) -> Slot:
        return self.store_name, job % self.store_depth

    def _await(self, job: int, end: int) -> None:
        super()._await(job, end)
        self._wait(self.jobs_at[job])

    def _store(self, job: int) -> None:
        self.starts.append(len(self.acts))
        slots = (self._store_slot(job),)
        self.acts.append(Act(self.store_name, self.stores[job], self.tiles[job], slots))
        super()._store(job)

    def _start(self, index: int) -> None:
        count, _, loads, depth = self.plans[index]
        load, slots = loads[self.next[index]], ((self.names[index], self.next[index] % depth),)
        for part in range(count):
            self.loaded.setdefault(id(load), []).append(len(self.acts))
            self.acts.append(Act(self.names[index], load.cycles, self.tiles[load.first], slots, part))
        super()._start(index)
