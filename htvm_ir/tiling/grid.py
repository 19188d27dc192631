"""Try every tile and every order at once, as arrays: what `brute_force` does, for problems of up to a million tiles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import NDArray

from htvm_ir.cpsat import LARGEST
from htvm_ir.tiling.problem import Infeasible, Problem, Product, Solution, infeasible

Grid = NDArray[np.int64]
"""A value for each tile: one axis for each dimension, candidates in order of preference."""


def evaluate_all(problem: Problem) -> Solution | Infeasible | None:
    """Return the best solution, always proven; None if the numbers may exceed 2**60."""
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
    latencies = [np.broadcast_to(_longest(problem, group), shape) for group in chains]
    best = np.where(fits, reduce(np.minimum, latencies), LARGEST)
    place = np.unravel_index(int(np.argmin(best)), shape)  # the first, so the preferred one among equals
    point = {d.name: problem.preference(d)[int(i)] for d, i in zip(problem.dimensions, place, strict=True)}
    latency = int(best[place])
    order = next(o for o, cycles in zip(problem.orders, latencies, strict=True) if int(cycles[place]) == latency)
    return Solution(problem.sizes(point), order, latency, True, latency)


def _is_large(terms: Sequence[Product]) -> bool:
    return sum(abs(t.coefficient) * prod(max(f.table) for f in t.factors) for t in terms) >= LARGEST


def _longest(problem: Problem, chains: Sequence[Sequence[Product]]) -> Grid:
    return reduce(np.maximum, (_sum(problem, chain) for chain in chains))


def _sum(problem: Problem, terms: Sequence[Product]) -> Grid:
    """The value of a sum for every tile; axes it does not depend on have extent 1."""
    total = np.zeros((1,) * len(problem.dimensions), np.int64)
    for term in terms:
        value = np.full_like(total, term.coefficient, shape=(1,) * len(problem.dimensions))
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
