"""A tiling problem as a CP-SAT model.

Each dimension is one literal per candidate, exactly one of them true; a table of one dimension is
then a linear expression. A product of several tables is exact as well: for each candidate i of one
dimension, "if i is chosen, product == table[i] * rest", one dimension after the other. The orders
are literals too, and the latency is at least every chain of the chosen order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from htvm_ir.cpsat import LARGEST, Model, Outcome, Terms, Variable
from htvm_ir.errors import HtvmError
from htvm_ir.tiling.problem import Order, Problem, Product, Solution
from htvm_ir.tiling.prune import merge

Tables = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class TilingModel:
    """The variables of one problem; build with `TilingModel.of`."""

    problem: Problem
    latency: Variable
    model: Model
    chosen: dict[str, list[Variable]] = field(default_factory=dict[str, list[int]])
    orders: dict[Order, Variable] = field(default_factory=dict[Order, int])
    _products: dict[Tables, Terms] = field(default_factory=dict[Tables, Terms])

    @classmethod
    def of(cls, problem: Problem, low: int, high: int) -> TilingModel:
        """Return the model with the latency confined to low..high cycles."""
        model = Model()
        self = cls(problem, model.integer(low, high), model)
        for dimension in problem.dimensions:
            self.chosen[dimension.name] = [model.boolean() for _ in dimension.sizes]
            model.exactly_one(self.chosen[dimension.name])
        self.orders = {order: model.boolean() for order in problem.orders}
        model.exactly_one(list(self.orders.values()))
        for capacity in problem.capacities:
            terms = self._sum(capacity.terms, capacity.name)
            model.linear(terms, -LARGEST, capacity.limit)
        for order, literal in self.orders.items():
            for chain in problem.chains(order):
                terms = [*self._sum(chain, "latency"), (-1, self.latency)]
                model.linear(terms, -LARGEST, 0, when=[literal])
        return self

    def fastest(self, seconds: float) -> Outcome:
        """Minimise the latency."""
        self.model.minimise([(1, self.latency)])
        return self.model.solve(seconds)

    def largest(self, seconds: float) -> Outcome:
        """Find the lexicographically largest tile, then the first order."""
        terms: list[tuple[int, Variable]] = []
        weight = 1
        digits = [list(self.orders.values())]
        for dimension in reversed(self.problem.dimensions):
            literals = self.chosen[dimension.name]
            digits.append([literals[index] for index in self.problem.preference(dimension)])
        for literals in digits:
            terms += [(weight * place, literal) for place, literal in enumerate(literals)]
            weight *= len(literals)
        self.model.minimise(terms)
        return self.model.solve(seconds)

    def point(self, outcome: Outcome) -> dict[str, int]:
        """Return the candidates of the found solution."""
        return {
            name: [outcome.values[literal] for literal in literals].index(1) for name, literals in self.chosen.items()
        }

    def hint(self, start: Solution) -> None:
        """Start the search from this choice."""
        for dimension in self.problem.dimensions:
            literals = self.chosen[dimension.name]
            for size, literal in zip(dimension.sizes, literals, strict=True):
                self.model.hint(literal, int(size == start.sizes[dimension.name]))
        for order, literal in self.orders.items():
            self.model.hint(literal, int(order == start.order))

    def _sum(self, terms: Sequence[Product], what: str) -> list[tuple[int, Variable]]:
        """Return the terms as one linear expression. Raises HtvmError beyond 2**60."""
        total: dict[Variable, int] = {}
        reach = 0
        for term in terms:
            tables = tuple(sorted(merge(term).items(), key=lambda item: (len(item[1]), item[0])))
            reach += max(1, abs(term.coefficient)) * _reach(tables)
            if reach >= LARGEST:
                raise HtvmError(f"tiling: {what} can exceed 2**60; state it in a larger unit than bytes/cycles")
            for factor, variable in self._product(tables):
                total[variable] = total.get(variable, 0) + term.coefficient * factor
        return [(factor, variable) for variable, factor in total.items()]

    def _product(self, tables: Tables) -> Terms:
        if not tables:
            return [(1, self._one())]
        if tables not in self._products:
            (name, table), rest = tables[0], tables[1:]
            literals = self.chosen[name]
            if rest:
                self._products[tables] = [(1, self._scaled(literals, table, rest))]
            else:
                self._products[tables] = list(zip(table, literals, strict=True))
        return self._products[tables]

    def _scaled(self, literals: Sequence[Variable], table: tuple[int, ...], rest: Tables) -> Variable:
        """Return a variable equal to table[chosen] * rest."""
        inner = self._product(rest)
        product = self.model.integer(0, max(table) * prod(max(values) for _, values in rest))
        for literal, value in zip(literals, table, strict=True):
            terms = [(1, product), *((-value * factor, variable) for factor, variable in inner)]
            self.model.linear(terms, 0, 0, when=[literal])
        return product

    def _one(self) -> Variable:
        if () not in self._products:
            self._products[()] = [(1, self.model.integer(1, 1))]
        return self._products[()][0][1]


def _reach(tables: Tables) -> int:
    """Return what CP-SAT's sums of the product can come to: the last table's literals all count."""
    if not tables:
        return 1
    return prod(max(table) for _, table in tables[:-1]) * sum(tables[-1][1])
