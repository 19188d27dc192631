"""Remove candidates that cannot be part of any best solution.

A sum of products is bounded from below with one candidate fixed and every other dimension at its
most favourable value. A candidate whose bound breaks a capacity, or is above a latency already
reached, is in no best solution; candidates that could tie are kept. Most layers shrink to a few
tiles this way, at the price of a few table look-ups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from htvm_ir.tiling.problem import Cost, Problem, Product


def merge(term: Product) -> dict[str, tuple[int, ...]]:
    """Return one table per dimension of the product: factors of one dimension multiplied."""
    tables: dict[str, tuple[int, ...]] = {}
    for factor in term.factors:
        old = tables.get(factor.dimension, (1,) * len(factor.table))
        tables[factor.dimension] = tuple(a * b for a, b in zip(old, factor.table, strict=True))
    return tables


def lower_bound(problem: Problem) -> int:
    """Return a latency that no tile goes below: every table at its best value."""
    return min(max(_lowest(chain) for chain in problem.chains(order)) for order in problem.orders)


def prune(problem: Problem, upper: int | None = None) -> Problem | None:
    """Return the problem without hopeless candidates and orders; None if nothing is left.

    `upper` is a latency in cycles that some feasible tile reaches.
    """
    while True:
        orders = tuple(
            order
            for order in problem.orders
            if upper is None or max(_lowest(chain) for chain in problem.chains(order)) <= upper
        )
        smaller: Problem | None = _keep_orders(problem, orders) if orders else None
        for dimension in problem.dimensions:
            if smaller is None:
                return None
            smaller = _keep(smaller, dimension.name, _hopeful(smaller, dimension.name, upper))
        if smaller is None or smaller == problem:
            return smaller
        problem = smaller


def _lowest(terms: Sequence[Product]) -> int:
    return sum(_extreme(term.coefficient, list(merge(term).values())) for term in terms)


def _extreme(coefficient: int, tables: Sequence[tuple[int, ...]]) -> int:
    pick = min if coefficient >= 0 else max
    return coefficient * prod(pick(table) for table in tables)


def _lowest_each(terms: Sequence[Product], name: str, candidates: int) -> list[int]:
    """Return the lower bound of the sum for each candidate of one dimension."""
    bounds = [0] * candidates
    for term in terms:
        tables = merge(term)
        own = tables.pop(name, (1,) * candidates)
        rest = _extreme(term.coefficient, list(tables.values()))
        bounds = [bound + rest * value for bound, value in zip(bounds, own, strict=True)]
    return bounds


def _hopeful(problem: Problem, name: str, upper: int | None) -> list[int]:
    count = next(len(d.sizes) for d in problem.dimensions if d.name == name)
    keep = set(range(count))
    for capacity in problem.capacities:
        bytes_each = _lowest_each(capacity.terms, name, count)
        keep -= {i for i in keep if bytes_each[i] > capacity.limit}
    if upper is None:
        return sorted(keep)
    reachable: set[int] = set()
    for order in problem.orders:
        chains = [_lowest_each(chain, name, count) for chain in problem.chains(order)]
        reachable |= {i for i in keep if all(chain[i] <= upper for chain in chains)}
    return sorted(reachable)


def _keep(problem: Problem, name: str, indices: Sequence[int]) -> Problem | None:
    """Return the problem with only these candidates of one dimension."""
    dimension = next(d for d in problem.dimensions if d.name == name)
    if not indices:
        return None
    if len(indices) == len(dimension.sizes):
        return problem

    def pick(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(values[i] for i in indices)

    def cut(term: Product) -> Product:
        return replace(
            term,
            factors=tuple(replace(f, table=pick(f.table)) if f.dimension == name else f for f in term.factors),
        )

    return replace(
        problem,
        dimensions=tuple(replace(d, sizes=pick(d.sizes)) if d.name == name else d for d in problem.dimensions),
        capacities=tuple(replace(c, terms=tuple(map(cut, c.terms))) for c in problem.capacities),
        costs=tuple(replace(c, terms=tuple(map(cut, c.terms))) for c in problem.costs),
        pipeline=None if problem.pipeline is None else problem.pipeline.keep(name, indices),
    )


def _keep_orders(problem: Problem, orders: Sequence[tuple[str, ...]]) -> Problem:
    """Return the problem with only these loop orders."""
    if len(orders) == len(problem.orders):
        return problem

    def cut(cost: Cost) -> Cost:
        if cost.orders is None:
            return cost
        return replace(cost, orders=tuple(order for order in cost.orders if order in orders))

    return replace(problem, orders=tuple(orders), costs=tuple(map(cut, problem.costs)))
