"""What the tiling solver is asked and what it answers, in plain numbers.

A tile of a workload is one size for each named dimension. Everything a target knows about tiles
(bytes of rows with their halo, number of tiles, cycles of a job) reaches the solver as a table with
one value per candidate size; bytes and cycles are sums of products of such values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from htvm_ir.tiling.driven import Driven
    from htvm_ir.tiling.pipeline import Pipeline

Order: TypeAlias = tuple[str, ...]
"""Names of the dimensions from the outermost loop to the innermost."""

Point: TypeAlias = Mapping[str, int]
"""The index of the chosen candidate for each dimension."""

SERIAL = "serial"
"""The resource whose cycles overlap with nothing: prologue and epilogue."""


@dataclass(frozen=True)
class Dimension:
    """A dimension of `extent` elements and its candidate tile sizes, ascending.

    A size s gives ceil(extent / s) tiles; the largest candidate need not be the extent.
    """

    name: str
    extent: int
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"dimension {self.name}: sizes must ascend, got {self.sizes}")
        if self.sizes[0] < 1 or self.sizes[-1] > self.extent:
            raise ValueError(f"dimension {self.name}: sizes must lie in 1..{self.extent}")

    def counts(self) -> tuple[int, ...]:
        """Return the number of tiles for each candidate size."""
        return tuple(-(-self.extent // size) for size in self.sizes)


@dataclass(frozen=True)
class Factor:
    """A non-negative value for each candidate size of one dimension."""

    dimension: str
    table: tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """coefficient * product of the factors; several factors may name the same dimension.

    The coefficient may be negative (bytes or cycles saved).
    """

    coefficient: int
    factors: tuple[Factor, ...] = ()

    def at(self, point: Point) -> int:
        """Return the value for the chosen candidates."""
        value = self.coefficient
        for factor in self.factors:
            value *= factor.table[point[factor.dimension]]
        return value


@dataclass(frozen=True)
class Capacity:
    """sum of terms <= limit, for example the bytes of a memory."""

    name: str
    limit: int
    terms: tuple[Product, ...]

    def missing(self, point: Point) -> int:
        """Return how much the limit is exceeded by; zero or less if it holds."""
        return sum(term.at(point) for term in self.terms) - self.limit


@dataclass(frozen=True)
class Cost:
    """Cycles on a resource; with `orders`, only under these loop orders."""

    resource: str
    terms: tuple[Product, ...]
    orders: tuple[Order, ...] | None = None

    def applies(self, order: Order) -> bool:
        """Return whether the cycles count under this loop order."""
        return self.orders is None or order in self.orders


@dataclass(frozen=True)
class Problem:
    """Choose one size per dimension and one of `orders` so that the latency is least.

    Resources within one group of `overlap` run one after the other, the groups run side by side:
    latency = cycles of "serial" + max over groups of the sum over the group's resources.

    `choices` names dimensions that are no loops: how many buffers an operand has, for example. They are in no
    order, and of choices of equal latency the smallest is preferred.

    With a `pipeline` the latency is what running that gives, and the costs above are only a lower bound of it.

    Raises ValueError if a table, a resource or an order does not match the dimensions.
    """

    dimensions: tuple[Dimension, ...]
    capacities: tuple[Capacity, ...]
    costs: tuple[Cost, ...]
    orders: tuple[Order, ...]
    overlap: tuple[tuple[str, ...], ...]
    choices: tuple[str, ...] = ()
    pipeline: Pipeline | Driven | None = None

    def __post_init__(self) -> None:
        names = [dimension.name for dimension in self.dimensions]
        if len(set(names)) != len(names):
            raise ValueError(f"dimension names repeat: {names}")
        if unknown := set(self.choices) - set(names):
            raise ValueError(f"choices {sorted(unknown)} are no dimensions")
        self._check_orders(sorted(set(names) - set(self.choices)))
        self._check_resources()
        for terms in self._sums():
            self._check_tables(terms)

    def chains(self, order: Order) -> tuple[tuple[Product, ...], ...]:
        """Return one sum per overlap group, "serial" included: latency is the largest of them."""
        serial = self._terms((SERIAL,), order)
        return tuple(serial + self._terms(group, order) for group in self.overlap) or (serial,)

    def latency(self, point: Point, order: Order) -> int:
        """Return the cycles of the whole nest."""
        if self.pipeline is not None:
            counts = {d.name: d.counts()[point[d.name]] for d in self.dimensions}
            depths = {name: size for name, size in self.sizes(point).items() if name in self.choices}
            return self.pipeline.latency(point, {name: counts[name] for name in order}, depths)
        return max(sum(term.at(point) for term in chain) for chain in self.chains(order))

    def fits(self, point: Point) -> bool:
        """Return whether every capacity holds."""
        return all(capacity.missing(point) <= 0 for capacity in self.capacities)

    def preference(self, dimension: Dimension) -> range:
        """Return the candidates' indices, those that are preferred among equals first."""
        count = len(dimension.sizes)
        return range(count) if dimension.name in self.choices else range(count - 1, -1, -1)

    def sizes(self, point: Point) -> dict[str, int]:
        """Return the tile size of each dimension."""
        return {d.name: d.sizes[point[d.name]] for d in self.dimensions}

    def _terms(self, resources: Iterable[str], order: Order) -> tuple[Product, ...]:
        return tuple(
            term for cost in self.costs if cost.resource in resources and cost.applies(order) for term in cost.terms
        )

    def _sums(self) -> list[tuple[Product, ...]]:
        return [part.terms for part in (*self.capacities, *self.costs)]

    def _check_orders(self, names: list[str]) -> None:
        if not self.orders or any(sorted(order) != names for order in self.orders):
            raise ValueError(f"orders must permute the dimensions {names}, got {self.orders}")
        for cost in self.costs:
            if unknown := set(cost.orders or ()) - set(self.orders):
                raise ValueError(f"cost on {cost.resource}: orders {unknown} are not allowed ones")

    def _check_resources(self) -> None:
        grouped = [resource for group in self.overlap for resource in group]
        if len(set(grouped)) != len(grouped) or SERIAL in grouped:
            raise ValueError(f"a resource is in one overlap group at most: {self.overlap}")
        if lost := {cost.resource for cost in self.costs} - {*grouped, SERIAL}:
            raise ValueError(f"resources {sorted(lost)} are in no overlap group")

    def _check_tables(self, terms: tuple[Product, ...]) -> None:
        lengths = {d.name: len(d.sizes) for d in self.dimensions}
        for factor in (factor for term in terms for factor in term.factors):
            if len(factor.table) != lengths.get(factor.dimension):
                raise ValueError(f"table of {factor.dimension}: one value per candidate is needed")
            if min(factor.table) < 0:
                raise ValueError(f"table of {factor.dimension}: negative value")


@dataclass(frozen=True)
class Solution:
    """A tile and a loop order; `latency` and `bound` in cycles.

    No choice has a latency below `bound`. If `proven`, latency == bound, and among all choices of
    this latency the tile is the lexicographically largest in the order of the dimensions (smallest for
    `choices`), with the first such order (the best tie found, if the time limit ends the comparison of ties).
    """

    sizes: dict[str, int]
    order: Order
    latency: int
    proven: bool
    bound: int


@dataclass(frozen=True)
class Infeasible:
    """No candidate fits: the smallest tile exceeds `capacity` by `missing` (its unit, bytes)."""

    capacity: str
    missing: int


def infeasible(problem: Problem) -> Infeasible:
    """Return the capacity that the smallest tile exceeds most; the first among equals."""
    smallest = {dimension.name: 0 for dimension in problem.dimensions}
    worst = max(problem.capacities, key=lambda capacity: capacity.missing(smallest))
    return Infeasible(worst.name, worst.missing(smallest))


def candidate_count(problem: Problem) -> int:
    """Return the number of tiles to choose from."""
    return math.prod(len(dimension.sizes) for dimension in problem.dimensions)
