"""The legal tile nearest to one that somebody else has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from htvm_ir.tiling.problem import Infeasible, Point, Problem, infeasible


def nearest(problem: Problem, wanted: Mapping[str, int]) -> Point | Infeasible:
    """Return the tile of the problem that is nearest to ``wanted``, sizes by dimension; absent ones are whole.

    The first dimension counts most: of the tiles that fit, the one with the nearest size of it, then of the second,
    and so on; of two equally near sizes the smaller.
    """
    names = [dimension.name for dimension in problem.dimensions]
    ranked: list[list[int]] = []
    for dimension in problem.dimensions:
        goal = wanted.get(dimension.name, dimension.extent)
        order = sorted((abs(size - goal), index) for index, size in enumerate(dimension.sizes))
        ranked.append([index for _, index in order])
    points = (dict(zip(names, indices, strict=True)) for indices in product(*ranked))
    return next((point for point in points if problem.fits(point)), infeasible(problem))
