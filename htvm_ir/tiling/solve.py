"""The exact tiling solver: try all tiles; of too many prune the hopeless ones, and hand what is left to CP-SAT."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from htvm_ir.cpsat import LARGEST
from htvm_ir.errors import HtvmError
from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.grid import evaluate_all
from htvm_ir.tiling.problem import (
    Infeasible,
    Point,
    Problem,
    Solution,
    candidate_count,
    infeasible,
)
from htvm_ir.tiling.prune import lower_bound, prune

Hint: TypeAlias = tuple[tuple[str, int], ...]

ENUMERATE_UP_TO = 256
"""Tiles that are quicker to try one by one than to load CP-SAT for (model choice)."""

EVALUATE_UP_TO = 100_000
"""Tiles that are quicker to try as arrays, even before hopeless ones are removed (model choice)."""


def solve(
    problem: Problem,
    seconds: float = 5.0,
    hint: Mapping[str, int] | None = None,
    enumerate_up_to: int = ENUMERATE_UP_TO,
) -> Solution | Infeasible:
    """Return the tile and order of least latency; deterministic.

    `hint` is a tile to start from, as sizes by dimension; sizes that are no candidates and tiles
    that do not fit are ignored. At the time limit the best tile found is returned with
    `proven=False`. Raises HtvmError if the limit ends the search before any tile is found, or if
    the numbers exceed 2**60.
    """
    return _solve(problem, seconds, None if hint is None else tuple(hint.items()), enumerate_up_to)


@lru_cache(maxsize=1024)
def _solve(problem: Problem, seconds: float, hint: Hint | None, enumerate_up_to: int) -> Solution | Infeasible:
    """`solve`, once for layers that pose the same problem."""
    started = time.monotonic()
    if problem.pipeline is None and enumerate_up_to and candidate_count(problem) <= EVALUATE_UP_TO:
        found = evaluate_all(problem, seconds)
        if found is not None:
            return found
    hopeful = prune(problem)
    if hopeful is None:
        return infeasible(problem)
    if problem.pipeline is not None:
        found = evaluate_all(hopeful, seconds)
        if found is None:
            raise HtvmError("tiling: cycles of a pipeline can exceed 2**60; state them in a larger unit")
        return found if isinstance(found, Solution) else infeasible(problem)
    start = _start(hopeful, None if hint is None else dict(hint))
    if start is not None:
        preferred = {d.name: d.sizes[problem.preference(d)[0]] for d in problem.dimensions}
        if start.sizes == preferred and start.latency == start.bound:
            return replace(start, proven=True)
        hopeful = _pruned(hopeful, start.latency)
    if candidate_count(hopeful) <= enumerate_up_to:
        best = brute_force(hopeful)
        return best if isinstance(best, Solution) else infeasible(problem)
    if enumerate_up_to and candidate_count(hopeful) <= EVALUATE_UP_TO:
        found = evaluate_all(hopeful, seconds)
        if found is not None:
            return found if isinstance(found, Solution) else infeasible(problem)
    best = _fastest(hopeful, start, seconds)
    if best is None:
        return infeasible(problem)
    if not best.proven:
        return best
    ties = _pruned(hopeful, best.latency)
    if candidate_count(ties) <= enumerate_up_to:
        return brute_force(ties)
    return _largest(ties, best, max(seconds - (time.monotonic() - started), 0.1))


def _pruned(problem: Problem, reached: int) -> Problem:
    """Prune with a latency that a tile of the problem reaches: that tile always stays."""
    smaller = prune(problem, reached)
    assert smaller is not None
    return smaller


def _start(problem: Problem, hint: Mapping[str, int] | None) -> Solution | None:
    """Return a local optimum near the best of: the largest tile, the hint, the smallest tile."""
    points: list[Point] = [{d.name: problem.preference(d)[0] for d in problem.dimensions}]
    if hint is not None and all(hint.get(d.name) in d.sizes for d in problem.dimensions):
        points.append({d.name: d.sizes.index(hint[d.name]) for d in problem.dimensions})
    points.append({d.name: 0 for d in problem.dimensions})
    fitting = [point for point in points if problem.fits(point)]
    if not fitting:
        return None
    point = min(fitting, key=lambda point: _latency(problem, point))
    latency = _latency(problem, point)
    bound = lower_bound(problem)
    improved = latency > bound
    while improved:
        improved = False
        for dimension in problem.dimensions:
            for index in range(len(dimension.sizes)):
                other = {**point, dimension.name: index}
                if problem.fits(other) and _latency(problem, other) < latency:
                    point, latency, improved = other, _latency(problem, other), True
    return _solution(problem, point, bound)


def _latency(problem: Problem, point: Point) -> int:
    return min(problem.latency(point, order) for order in problem.orders)


def _solution(problem: Problem, point: Point, bound: int) -> Solution:
    """Return the choice with its best order, not proven."""
    order = min(problem.orders, key=lambda order: problem.latency(point, order))
    latency = problem.latency(point, order)
    return Solution(problem.sizes(point), order, latency, proven=False, bound=bound)


def _fastest(problem: Problem, start: Solution | None, seconds: float) -> Solution | None:
    """Let CP-SAT minimise the latency; None if it proves that no tile fits."""
    from htvm_ir.tiling.model import TilingModel

    low, high = lower_bound(problem), start.latency if start else LARGEST
    tiling = TilingModel.of(problem, low, high)
    if start is not None:
        tiling.hint(start)
    outcome = tiling.fastest(seconds)
    if outcome.status == "infeasible":
        return None
    if outcome.values:
        found = _solution(problem, tiling.point(outcome), max(low, outcome.bound))
        return replace(found, proven=found.latency == found.bound)
    if start is None:
        raise HtvmError(f"tiling: no tile found in {seconds:g} s; allow the tiler more time")
    return replace(start, bound=max(low, outcome.bound))


def _largest(problem: Problem, best: Solution, seconds: float) -> Solution:
    """Let CP-SAT choose among the tiles of the least latency."""
    from htvm_ir.tiling.model import TilingModel

    tiling = TilingModel.of(problem, best.latency, best.latency)
    tiling.hint(best)
    outcome = tiling.largest(seconds)
    if not outcome.values:
        return best
    found = _solution(problem, tiling.point(outcome), best.bound)
    return replace(found, proven=True)
