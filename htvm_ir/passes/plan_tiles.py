"""``plan-tiles``: solve the tiling of every engine kernel and store it as an attribute; nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.errors import HtvmError
from htvm_ir.passes.mappings import best_variant, check_mapping, fitting_variants
from htvm_ir.passes.workloads import block_workload, module_target
from htvm_ir.targets.target import Target
from htvm_ir.tiling.problem import Infeasible, Problem


@dataclass(frozen=True)
class PlanTiles(ModulePass):
    """Sets ``plan`` on every ``accel.dispatch`` to an engine that has none yet; a hand-written plan gets its latency.

    ``seconds`` limits the search for one kernel.
    """

    name = "plan-tiles"
    seconds: float = 5.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for dispatch in kernels(op):
            if dispatch.engine_name == CPU:
                continue
            if dispatch.plan is None:
                dispatch.plan = plan(dispatch, target, self.seconds)
            elif isinstance(dispatch.plan, PlanAttr) and not dispatch.plan.latency.data:
                dispatch.plan = priced(dispatch, dispatch.plan, target)


def plan(dispatch: DispatchOp, target: Target, seconds: float) -> PlanAttr:
    """The best plan for a kernel under its engine's cost model.

    Raises:
        HtvmError: not even the smallest tile fits.
    """
    engine = target.engine(dispatch.engine_name)
    best = best_variant(engine, fitting_variants(engine, dispatch), target, seconds)
    if isinstance(best, Infeasible):
        raise HtvmError(
            f"kernel '{dispatch.kernel.data}': the smallest tile exceeds {best.capacity} by "
            f"{best.missing} bytes; keep it off the engine with --engines"
        )
    workload, solution = best
    sizes = {name: solution.sizes[name] for name in solution.order}
    depths = (engine.buffers,) * (len(workload.inputs) + 1)
    return PlanAttr(sizes, depths, solution.latency, solution.proven, workload.mapping)


def priced(dispatch: DispatchOp, written: PlanAttr, target: Target) -> PlanAttr:
    """A hand-written plan with the latency the cost model gives it; unchanged if it cannot be obeyed."""
    engine, sizes = target.engine(dispatch.engine_name), written.tile
    workload = replace(block_workload(dispatch.body.block), mapping=written.mapping.data)
    if check_mapping(engine, dispatch, workload.mapping) or check_plan(
        problem := engine.problem(workload, target), sizes
    ):
        return written  # apply-plan says why
    missing = [d.name for d in problem.dimensions if d.name not in sizes]
    point = {d.name: d.sizes.index(sizes.get(d.name, d.extent)) for d in problem.dimensions}
    order = (*missing, *sizes)
    latency = problem.latency(point, order if order in problem.orders else problem.orders[0])
    return PlanAttr(sizes, written.depths, latency, mapping=written.mapping.data)


def check_plan(problem: Problem, sizes: Mapping[str, int]) -> str | None:
    """Why a hand-written plan cannot be obeyed, None if it can."""
    for dimension in problem.dimensions:
        size = sizes.get(dimension.name, dimension.extent)
        if size not in dimension.sizes:
            return f"{dimension.name} = {size} is not one of the legal sizes {list(dimension.sizes)}"
    point = {d.name: d.sizes.index(sizes.get(d.name, d.extent)) for d in problem.dimensions}
    for capacity in problem.capacities:
        if (missing := capacity.missing(point)) > 0:
            return f"exceeds {capacity.name} by {missing} bytes"
    unknown = set(sizes) - {d.name for d in problem.dimensions}
    return f"unknown dimensions {sorted(unknown)}" if unknown else None
