"""``plan-overlap``: tiles of an engine's kernels beside which the CPU computes chunks of a neighbour; attributes only.

A kernel of the CPU that reads channel by channel what an engine writes can pool, convert or clip the channels of one
tile while the engine computes the next. Sums before it pass tiles on, so the convolutions in front of them are tiled
alike. Every size is tried; the order of the steps is the scheduler's, and so is the time that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, DispatchOp, YieldOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.passes.chunks import CHANNELS, chunk_body, chunk_step, set_chunks
from htvm_ir.passes.plan_tiles import check_plan, latency
from htvm_ir.passes.workloads import block_workload, dispatch_workload, kernel_target, layout_of, module_target
from htvm_ir.schedule.overlap import Step, schedule
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload, tile_workload, tiles


@dataclass(frozen=True)
class PlanOverlap(ModulePass):
    """Changes plans that the solver found, and sets ``accel.chunks`` on kernels of the CPU, where that saves cycles."""

    name = "plan-overlap"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for dispatch in kernels(op):
            if dispatch.engine_name == CPU:
                _overlap(dispatch, target)


@dataclass(frozen=True, eq=False)
class _Tiled:
    """A kernel of an engine that may be cut into channels; the other dimensions stay whole."""

    dispatch: DispatchOp
    engine: Engine
    workload: Workload
    target: Target

    @staticmethod
    def of(value: SSAValue, target: Target) -> _Tiled | None:
        """The kernel that computes a tensor, if it is one."""
        dispatch = value.owner
        if not isinstance(dispatch, DispatchOp) or not isinstance(dispatch.plan, PlanAttr):
            return None
        engine, workload = target.engine(dispatch.engine_name), dispatch_workload(dispatch)
        problem = engine.problem(workload, kernel_target(dispatch, target))
        whole = all(dispatch.plan.tile.get(d.name, d.extent) == d.extent for d in problem.dimensions if d.name != "k")
        solved = bool(dispatch.plan.proven.data) and any(d.name == "k" for d in problem.dimensions)
        return _Tiled(dispatch, engine, workload, kernel_target(dispatch, target)) if whole and solved else None

    def sizes(self) -> set[int]:
        """Legal numbers of channels."""
        problem = self.engine.problem(self.workload, self.target)
        return {
            size
            for dimension in problem.dimensions
            for size in dimension.sizes
            if dimension.name == "k" and check_plan(problem, {"k": size}) is None
        }

    @property
    def plan(self) -> PlanAttr:
        """The solver's plan."""
        assert isinstance(self.dispatch.plan, PlanAttr)
        return self.dispatch.plan

    def planned(self, size: int) -> PlanAttr:
        """The plan with so many channels in a tile."""
        sizes = {**self.plan.tile, "k": size}
        return PlanAttr(sizes, self.plan.depths, self.latency(size), mapping=self.plan.mapping.data)

    def latency(self, size: int) -> int:
        """Cycles of the kernel alone."""
        return latency(self.engine.problem(self.workload, self.target), {"k": size})

    def jobs(self, size: int) -> list[int]:
        """For each tile the cycles for which its job goes on by itself."""
        extent = self.workload.output.shape[1]
        parts = (tile_workload(self.workload, tile) for tile in tiles({"k": extent}, {"k": size}, ["k"]))
        return [self.engine.detached(self.engine.job(part)) for part in parts]


@dataclass(frozen=True)
class _Choice:
    """Kernels to cut, first to last, into so many channels, and the cycles that saves."""

    kernels: tuple[_Tiled, ...] = ()
    size: int = 0
    saved: int = 0


def _overlap(dispatch: DispatchOp, target: Target) -> None:
    """Tile the kernels in front of one of the CPU, if there is something to gain."""
    step = chunk_step(dispatch, CHANNELS)
    if step is None:
        return
    best = max(_choices(dispatch, step, target), key=lambda choice: choice.saved, default=_Choice())
    if best.saved > 0:
        set_chunks(dispatch, CHANNELS, best.size)
        for kernel in best.kernels:
            kernel.dispatch.plan = kernel.planned(best.size)


def _choices(dispatch: DispatchOp, step: int, target: Target) -> Iterator[_Choice]:
    """All sizes for all lengths of the chain, the fewest kernels and largest tiles first."""
    chain, extent = list(_chain(dispatch.inputs[0], target)), graph.shape_of(dispatch.yielded[0])[CHANNELS]
    for count in range(1, len(chain) + 1):
        tiled = tuple(reversed(chain[:count]))
        before = sum(kernel.plan.latency.data for kernel in tiled) + _host_cycles(dispatch, extent, target)
        before += target.host.call * (count + 1)
        sizes = set[int].intersection(*(kernel.sizes() for kernel in tiled))
        for size in sorted((size for size in sizes if size % step == 0 and size < extent), reverse=True):
            yield _Choice(tiled, size, before - _cycles(tiled, dispatch, size, target))


def _chain(value: SSAValue, target: Target) -> Iterator[_Tiled]:
    """The kernel that computes a tensor and, as long as each passes tiles on, the longest one in front of it."""
    kernel = _Tiled.of(value, target)
    while kernel is not None:
        yield kernel
        if not (kernel.workload.kind == "add" or kernel.workload.is_depthwise):
            return
        found = [source for v in kernel.dispatch.inputs if (source := _Tiled.of(v, target)) is not None]
        kernel = max(found, key=lambda source: source.plan.latency.data, default=None)


def _host_cycles(dispatch: DispatchOp, size: int, target: Target) -> int:
    """Predicted cycles of a chunk."""
    block = chunk_body(dispatch, CHANNELS, size).block
    assert isinstance(block.last_op, YieldOp)
    layouts = [layout_of(value.type) for value in (*block.args, *block.last_op.values)]
    return target.host.cycles(block_workload(block), layouts)


def _cycles(tiled: Sequence[_Tiled], dispatch: DispatchOp, size: int, target: Target) -> int:
    """Cycles of all steps in the scheduler's order."""
    steps: list[Step] = []
    ends: list[int] = []  # of each tile the step that completes it
    for number, kernel in enumerate(tiled):
        jobs, given = kernel.jobs(size), ends
        software = max(0, kernel.latency(size) - sum(jobs)) // (2 * len(jobs))
        ends = []
        for tile, job in enumerate(jobs):
            after = frozenset(given[tile : tile + 1])
            steps.append(Step(number, software, job, frozenset({kernel.engine.name}), after))
            ends.append(len(steps))
            steps.append(Step(number, software, 0, frozenset({kernel.engine.name})))
    extent = graph.shape_of(dispatch.yielded[0])[CHANNELS]
    for tile, end in enumerate(ends):
        chunk = _host_cycles(dispatch, min(size, extent - tile * size), target)
        steps.append(Step(len(tiled), chunk, after=frozenset({end})))
    return schedule(steps, target.host.call).cycles
