"""Try every tile and every order at once, as arrays: what `brute_force` does, for problems of up to a million tiles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import NDArray

from htvm_ir.cpsat import LARGEST
from htvm_ir.tiling.problem import Infeasible, Order, Point, Problem, Product, Solution, infeasible

Grid = NDArray[np.int64]
"""A value for each tile: one axis for each dimension, candidates in order of preference."""


def evaluate_all(problem: Problem, seconds: float) -> Solution | Infeasible | None:
    """Return the best solution; None if the numbers may exceed 2**60.

    It is proven unless the problem has a pipeline and running the promising ones takes longer than ``seconds``.
    """
    chains = [problem.chains(order) for order in problem.orders]
    capacities = [capacity.terms for capacity in problem.capacities]
    if any(map(_is_large, (*capacities, *(chain for group in chains for chain in group)))):
        return None
    shape = tuple(len(d.sizes) for d in problem.dimensions)
    fits = np.ones(shape, np.bool_)
    for capacity in problem.capacities:
        fits &= _sum(problem, capacity.terms) <= capacity.limit
    if not fits.any():
        return infeasible(problem)
    # The orders are the last axis: ties go to the preferred tile, then to the first order.
    cycles = np.stack([np.broadcast_to(_longest(problem, group), shape) for group in chains], axis=-1)
    bounds = np.where(fits[..., None], cycles, LARGEST)
    if problem.pipeline is not None:
        return _run_promising(problem, bounds, seconds)
    place = int(np.argmin(bounds))  # the first
    latency = int(bounds.reshape(-1)[place])
    return _solution(problem, bounds, place, latency, latency)


def _run_promising(problem: Problem, bounds: Grid, seconds: float) -> Solution:
    """Run the pipeline for one choice after the other, the least bounds first, until no bound can better the result."""
    started, flat = time.monotonic(), bounds.reshape(-1)
    best: tuple[int, int] | None = None
    for place in np.argsort(flat, kind="stable").tolist():
        bound = int(flat[place])
        if best is not None and (bound > best[0] or time.monotonic() - started > seconds):
            return _solution(problem, bounds, best[1], best[0], min(bound, best[0]))
        found = problem.latency(*_choice(problem, bounds, place)), place
        best = found if best is None else min(best, found)
    assert best is not None
    return _solution(problem, bounds, best[1], best[0], best[0])


def _choice(problem: Problem, bounds: Grid, place: int) -> tuple[Point, Order]:
    """The tile and the order at a place of the flat grid."""
    *indices, order = np.unravel_index(place, bounds.shape)
    point = {d.name: problem.preference(d)[int(i)] for d, i in zip(problem.dimensions, indices, strict=True)}
    return point, problem.orders[int(order)]


def _solution(problem: Problem, bounds: Grid, place: int, latency: int, bound: int) -> Solution:
    point, order = _choice(problem, bounds, place)
    return Solution(problem.sizes(point), order, latency, bound == latency, bound)


def _is_large(terms: Sequence[Product]) -> bool:
    return sum(abs(t.coefficient) * prod(max(f.table) for f in t.factors) for t in terms) >= LARGEST


def _longest(problem: Problem, chains: Sequence[Sequence[Product]]) -> Grid:
    return reduce(np.maximum, (_sum(problem, chain) for chain in chains))


def _sum(problem: Problem, terms: Sequence[Product]) -> Grid:
    """The value of a sum for every tile; axes it does not depend on have extent 1."""
    total = np.zeros((1,) * len(problem.dimensions), np.int64)
    for term in terms:
        value = np.full((1,) * len(problem.dimensions), term.coefficient, np.int64)
        for factor in term.factors:
            value = value * _axis(problem, factor.dimension, factor.table)
        total = total + value
    return total


def _axis(problem: Problem, name: str, table: Sequence[int]) -> Grid:
    """A table along the axis of its dimension."""
    index = next(i for i, d in enumerate(problem.dimensions) if d.name == name)
    preferred = [table[i] for i in problem.preference(problem.dimensions[index])]
    shape = [1] * len(problem.dimensions)
    shape[index] = len(table)
    return np.array(preferred, np.int64).reshape(shape)
