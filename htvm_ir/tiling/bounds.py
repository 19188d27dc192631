"""Lower bounds of a pipeline's cycles as sums of products: every chain of events that must follow one another.

- the first loads, every job, the last store, and all transfers of the operands that have one buffer, of one port;
- every load of an operand, the jobs that need the last one, the last store;
- the first loads of one port, the first job, every store;
- every transfer of one port;
- what the CPU does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from htvm_ir.tiling.pipeline import Operand, Pipeline, Term
from htvm_ir.tiling.problem import Cost, Dimension, Factor, Order, Product

ALL, FIRST, LAST = slice(None), slice(1), slice(-1, None)
"""Tiles of a dimension."""

Terms = list[Product]


@dataclass(frozen=True)
class Bounds:
    """The chains of one pipeline. loops: the dimensions that are tiled. deepest: the most buffers there may be."""

    pipeline: Pipeline
    loops: tuple[Dimension, ...]
    deepest: int

    def costs(self, orders: Sequence[Order]) -> tuple[Cost, ...]:
        """Every chain, under the orders of the loops it holds for."""
        return tuple(Cost(name, tuple(terms), (order,)) for order in orders for name, terms in self._chains(order))

    def _chains(self, order: Order) -> Iterator[tuple[str, Terms]]:
        software, store = self.pipeline.software, self.pipeline.store
        opening = software.kernel + (software.transfer if self.pipeline.loads else 0)
        edges = Product(opening + (software.transfer + software.wait if store else 0))
        last_store = self._stores(dict.fromkeys(order, LAST))
        for load in self.pipeline.loads:
            all_loads = self._loads(load, load.cycles, order)
            moves = max((number for number, name in enumerate(order) if name in load.moved_by), default=-1)
            tail = self._jobs(dict.fromkeys(order[: moves + 1], LAST))
            gaps = self._gaps(load, self._loads(replace(load, count=1), ((1, ()),), order))
            yield load.name, [edges, *all_loads, *gaps, *tail, *last_store]
        ports = {operand.port for operand in (*self.pipeline.loads, store) if operand is not None}
        for port in sorted(ports) or [""]:
            yield from self._port_chains(port, order, opening, edges)
        yield "cpu", [Product(software.kernel), *self._cpu(order)]

    def _port_chains(self, port: str, order: Order, opening: int, edges: Product) -> Iterator[tuple[str, Terms]]:
        """The chains with transfers of several operands: only those of one port take turns."""
        store = self.pipeline.store
        stores, last_store = (self._stores(tiles) for tiles in ({}, dict.fromkeys(order, LAST)))
        loads = [load for load in self.pipeline.loads if load.port == port]
        stores_here = store is not None and store.port == port
        serial = [*(self._buffered(store, stores, last_store) if stores_here else last_store), *self._starts()]
        first: Terms = []
        transfers = [Product(opening), *(stores if stores_here else [])]
        for load in loads:
            all_loads, first_load = self._loads(load, load.cycles, order), self._first(load)
            serial += self._buffered(load, all_loads, first_load)
            first += first_load
            transfers += all_loads
        yield _chain("jobs", port), [edges, *self._jobs({}), *serial]
        if store is not None:
            yield _chain(store.name, port), [edges, *first, *self._jobs(dict.fromkeys(order, FIRST)), *stores]
        yield _chain("transfers", port), transfers

    def _stores(self, chosen: Mapping[str, slice]) -> Terms:
        return [] if self.pipeline.store is None else self._tiles(self.pipeline.store.cycles, chosen)

    def _buffered(self, operand: Operand | None, all_transfers: Terms, edge: Terms) -> Terms:
        """The transfers no job runs beside: all with one buffer, the first load or the last store with more."""
        if operand is None:
            return []
        return [*self._with(all_transfers, operand, 1, 0, 0), *self._with(edge, operand, 0, 1, 1)]

    def _jobs(self, chosen: Mapping[str, slice]) -> Terms:
        software = self.pipeline.software
        return self._tiles((*self.pipeline.job, (software.job + software.wait, ())), chosen)

    def _starts(self) -> Terms:
        """Starts of stores between jobs: with three buffers they are beside the next job."""
        transfer, store = self.pipeline.software.transfer, self.pipeline.store
        if store is None:
            return []
        return self._with([*self._tiles(((transfer, ()),), {}), Product(-2 * transfer)], store, 1, 1, 0)

    def _first(self, load: Operand) -> Terms:
        return self._tiles(_times(load.count, load.cycles), {d.name: FIRST for d in self.loops})

    def _with(self, terms: Terms, operand: Operand, *table: int) -> Terms:
        """Terms that count for some numbers of buffers only."""
        depth = Factor(operand.name, table[: self.deepest])
        return [Product(term.coefficient, (*term.factors, depth)) for term in terms]

    def _gaps(self, operand: Operand, count: Terms) -> Terms:
        """With two buffers a transfer waits until the job after the one that left its buffer has been started."""
        software = self.pipeline.software
        each = software.transfer + software.job + software.wait
        terms = [Product(each * term.coefficient, term.factors) for term in count]
        return self._with([*terms, Product(-2 * each)], operand, 0, 1, 0)

    def _cpu(self, order: Order) -> Iterator[Product]:
        software = self.pipeline.software
        store = software.transfer if self.pipeline.store else 0
        yield from self._tiles(((software.job + software.wait + store, ()),), {})
        for load in self.pipeline.loads:
            yield from self._loads(load, ((software.transfer, ()),), order)

    def _loads(self, load: Operand, terms: Sequence[Term], order: Order) -> Terms:
        """A sum over all loads: a part stays while only loops inside of those that move it advance."""
        result = self._tiles(_times(load.count, terms), {}, load.moved_by)
        for number, name in enumerate(order):
            inner = [n for n in order[number + 1 :] if n in load.moved_by]
            if name in load.moved_by or not inner:
                continue
            counts = {d.name: d.counts() for d in self.loops}
            again = [Factor(name, tuple(count - 1 for count in counts[name]))]
            again += [Factor(n, tuple(int(count > 1) for count in counts[n])) for n in inner]
            result += [Product(t.coefficient, (*t.factors, *again)) for t in result]
        return result

    def _tiles(self, terms: Sequence[Term], chosen: Mapping[str, slice], loops: Sequence[str] | None = None) -> Terms:
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
        yield sum(prod(table[index][tile] for table in tables) for tile in range(count)[chosen])


def _chain(what: str, port: str) -> str:
    return f"{what} by {port}" if port else what


def _times(count: int, terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple((count * coefficient, parts) for coefficient, parts in terms)
