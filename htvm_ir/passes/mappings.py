"""The ways in which an engine can compute a workload, solved and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from htvm_ir.dialects.accel import DispatchOp
from htvm_ir.passes.tiling_problems import problem_of, solved
from htvm_ir.passes.workloads import block_layouts, dispatch_workload
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible, Solution, infeasible

Layouts = tuple[Layout, ...]
"""Of the inputs, then of the output."""


def variants(engine: Engine, workload: Workload) -> Iterator[Workload]:
    """The workload under each of the engine's mappings, the usual one first."""
    return (replace(workload, mapping=name) for name in engine.mappings(workload))


def by_layouts(engine: Engine, workload: Workload) -> dict[Layouts, list[Workload]]:
    """The variants by the layouts of their operands, the usual ones first."""
    found: dict[Layouts, list[Workload]] = {}
    for variant in variants(engine, workload):
        found.setdefault(engine.layouts(variant), []).append(variant)
    return found


def usual_variants(engine: Engine, workload: Workload) -> Iterator[Workload]:
    """The variants that read and write the engine's usual layouts, which are those of the first."""
    candidates = variants(engine, workload)
    yield (first := next(candidates))
    layouts = engine.layouts(first)
    yield from (variant for variant in candidates if engine.layouts(variant) == layouts)


def savings(engine: Engine, workload: Workload, target: Target, seconds: float) -> dict[Layouts, int]:
    """Cycles that other layouts of the operands save, or lose, against the usual ones.

    Activations that may stay in local memory are taken to stay there: what their transfers cost decides nothing then.
    """
    usual, *others = by_layouts(engine, workload).items()
    found: dict[Layouts, int] = {}
    for layouts, candidates in others:
        for resident in (engine.may_stay(workload), frozenset[int]()):
            pair = [
                best_variant(engine, [replace(w, resident=resident) for w in variants], target, seconds)
                for variants in (usual[1], candidates)
            ]
            before, after = (None if isinstance(best, Infeasible) else best[1].latency for best in pair)
            if before is not None and after is not None:
                found[layouts] = before - after
                break
    return found


def fitting_variants(engine: Engine, dispatch: DispatchOp) -> list[Workload]:
    """The variants that read and write the layouts of a kernel's tensors, or if none does the usual ones."""
    workload, layouts = dispatch_workload(dispatch), block_layouts(dispatch.body.block)
    fitting = [variant for variant in variants(engine, workload) if engine.layouts(variant) == layouts]
    return fitting or list(usual_variants(engine, workload))


def check_mapping(engine: Engine, dispatch: DispatchOp, workload: Workload) -> str | None:
    """Why an engine cannot compute a kernel's workload by the mapping that it names, None if it can."""
    known = engine.mappings(workload)
    if workload.mapping not in ("", *known):
        return f"mapping '{workload.mapping}' is not one of {[name for name in known if name]}"
    named = replace(workload, mapping=workload.mapping or known[0])
    if engine.layouts(named) == block_layouts(dispatch.body.block):
        return None
    fitting = [variant.mapping for variant in fitting_variants(engine, dispatch)]
    if named.mapping not in fitting:
        return f"mapping '{workload.mapping}' reads or writes other layouts than the tensors have; {fitting} fit"
    return None


def best_variant(
    engine: Engine, candidates: Iterable[Workload], target: Target, seconds: float
) -> tuple[Workload, Solution] | Infeasible:
    """The variant that costs least with its solved tiling; the first among equals.

    What it costs: the predicted cycles, and the target's price of the constants. ``seconds`` limits each search.
    """
    found: list[tuple[float, Workload, Solution]] = []
    lacking: list[Infeasible] = []
    for variant in candidates:
        solution = solved(engine, variant, target, seconds)
        if isinstance(solution, Infeasible):
            lacking.append(solution)
        else:
            found.append((solution.latency + constants_cost(engine, variant, target), variant, solution))
    if not found:
        return min(lacking, key=lambda reason: reason.missing)
    _, variant, solution = min(found, key=lambda entry: entry[0])
    return variant, solution


def constants_cost(engine: Engine, workload: Workload, target: Target) -> float:
    """Cycles that the packed constants of a workload count for."""
    _, size = engine.packed_range(workload, {})
    return target.constant_price * size


def lacking(engine: Engine, workload: Workload, target: Target) -> Infeasible | None:
    """By how much the smallest tile exceeds a memory under the most frugal mapping of the usual layouts.

    None if under some of them it does not.
    """
    reasons: list[Infeasible] = []
    for variant in usual_variants(engine, workload):
        reasons.append(infeasible(problem_of(engine, variant, target)))
        if reasons[-1].missing <= 0:
            return None
    return min(reasons, key=lambda reason: reason.missing)
