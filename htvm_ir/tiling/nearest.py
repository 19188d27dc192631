"""The legal tile nearest to one that somebody else has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from htvm_ir.tiling.problem import Infeasible, Point, Problem, infeasible


def nearest(problem: Problem, wanted: Mapping[str, int]) -> Point | Infeasible:
    """Return the tile of the problem that is nearest to ``wanted``, sizes by dimension; absent ones are whole.

    Dimensions that are wanted whole count most, then the first of the problem: of the tiles that fit, the one with the
    nearest size of that, then of the next, and so on; of two equally near sizes the smaller.
    """
    goals = {d.name: wanted.get(d.name, d.extent) for d in problem.dimensions}
    dimensions = sorted(problem.dimensions, key=lambda d: goals[d.name] < d.extent)
    ranked: list[list[int]] = []
    for dimension in dimensions:
        order = sorted((abs(size - goals[dimension.name]), index) for index, size in enumerate(dimension.sizes))
        ranked.append([index for _, index in order])
    points = (dict(zip((d.name for d in dimensions), indices, strict=True)) for indices in product(*ranked))
    return next((point for point in points if problem.fits(point)), infeasible(problem))
