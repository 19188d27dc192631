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

from htvm_ir.tiling.pipeline import Operand, Pipeline
from htvm_ir.tiling.problem import Cost, Order, Product
from htvm_ir.tiling.sums import FIRST, LAST, Sums, Terms


@dataclass(frozen=True)
class Bounds(Sums):
    """The chains of one pipeline."""

    pipeline: Pipeline

    def costs(self, orders: Sequence[Order]) -> tuple[Cost, ...]:
        """Every chain, under the orders of the loops it holds for."""
        return tuple(Cost(name, tuple(terms), (order,)) for order in orders for name, terms in self._chains(order))

    def _chains(self, order: Order) -> Iterator[tuple[str, Terms]]:
        software, store = self.pipeline.software, self.pipeline.store
        opening = software.kernel + (software.transfer if self.pipeline.loads else 0)
        edges = Product(opening + (software.transfer + software.wait if store else 0))
        last_store = self._stores(dict.fromkeys(order, LAST))
        for load in self.pipeline.loads:
            all_loads = self.loads(load, load.cycles, order)
            moves = max((number for number, name in enumerate(order) if name in load.moved_by), default=-1)
            tail = self._jobs(dict.fromkeys(order[: moves + 1], LAST))
            gaps = self._gaps(load, self.loads(replace(load, count=1), ((1, ()),), order))
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
        serial = [*(self.buffered(store, stores, last_store) if stores_here else last_store), *self._starts()]
        first: Terms = []
        transfers = [Product(opening), *(stores if stores_here else [])]
        for load in loads:
            all_loads, first_load = self.loads(load, load.cycles, order), self.first(load)
            serial += self.buffered(load, all_loads, first_load)
            first += first_load
            transfers += all_loads
        yield _chain("jobs", port), [edges, *self._jobs({}), *serial]
        if store is not None:
            yield _chain(store.name, port), [edges, *first, *self._jobs(dict.fromkeys(order, FIRST)), *stores]
        yield _chain("transfers", port), transfers

    def _stores(self, chosen: Mapping[str, slice]) -> Terms:
        return [] if self.pipeline.store is None else self.tiles(self.pipeline.store.cycles, chosen)

    def _jobs(self, chosen: Mapping[str, slice]) -> Terms:
        software = self.pipeline.software
        return self.tiles((*self.pipeline.job, (software.job + software.wait, ())), chosen)

    def _starts(self) -> Terms:
        """Starts of stores between jobs: with three buffers they are beside the next job."""
        transfer, store = self.pipeline.software.transfer, self.pipeline.store
        if store is None:
            return []
        return self.for_depths([*self.tiles(((transfer, ()),), {}), Product(-2 * transfer)], store, 1, 1, 0)

    def _gaps(self, operand: Operand, count: Terms) -> Terms:
        """With two buffers a transfer waits until the job after the one that left its buffer has been started."""
        software = self.pipeline.software
        each = software.transfer + software.job + software.wait
        terms = [Product(each * term.coefficient, term.factors) for term in count]
        return self.for_depths([*terms, Product(-2 * each)], operand, 0, 1, 0)

    def _cpu(self, order: Order) -> Iterator[Product]:
        software = self.pipeline.software
        store = software.transfer if self.pipeline.store else 0
        yield from self.tiles(((software.job + software.wait + store, ()),), {})
        for load in self.pipeline.loads:
            yield from self.loads(load, ((software.transfer, ()),), order)


def _chain(what: str, port: str) -> str:
    return f"{what} by {port}" if port else what
