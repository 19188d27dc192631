"""The ways in which an engine can compute a workload, solved and compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible, Solution, infeasible
from htvm_ir.tiling.solve import solve


def variants(engine: Engine, workload: Workload) -> Iterator[Workload]:
    """The workload under each of the engine's mappings, the usual one first."""
    return (replace(workload, mapping=name) for name in engine.mappings(workload))


def best_variant(
    engine: Engine, workload: Workload, target: Target, seconds: float
) -> tuple[Workload, Solution] | Infeasible:
    """The variant that costs least with its solved tiling; the first among equals.

    What it costs: the predicted cycles, and the target's price of the constants. ``seconds`` limits each search.
    """
    found: list[tuple[float, Workload, Solution]] = []
    lacking: list[Infeasible] = []
    for variant in variants(engine, workload):
        solution = solve(engine.problem(variant, target), seconds)
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


def lacking(engine: Engine, workload: Workload, target: Target) -> Infeasible:
    """By how much the smallest tile exceeds a memory under the most frugal mapping; zero or less if it fits."""
    reasons = (infeasible(engine.problem(variant, target)) for variant in variants(engine, workload))
    return min(reasons, key=lambda reason: reason.missing)
