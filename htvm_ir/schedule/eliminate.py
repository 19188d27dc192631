"""The least of a sum of costs, each of which depends on few of many choices: one choice after the other is eliminated.

What the choices that remain cost with the best value of an eliminated one is a table over its neighbours. In a network
few tensors are alive between two kernels, so these tables stay small and the time grows with the number of kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

LARGEST_TABLE = 2**16
"""Entries of a table beyond which other methods are quicker (model choice)."""

MOST_AXES = 32
"""Of a table; numpy has little more."""

Scope = tuple[int, ...]
"""Numbers of choices, ascending."""


@dataclass(frozen=True)
class Cost:
    """A cost for each combination of values of the choices in ``scope``, an axis for each."""

    scope: Scope
    table: NDArray[np.int64]


def least(sizes: Sequence[int], costs: Sequence[Cost]) -> list[int] | None:
    """Return the values of least total cost, choice n having ``sizes[n]`` values; None if a table gets too large.

    Exact; of equal ones the last choice has its first value, then the one before, and so on.
    """
    waiting: list[list[Cost]] = [[] for _ in sizes]
    for cost in costs:
        if cost.scope:
            waiting[cost.scope[0]].append(cost)
    best: list[Cost] = []
    for number, mine in enumerate(waiting):
        scope = tuple(sorted({number}.union(*(cost.scope for cost in mine))))
        if is_large([sizes[n] for n in scope]):
            return None
        table = np.zeros([sizes[n] for n in scope], np.int64)
        for cost in mine:
            table += _spread(cost, scope)
        rest = scope[1:]
        best.append(Cost(rest, np.argmin(table, axis=0)))
        if rest:
            waiting[rest[0]].append(Cost(rest, table.min(axis=0)))
    values = [0] * len(sizes)
    for number in reversed(range(len(sizes))):
        known = best[number]
        values[number] = int(known.table[tuple(values[n] for n in known.scope)])
    return values


def is_large(shape: Sequence[int]) -> bool:
    """Whether a table of this shape is not worth having."""
    return len(shape) > MOST_AXES or prod(shape) > LARGEST_TABLE


def _spread(cost: Cost, scope: Scope) -> NDArray[np.int64]:
    """Return a table with an axis for each choice of a larger scope, of extent 1 for those it does not depend on."""
    extents = dict(zip(cost.scope, cost.table.shape, strict=True))
    return cost.table.reshape([extents.get(number, 1) for number in scope])
