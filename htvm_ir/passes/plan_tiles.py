"""``plan-tiles``: solve the tiling of every engine kernel and store it as an attribute; nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.errors import HtvmError
from htvm_ir.passes.mappings import best_variant, check_mapping, fitting_variants
from htvm_ir.passes.pipeline import TILERS
from htvm_ir.passes.workloads import dispatch_workload, kernel_target, module_target
from htvm_ir.targets.target import BUFFERS, Target
from htvm_ir.tiling.problem import Infeasible, Order, Problem


@dataclass(frozen=True)
class PlanTiles(ModulePass):
    """Sets ``plan`` on every ``accel.dispatch`` to an engine that has none yet; a hand-written plan gets its latency.

    ``seconds`` limits the search for one kernel. ``tiler``: ``optimal``, or HTVM's rules (``dory``; ``none``: without
    its heuristics), whose latency counts on ``explicit-dma{reload=true}``.
    """

    name = "plan-tiles"
    seconds: float = 5.0
    tiler: str = "optimal"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        if self.tiler not in TILERS:
            raise HtvmError(f"no tiler '{self.tiler}'; choose from {', '.join(TILERS)}")
        for dispatch in kernels(op):
            if dispatch.engine_name == CPU:
                continue
            if dispatch.plan is None and self.tiler == "optimal":
                dispatch.plan = plan(dispatch, target, self.seconds)
            elif dispatch.plan is None:
                from htvm_ir.passes.plan_baseline import baseline_plan

                dispatch.plan = baseline_plan(dispatch, target, self.tiler)
            elif isinstance(dispatch.plan, PlanAttr) and not dispatch.plan.latency.data:
                dispatch.plan = priced(dispatch, dispatch.plan, target, reload=self.tiler != "optimal")


def plan(dispatch: DispatchOp, target: Target, seconds: float) -> PlanAttr:
    """The best plan for a kernel under its engine's cost model.

    Raises:
        HtvmError: not even the smallest tile fits.
    """
    engine = target.engine(dispatch.engine_name)
    best = best_variant(engine, fitting_variants(engine, dispatch), kernel_target(dispatch, target), seconds)
    if isinstance(best, Infeasible):
        raise HtvmError(
            f"kernel '{dispatch.kernel.data}': the smallest tile exceeds {best.capacity} by "
            f"{best.missing} bytes; keep it off the engine with --engines"
        )
    workload, solution = best
    sizes = {name: solution.sizes[name] for name in solution.order}
    inputs, constants, output = (solution.sizes.get(name, engine.buffers) for name in BUFFERS)
    depths = (*[inputs] * len(workload.inputs), output)
    return PlanAttr(sizes, depths, solution.latency, solution.proven, workload.mapping, constants)


def priced(dispatch: DispatchOp, written: PlanAttr, target: Target, reload: bool = False) -> PlanAttr:
    """A hand-written plan with the latency the cost model gives it; unchanged if it cannot be obeyed.

    reload: every job loads its input tiles, also those that are there already.
    """
    engine, workload = target.engine(dispatch.engine_name), dispatch_workload(dispatch)
    if check_mapping(engine, dispatch, workload) is not None:
        return written  # apply-plan says why
    problem = engine.problem(workload, target)
    sizes = chosen(problem, written)
    if check_plan(problem, sizes) is not None:
        return written
    cycles = latency(problem, sizes)
    if reload:
        from htvm_ir.passes.plan_baseline import reload_cycles

        cycles += reload_cycles(engine, workload, target, written.tile)
    buffers = written.constant_buffers.data
    return PlanAttr(written.tile, written.depths, cycles, mapping=written.mapping.data, constant_buffers=buffers)


def chosen(problem: Problem, plan: PlanAttr) -> dict[str, int]:
    """What a plan says of the dimensions of a problem, buffers included; all inputs have as many as the first."""
    inputs, output = (plan.depths[0], plan.depths[-1]) if plan.depths else (1, 1)
    buffers = dict(zip(BUFFERS, (inputs, plan.constant_buffers.data, output), strict=True))
    return plan.tile | {name: buffers[name] for name in problem.choices}


def latency(problem: Problem, sizes: Mapping[str, int]) -> int:
    """The cycles of a legal plan."""
    return problem.latency(point(problem, sizes), loop_order(problem, sizes))


def loop_order(problem: Problem, sizes: Mapping[str, int]) -> Order:
    """The loops of a plan; dimensions it does not name are one tile, in the outer loops."""
    loops = [d.name for d in problem.dimensions if d.name not in problem.choices]
    order = (*(n for n in loops if n not in sizes), *(n for n in sizes if n not in problem.choices))
    return order if order in problem.orders else problem.orders[0]


def point(problem: Problem, sizes: Mapping[str, int]) -> dict[str, int]:
    """The candidates that a plan chooses; a dimension it does not name is whole, a number of buffers is one."""
    default = {d.name: 1 if d.name in problem.choices else d.extent for d in problem.dimensions}
    return {d.name: d.sizes.index(sizes.get(d.name, default[d.name])) for d in problem.dimensions}


def check_plan(problem: Problem, sizes: Mapping[str, int]) -> str | None:
    """Why a hand-written plan cannot be obeyed, None if it can."""
    for dimension in problem.dimensions:
        size = sizes.get(dimension.name, 1 if dimension.name in problem.choices else dimension.extent)
        if size not in dimension.sizes:
            return f"{dimension.name} = {size} is not one of the legal sizes {list(dimension.sizes)}"
    candidates = point(problem, sizes)
    for capacity in problem.capacities:
        if (missing := capacity.missing(candidates)) > 0:
            return f"exceeds {capacity.name} by {missing} bytes"
    unknown = set(sizes) - {d.name for d in problem.dimensions}
    return f"unknown dimensions {sorted(unknown)}" if unknown else None
