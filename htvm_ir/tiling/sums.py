"""Sums over the tiles of a nest as sums of products of the values that each dimension's candidates have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from htvm_ir.tiling.pipeline import Operand, Term
from htvm_ir.tiling.problem import Dimension, Factor, Order, Product

ALL, FIRST, LAST = slice(None), slice(1), slice(-1, None)
"""Tiles of a dimension."""

Terms = list[Product]


@dataclass(frozen=True)
class Sums:
    """loops: the dimensions that are tiled. deepest: the most buffers there may be."""

    loops: tuple[Dimension, ...]
    deepest: int

    def buffered(self, operand: Operand | None, all_transfers: Terms, edge: Terms) -> Terms:
        """The transfers no job runs beside: all with one buffer, the first load or the last store with more."""
        if operand is None:
            return []
        return [*self.for_depths(all_transfers, operand, 1, 0, 0), *self.for_depths(edge, operand, 0, 1, 1)]

    def first(self, load: Operand) -> Terms:
        return self.tiles(_times(load.count, load.cycles), {d.name: FIRST for d in self.loops})

    def for_depths(self, terms: Terms, operand: Operand, *table: int) -> Terms:
        """Terms that count for some numbers of buffers only."""
        depth = Factor(operand.name, table[: self.deepest])
        return [Product(term.coefficient, (*term.factors, depth)) for term in terms]

    def loads(self, load: Operand, terms: Sequence[Term], order: Order) -> Terms:
        """A sum over all loads: a part stays while only loops inside of those that move it advance."""
        result = self.tiles(_times(load.count, terms), {}, load.moved_by)
        for number, name in enumerate(order):
            inner = [n for n in order[number + 1 :] if n in load.moved_by]
            if name in load.moved_by or not inner:
                continue
            counts = {d.name: d.counts() for d in self.loops}
            again = [Factor(name, tuple(count - 1 for count in counts[name]))]
            again += [Factor(n, tuple(int(count > 1) for count in counts[n])) for n in inner]
            result += [Product(t.coefficient, (*t.factors, *again)) for t in result]
        return result

    def tiles(self, terms: Sequence[Term], chosen: Mapping[str, slice], loops: Sequence[str] | None = None) -> Terms:
        """A sum over the tiles that are chosen of each dimension (all, if nothing is said) of some loops."""
        result: Terms = []
        for coefficient, parts in terms:
            factors: list[Factor] = []
            for dimension in self.loops:
                if loops is not None and dimension.name not in loops:
                    continue
                tables = [part.tables for part in parts if part.dimension == dimension.name]
                values = _sums(tables, dimension, chosen.get(dimension.name, ALL))
                factors.append(Factor(dimension.name, tuple(values)))
            result.append(Product(coefficient, tuple(factors)))
        return result


def _sums(tables: Sequence[tuple[tuple[int, ...], ...]], dimension: Dimension, chosen: slice) -> Iterator[int]:
    """For each candidate the sum over its chosen tiles of the product of the tables."""
    for index, count in enumerate(dimension.counts()):
        factors = [table[index][:count][chosen] for table in tables]
        yield sum(map(prod, zip(*factors, strict=True))) if factors else len(range(count)[chosen])


def _times(count: int, terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple((count * coefficient, parts) for coefficient, parts in terms)
