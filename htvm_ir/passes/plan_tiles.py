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
from htvm_ir.passes.workloads import block_workload, module_target
from htvm_ir.targets.target import BUFFERS, Target
from htvm_ir.tiling.problem import Infeasible, Problem
from htvm_ir.tiling.solve import solve


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
    workload = block_workload(dispatch.body.block)
    solution = solve(engine.problem(workload, target), seconds)
    if isinstance(solution, Infeasible):
        raise HtvmError(
            f"kernel '{dispatch.kernel.data}': the smallest tile exceeds {solution.capacity} by "
            f"{solution.missing} bytes; keep it off the engine with --engines"
        )
    sizes = {name: solution.sizes[name] for name in solution.order}
    inputs, constants, output = (solution.sizes.get(name, engine.buffers) for name in BUFFERS)
    depths = (*[inputs] * len(workload.inputs), output)
    return PlanAttr(sizes, depths, solution.latency, solution.proven, constants)


def priced(dispatch: DispatchOp, written: PlanAttr, target: Target) -> PlanAttr:
    """A hand-written plan with the latency the cost model gives it; unchanged if it cannot be obeyed."""
    problem = target.engine(dispatch.engine_name).problem(block_workload(dispatch.body.block), target)
    sizes = written.tile
    if check_plan(problem, chosen(problem, written)) is not None:
        return written  # apply-plan says why
    loops = [d.name for d in problem.dimensions if d.name not in problem.choices]
    point = point_of(problem, chosen(problem, written))
    order = (*(name for name in loops if name not in sizes), *sizes)
    latency = problem.latency(point, order if order in problem.orders else problem.orders[0])
    return PlanAttr(sizes, written.depths, latency, constant_buffers=written.constant_buffers.data)


def chosen(problem: Problem, plan: PlanAttr) -> dict[str, int]:
    """What a plan says of the dimensions of a problem, buffers included; all inputs have as many as the first."""
    inputs, output = (plan.depths[0], plan.depths[-1]) if plan.depths else (1, 1)
    buffers = dict(zip(BUFFERS, (inputs, plan.constant_buffers.data, output), strict=True))
    return plan.tile | {name: buffers[name] for name in problem.choices}


def point_of(problem: Problem, sizes: Mapping[str, int]) -> dict[str, int]:
    """The candidates that a plan chooses; a dimension it does not name is whole, a number of buffers is one."""
    default = {d.name: 1 if d.name in problem.choices else d.extent for d in problem.dimensions}
    return {d.name: d.sizes.index(sizes.get(d.name, default[d.name])) for d in problem.dimensions}


def check_plan(problem: Problem, sizes: Mapping[str, int]) -> str | None:
    """Why a hand-written plan cannot be obeyed, None if it can."""
    for dimension in problem.dimensions:
        size = sizes.get(dimension.name, 1 if dimension.name in problem.choices else dimension.extent)
        if size not in dimension.sizes:
            return f"{dimension.name} = {size} is not one of the legal sizes {list(dimension.sizes)}"
    point = point_of(problem, sizes)
    for capacity in problem.capacities:
        if (missing := capacity.missing(point)) > 0:
            return f"exceeds {capacity.name} by {missing} bytes"
    unknown = set(sizes) - {d.name for d in problem.dimensions}
    return f"unknown dimensions {sorted(unknown)}" if unknown else None
