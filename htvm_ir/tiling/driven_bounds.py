"""Lower bounds of the cycles of a nest whose transfers the CPU drives, as sums of products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from htvm_ir.tiling.driven import Driven
from htvm_ir.tiling.problem import Cost, Order, Product
from htvm_ir.tiling.sums import LAST, Sums, Terms


@dataclass(frozen=True)
class DrivenBounds(Sums):
    """Two of them: all jobs with what nothing runs beside; everything but the jobs."""

    nest: Driven

    def costs(self, orders: Sequence[Order]) -> tuple[Cost, ...]:
        """Both, under the orders of the loops they hold for."""
        return tuple(Cost(name, tuple(terms), (order,)) for order in orders for name, terms in self._chains(order))

    def _chains(self, order: Order) -> Iterator[tuple[str, Terms]]:
        alone = [Product(self.nest.kernel), *self.tiles(self.nest.attached, {})]
        jobs, transfers = [*alone, *self.tiles(self.nest.detached, {})], alone
        for load in self.nest.loads:
            loads = self.loads(load, load.cycles, order)
            jobs += self.buffered(load, loads, self.first(load))
            transfers = [*transfers, *loads]
        if (store := self.nest.store) is not None:
            stores, last = (self.tiles(store.cycles, chosen) for chosen in ({}, dict.fromkeys(order, LAST)))
            jobs += self.buffered(store, stores, last)
            transfers = [*transfers, *stores]
        yield "jobs", jobs
        yield "transfers", transfers
