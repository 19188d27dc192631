"""What kernels will do with certain tilings, act by act, where transfers run beside the jobs of neighbouring kernels.

``schedule.chain`` tells from it what ``overlap-transfers`` is going to make of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from htvm_ir.dialects.accel import CPU, DispatchOp
from htvm_ir.passes.chunks import ROWS
from htvm_ir.passes.host_prices import host_cycles
from htvm_ir.passes.plan_tiles import point
from htvm_ir.passes.residents import Residents, Tiling
from htvm_ir.passes.tiling_problems import problem_of
from htvm_ir.schedule.chain import Act, Region, Room, cycles
from htvm_ir.schedule.residency import Option
from htvm_ir.schedule.transfers import Event
from htvm_ir.targets.target import BUFFERS, Engine, Target
from htvm_ir.targets.workload import Tile, tile_workload, windows
from htvm_ir.tiling import acts as nest
from htvm_ir.tiling.pipeline import Pipeline

INPUTS, CONSTANTS, OUTPUT = BUFFERS

ALL_ROWS = 1 << 60
"""More than any tensor has."""


@dataclass(frozen=True)
class Place:
    """An operand of a kernel: rows of a tensor from ``first`` on. size: bytes it holds in local memory if it stays."""

    tensor: Hashable
    first: int = 0
    size: int = 0


def host_acts(dispatch: DispatchOp, target: Target) -> list[Act]:
    """A kernel of the CPU."""
    reads, writes = (
        tuple(Region(value, 0, ALL_ROWS) for value in values) for values in (dispatch.inputs, dispatch.results_)
    )
    return [Act(Event(0, host_cycles(dispatch, target)), reads, writes)]


def has_acts(engine: Engine, tiling: Tiling, target: Target) -> bool:
    """Whether it is known what a kernel of an engine does act by act."""
    return isinstance(problem_of(engine, tiling.workload, target).pipeline, Pipeline)


def engine_acts(engine: Engine, tiling: Tiling, places: Sequence[Place], target: Target) -> list[Act]:
    """A kernel that ``has_acts``; places: of its operands, inputs first."""
    return list(_Kernel(engine, tiling, places, target).acts())


def _has_queues(engine: Engine, target: Target) -> bool:
    channels = [target.channel(name) for name in (engine.load, engine.load_constants, engine.store) if name]
    return all(channel.overlaps and channel.queue > 1 for channel in channels)


class Forecast:
    """The kernels of a network that work in one local memory, and those of the CPU between them."""

    def __init__(self, found: Residents, kernels: Sequence[DispatchOp]):
        self.found, self.kernels = found, kernels
        self.numbers = {user.dispatch: number for number, user in enumerate(found.users)}
        self.bytes = {found.values[tensor.name]: tensor.size for tensor in found.tensors}
        self.sizes = {memory.name: memory.size for memory in found.target.memories if not memory.host}
        self.user_acts = cache(self._user_acts)

    @property
    def is_possible(self) -> bool:
        """Whether transfers run beside other kernels' jobs, and it is known what all kernels do act by act."""
        target, tilings = self.found.target, self.found.tilings
        legal = {user.dispatch for user, _ in tilings}  # a plan written by hand may not be
        known = all(kernel.engine_name == CPU or kernel in legal for kernel in self.kernels)
        queued = all(_has_queues(user.engine, target) for user in self.found.users)
        has_all = known and all(has_acts(user.engine, tiling, target) for (user, _), tiling in tilings.items())
        return target.prefetches and queued and has_all

    def cycles(self, options: Sequence[Option], instead: Mapping[int, Sequence[Sequence[Act]]]) -> int:
        """Cycles of all kernels with these options, by number; instead: of some of them other kernels, or none."""
        acts: list[Sequence[Act]] = []
        for kernel in self.kernels:
            number = self.numbers.get(kernel)
            if number is None:
                acts.append(host_acts(kernel, self.found.target))
            elif number in instead:
                acts += instead[number]
            else:
                acts.append(self.user_acts(number, options[number]))
        return cycles(acts, self.sizes, self.found.target.host.call)

    def _user_acts(self, number: int, option: Option) -> list[Act]:
        user = self.found.users[number]
        places = [Place(value, 0, self.bytes.get(value, 0)) for value in user.operands]
        return engine_acts(user.engine, self.found.tilings[user, option], places, self.found.target)


class _Kernel:
    """One kernel of an engine."""

    def __init__(self, engine: Engine, tiling: Tiling, places: Sequence[Place], target: Target):
        self.engine, self.target, self.places = engine, target, places
        self.workload, self.order = tiling.workload, tiling.order
        self.problem = problem_of(engine, tiling.workload, target)
        self.point = point(self.problem, tiling.sizes)
        self.sizes = self.problem.sizes(self.point)
        self.extents = {dimension.name: dimension.extent for dimension in self.problem.dimensions}
        self.stays = [n in self.workload.resident for n in range(len(places))]

    def acts(self) -> Iterator[Act]:
        pipeline = self.problem.pipeline
        assert isinstance(pipeline, Pipeline)
        counts = {name: -(-self.extents[name] // self.sizes[name]) for name in self.order}
        depths = {name: self.sizes[name] for name in self.problem.choices}
        found = nest.acts(pipeline, self.point, counts, depths)
        rooms = self._rooms([self._tile(act.tile) for act in found if act.operand == nest.JOB])
        for act in found:
            held = tuple(Room((self.places[-1], slot), *rooms[slot[0]]) for slot in act.slots)
            yield self._act(act, held)

    def _act(self, act: nest.Act, held: tuple[Room, ...]) -> Act:
        """With the CPU's cycles as ``overlap-transfers`` counts them."""
        is_job = act.operand == nest.JOB
        held += tuple(self._resident()) if is_job else ()
        if act.waits_for is not None:
            return Act(Event(0, 0, waits_for=act.waits_for), rooms=held)
        regions = self._regions(self._tile(act.tile))
        if is_job:
            reads = tuple(region for region, stays in zip(regions[:-1], self.stays, strict=False) if stays)
            writes = regions[-1:] if self.stays[-1] else ()
            return Act(Event(0, 0, act.work, self.engine.name), reads, writes, held)
        names = dict(zip(BUFFERS, (self.engine.load, self.engine.load_constants, self.engine.store), strict=True))
        channel, is_load = self.target.channel(names[act.operand]), act.operand != OUTPUT
        event = Event(0, channel.software, act.work, channel.name, channel.queue, is_load, channel.port)
        moved = [region for region, stays in zip(regions[:-1], self.stays, strict=False) if not stays]
        reads = (moved[act.part],) if act.operand == INPUTS else ()
        return Act(event, reads, () if is_load else regions[-1:], held)

    def _tile(self, indices: Mapping[str, int]) -> Tile:
        starts = {name: index * self.sizes[name] for name, index in indices.items()}
        return {name: (start, min(self.sizes[name], self.extents[name] - start)) for name, start in starts.items()}

    def _regions(self, tile: Tile) -> tuple[Region, ...]:
        """The rows of each operand that a tile is about; a vector is one row.

        Of a tensor that stays those are all: from the first byte of some rows to their last lies nearly everything.
        """
        axes = windows(self.workload, tuple(tile))
        tensors = (*self.workload.inputs, self.workload.output)
        found: list[Region] = []
        for number, (tensor, place) in enumerate(zip(tensors, self.places, strict=True)):
            if self.stays[number]:
                found.append(Region(place.tensor, 0, ALL_ROWS))
            elif len(tensor.shape) <= ROWS:
                found.append(Region(place.tensor, 0, 1))
            else:
                rows = axes[number if number < len(tensors) - 1 else -1][ROWS]
                start, size, _, _ = rows.span(tile, tensor.shape[ROWS])
                found.append(Region(place.tensor, place.first + start, place.first + start + size))
        return tuple(found)

    def _rooms(self, tiles: Sequence[Tile]) -> dict[str, tuple[str, int]]:
        """The memory and the bytes of each buffer of an operand."""
        local = [self.engine.local_bytes(tile_workload(self.workload, tile)) for tile in tiles]
        moved = (sum(size for size, stays in zip(sizes[:-1], self.stays, strict=False) if not stays) for sizes in local)
        constants = max(self.engine.packed_range(self.workload, tile)[1] for tile in tiles)
        return {
            INPUTS: (self.engine.local, max(moved)),
            CONSTANTS: (self.engine.constants_local, constants),
            OUTPUT: (self.engine.local, max(sizes[-1] for sizes in local)),
        }

    def _resident(self) -> Iterator[Room]:
        """What its jobs use of tensors that stay."""
        for place, stays in zip(self.places, self.stays, strict=True):
            if stays:
                yield Room(place.tensor, self.engine.local, place.size)
