"""Try every tile and every order at once, as arrays: what `brute_force` does, for problems of up to a million tiles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import NDArray

from htvm_ir.cpsat import LARGEST
from htvm_ir.tiling.problem import Factor, Infeasible, Order, Point, Problem, Product, Solution, infeasible

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
    sums = _Sums(problem)
    for capacity in problem.capacities:
        fits &= sums.of(capacity.terms) <= capacity.limit
    if not fits.any():
        return infeasible(problem)
    # The orders are the last axis: ties go to the preferred tile, then to the first order.
    cycles = np.stack([np.broadcast_to(_longest(sums, group), shape) for group in chains], axis=-1)
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


def _longest(sums: _Sums, chains: Sequence[Sequence[Product]]) -> Grid | int:
    return reduce(np.maximum, map(sums.of, chains))


class _Sums:
    """Sums of products for every tile of a problem; axes they do not depend on have extent 1.

    A product is multiplied out once, however many sums of the problem it is part of.
    """

    def __init__(self, problem: Problem):
        ones = (1,) * len(problem.dimensions)
        self._shapes = {d.name: (*ones[:n], -1, *ones[n + 1 :]) for n, d in enumerate(problem.dimensions)}
        self._steps = {d.name: problem.preference(d).step for d in problem.dimensions}
        self._products: dict[int, tuple[Product, Grid | int]] = {}

    def of(self, terms: Sequence[Product]) -> Grid | int:
        """One sum."""
        return sum((self._product(term) for term in terms), start=0)

    def _product(self, term: Product) -> Grid | int:
        known = self._products.get(id(term))
        if known is None:
            value: Grid | int = term.coefficient
            for factor in term.factors:
                value = value * self._axis(factor)
            known = self._products[id(term)] = term, value  # kept, so that its identity stays its own
        return known[1]

    def _axis(self, factor: Factor) -> Grid:
        """A table along the axis of its dimension, in order of preference."""
        ascending = np.array(factor.table, np.int64).reshape(self._shapes[factor.dimension])
        return ascending if self._steps[factor.dimension] > 0 else np.flip(ascending)
