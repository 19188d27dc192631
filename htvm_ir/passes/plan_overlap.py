"""``plan-overlap``: tiles of an engine's kernels beside which the CPU computes chunks of a neighbour; attributes only.

A kernel of the CPU that reads, channel by channel or row by row, what an engine writes can pool, convert or clip one
tile while the engine computes the next; sums pass tiles on, so the kernels in front of them are tiled alike. One that
writes the rows of an engine's input can write the next ones meanwhile. Every size is tried; the order of the steps is
the scheduler's, and so is the time that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.passes.chunks import CHANNELS, ROWS, chunk_step, set_chunks
from htvm_ir.passes.host_prices import chunk_cycles, host_cycles
from htvm_ir.passes.plan_tiles import check_plan, latency
from htvm_ir.passes.tiling_problems import problem_of
from htvm_ir.passes.workloads import dispatch_workload, kernel_target, module_target
from htvm_ir.schedule.overlap import Step, lower_bound, schedule
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Tile, Workload, dimensions, tile_workload, tiles, windows
from htvm_ir.tiling.problem import Problem

DIMENSIONS = {CHANNELS: "k", ROWS: "y"}
"""The dimension of a workload that cuts an axis of its result."""


SAME = 0.05
"""Savings that differ by no more are alike (model choice): then chunks are large, steps beside which more has room."""

PARTS = (1, 2, 4)
"""Into how many chunks the rows of a tile are cut (model choice): a tile needs rows of the next one as well, which are
sooner there if chunks are shorter."""


@dataclass(frozen=True)
class PlanOverlap(ModulePass):
    """Changes plans that the solver found, and sets ``accel.chunks`` on kernels of the CPU, where that saves cycles."""

    name = "plan-overlap"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for dispatch in kernels(op):
            if dispatch.engine_name == CPU:
                _overlap(dispatch, target)


@dataclass(frozen=True)
class _Work:
    """Cycles of the tiles of a kernel.

    jobs: for which the job of each goes on by itself. software: of everything else, before each job and again after it.
    """

    unit: str
    software: int
    jobs: Sequence[int]


@dataclass(frozen=True, eq=False)
class _Tiled:
    """A kernel of an engine that may be cut along one dimension, a name of the engine's; the others stay whole."""

    dispatch: DispatchOp
    engine: Engine
    workload: Workload
    target: Target
    dimension: str

    @staticmethod
    def of(dispatch: object, target: Target, axis: int) -> _Tiled | None:
        """What the solver left whole, or cut along the same axis; None for all else."""
        if not isinstance(dispatch, DispatchOp) or not isinstance(dispatch.plan, PlanAttr):
            return None
        kernel = _Tiled(
            dispatch,
            target.engine(dispatch.engine_name),
            dispatch_workload(dispatch),
            kernel_target(dispatch, target),
            DIMENSIONS[axis],
        )
        extents = {d.name: d.extent for d in kernel.problem.dimensions}
        whole = all(dispatch.plan.tile.get(n, e) == e for n, e in extents.items() if n != kernel.dimension)
        return kernel if whole and dispatch.plan.proven.data and kernel.dimension in extents else None

    @property
    def problem(self) -> Problem:
        """The tiling problem, with the memory that other tensors leave."""
        return problem_of(self.engine, self.workload, self.target)

    @property
    def plan(self) -> PlanAttr:
        """The solver's plan."""
        assert isinstance(self.dispatch.plan, PlanAttr)
        return self.dispatch.plan

    def sizes(self) -> set[int]:
        """The legal sizes of a tile."""
        problem, name = self.problem, self.dimension
        sizes = next(d.sizes for d in problem.dimensions if d.name == name)
        return {size for size in sizes if check_plan(problem, {name: size}) is None}

    def planned(self, size: int) -> PlanAttr:
        """The plan with tiles of a size; where buffers are chosen one for each operand, as the CPU has other work."""
        sizes = {**self.plan.tile, self.dimension: size}
        depths = (1,) * (len(self.workload.inputs) + 1) if self.problem.choices else self.plan.depths
        return PlanAttr(sizes, depths, self.latency(size), mapping=self.plan.mapping.data)

    def latency(self, size: int) -> int:
        """Cycles of the kernel alone."""
        return latency(self.problem, {self.dimension: size})

    def tiles(self, size: int) -> list[Tile]:
        """All tiles, in order."""
        extent = dimensions(self.workload)[self.dimension]
        return tiles({self.dimension: extent}, {self.dimension: size}, [self.dimension])

    def work(self, size: int) -> _Work:
        """What the tiles of a size take."""
        parts = (tile_workload(self.workload, tile) for tile in self.tiles(size))
        jobs = [self.engine.detached(self.engine.job(part)) for part in parts]
        return _Work(self.engine.name, max(0, self.latency(size) - sum(jobs)) // (2 * len(jobs)), jobs)


@dataclass(frozen=True)
class _Choice:
    """Kernels to cut into tiles of a size, a kernel of the CPU into chunks of one, and the cycles that saves."""

    kernels: tuple[_Tiled, ...] = ()
    size: int = 0
    axis: int = 0
    chunk: int = 0
    saved: int = 0


def _overlap(dispatch: DispatchOp, target: Target) -> None:
    """Tile the kernels around one of the CPU, if there is something to gain."""
    steps = {axis: step for axis in DIMENSIONS if (step := chunk_step(dispatch, axis)) is not None}
    found = [choice for axis, step in steps.items() for choice in _behind(dispatch, axis, step, target)]
    if ROWS in steps:
        found += _in_front(dispatch, steps[ROWS], target)
        found += _before_strips(dispatch, steps[ROWS], target)
    most = max((choice.saved for choice in found), default=0)
    alike = [choice for choice in found if choice.saved >= (1 - SAME) * most]
    if most > 0:
        best = max(alike, key=lambda choice: (choice.chunk, choice.saved))
        set_chunks(dispatch, best.axis, best.chunk)
        for kernel in best.kernels:
            kernel.dispatch.plan = kernel.planned(best.size)


def _behind(dispatch: DispatchOp, axis: int, step: int, target: Target) -> Iterator[_Choice]:
    """The CPU reads what is tiled: all sizes for all lengths of the chain, few kernels and large tiles first."""
    chain, extent = list(_chain(dispatch.inputs[0].owner, target, axis)), graph.shape_of(dispatch.yielded[0])[axis]
    for count in range(1, len(chain) + 1):
        tiled = tuple(reversed(chain[:count]))
        before = _alone(tiled, dispatch, target)
        sizes, most = set[int].intersection(*(kernel.sizes() for kernel in tiled)), 0
        for size in sorted((size for size in sizes if size % step == 0 and size < extent), reverse=True):
            steps: list[Step] = []
            ends: list[int] = []
            for number, kernel in enumerate(tiled):
                ends = _tile_steps(steps, number, kernel.work(size), [[end] for end in ends])
            for end, cycles in zip(ends, _chunks(dispatch, axis, size, target), strict=True):
                steps.append(Step(count, cycles, after=frozenset({end})))
            if (saved := _saved(before, steps, target.host.call, most)) > most:
                most = saved
                yield _Choice(tiled, size, axis, size, saved)


def _in_front(dispatch: DispatchOp, step: int, target: Target) -> Iterator[_Choice]:
    """The CPU writes the rows that a tiled convolution reads; a tile may need the first rows of the next chunk."""
    kernel = _Tiled.of(dispatch.results_[0].get_user_of_unique_use(), target, ROWS)
    if kernel is None or kernel.workload.kind != "conv2d":
        return
    extent, before = kernel.workload.inputs[0].shape[ROWS], _alone((kernel,), dispatch, target)
    rows, most = windows(kernel.workload, ("y",))[0][ROWS], 0
    for size in sorted(kernel.sizes(), reverse=True):
        tiles, read = kernel.tiles(size), size * kernel.workload.strides[0]
        chunks = dict.fromkeys(-(-read // (parts * step)) * step for parts in PARTS if len(tiles) > 1)
        work, ends = kernel.work(size), [sum(rows.span(tile, extent)[:2]) for tile in tiles]
        for chunk in (chunk for chunk in chunks if chunk < extent):
            steps = [Step(0, cycles) for cycles in _chunks(dispatch, ROWS, chunk, target)]
            _tile_steps(steps, 1, work, [[(end - 1) // chunk] for end in ends])
            if (saved := _saved(before, steps, target.host.call, most)) > most:
                most = saved
                yield _Choice((kernel,), size, ROWS, chunk, saved)


def _saved(before: int, steps: Sequence[Step], call: int, most: int) -> int:
    """Cycles that the best order of some steps saves; 0 if even the least they can take saves no more than ``most``."""
    return before - schedule(steps, call).cycles if before - lower_bound(steps) > most else 0


def _chunks(dispatch: DispatchOp, axis: int, size: int, target: Target) -> list[int]:
    """Predicted cycles of all chunks of a kernel."""
    whole, rest = divmod(graph.shape_of(dispatch.yielded[0])[axis], size)
    cycles = [chunk_cycles(dispatch, axis, size, target)] * whole
    return [*cycles, chunk_cycles(dispatch, axis, rest, target)] if rest else cycles


def _before_strips(dispatch: DispatchOp, step: int, target: Target) -> Iterator[_Choice]:
    """The CPU writes what is read strip by strip: all but the first strip's rows can wait until that is computed."""
    slices = [use.operation for use in dispatch.results_[0].uses]
    ends = [values(s.offsets)[ROWS] + values(s.sizes)[ROWS] for s in slices if isinstance(s, graph.SliceOp)]
    if not ends or len(ends) < len(slices):
        return
    extent, chunk = graph.shape_of(dispatch.yielded[0])[ROWS], -(-min(ends) // step) * step
    if chunk < extent:
        rest = chunk_cycles(dispatch, ROWS, extent - chunk, target)
        yield _Choice((), 0, ROWS, chunk, rest)


def _chain(owner: object, target: Target, axis: int) -> Iterator[_Tiled]:
    """The kernel that computes a tensor and, as long as each passes tiles on, the longest one in front of it."""
    kernel = _Tiled.of(owner, target, axis)
    while kernel is not None:
        yield kernel
        if kernel.workload.kind != "add" and not (kernel.workload.is_depthwise and axis == CHANNELS):
            return
        found = [source for v in kernel.dispatch.inputs if (source := _Tiled.of(v.owner, target, axis)) is not None]
        kernel = max(found, key=lambda source: source.plan.latency.data, default=None)


def _alone(tiled: Sequence[_Tiled], dispatch: DispatchOp, target: Target) -> int:
    """Cycles of the kernels one after the other, as planned so far."""
    cycles = sum(kernel.plan.latency.data for kernel in tiled) + host_cycles(dispatch, target)
    return cycles + target.host.call * (len(tiled) + 1)


def _tile_steps(steps: list[Step], number: int, work: _Work, after: Sequence[Iterable[int]]) -> list[int]:
    """Append a kernel's steps, of which each tile comes after some others; the numbers of those that end a tile."""
    units, ends = frozenset({work.unit}), list[int]()
    for job, needed in zip(work.jobs, after or [()] * len(work.jobs), strict=True):
        steps.append(Step(number, work.software, job, units, frozenset(needed)))
        ends.append(len(steps))
        steps.append(Step(number, work.software, 0, units))
    return ends
