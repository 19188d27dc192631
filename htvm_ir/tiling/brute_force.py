"""Try every tile and every order: the definition that the solver is tested against."""

from __future__ import annotations

import itertools

from htvm_ir.tiling.problem import Infeasible, Problem, Solution, infeasible


def brute_force(problem: Problem) -> Solution | Infeasible:
    """Return the best solution, always proven; time grows with the product of the candidates."""
    names = [dimension.name for dimension in problem.dimensions]
    preferred = [problem.preference(d) for d in problem.dimensions]
    best: Solution | None = None
    for indices in itertools.product(*preferred):
        point = dict(zip(names, indices, strict=True))
        if not problem.fits(point):
            continue
        for order in problem.orders:
            latency = problem.latency(point, order)
            if best is None or latency < best.latency:
                best = Solution(problem.sizes(point), order, latency, True, latency)
    return best or infeasible(problem)
