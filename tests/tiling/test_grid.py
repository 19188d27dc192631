"""Evaluating all tiles at once, and choices that are no loops, against the definition."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from test_solve import problems, sums

from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.grid import evaluate_all
from htvm_ir.tiling.problem import Capacity, Cost, Dimension, Factor, Infeasible, Order, Problem, Product, Solution
from htvm_ir.tiling.solve import solve


def with_choice(problem: Problem) -> Problem:
    """The same with its last dimension as a choice instead of a loop."""
    name = problem.dimensions[-1].name

    def loops(orders: tuple[Order, ...]) -> tuple[Order, ...]:
        return tuple(dict.fromkeys(tuple(n for n in order if n != name) for order in orders))

    costs = tuple(cost if cost.orders is None else replace(cost, orders=loops(cost.orders)) for cost in problem.costs)
    return replace(problem, orders=loops(problem.orders), costs=costs, choices=(name,))


@settings(deadline=None, max_examples=120)
@given(problems())
def test_all_at_once_is_brute_force(problem: Problem) -> None:
    assert evaluate_all(problem, 1.0) == brute_force(problem)


@settings(deadline=None, max_examples=80)
@given(problems())
def test_choices_are_in_no_order(problem: Problem) -> None:
    assume(len(problem.dimensions) > 1)
    chosen = with_choice(problem)
    answer = brute_force(chosen)
    assert evaluate_all(chosen, 1.0) == solve(chosen, enumerate_up_to=0) == answer
    if isinstance(answer, Solution):
        assert chosen.choices[0] not in answer.order


def test_the_smallest_of_equal_choices_is_preferred() -> None:
    dims = (Dimension("a", 4, (1, 2, 4)), Dimension("depth", 3, (1, 2, 3)))
    capacity = Capacity("L1", 8, (Product(1, (Factor("a", (1, 2, 4)), Factor("depth", (1, 2, 3)))),))
    flat = Problem(dims, (capacity,), (), (("a",),), (), ("depth",))
    cheaper = replace(flat, costs=(Cost("x", (Product(1, (Factor("depth", (5, 3, 3)),)),)),), overlap=(("x",),))
    for limit in (0, 256):
        assert solve(flat, enumerate_up_to=limit) == Solution({"a": 4, "depth": 1}, ("a",), 0, True, 0)
        assert solve(cheaper, enumerate_up_to=limit) == Solution({"a": 4, "depth": 2}, ("a",), 3, True, 3)


def test_many_tiles_at_once() -> None:
    problem = sums((10, 10, 10, 10))
    assert solve(problem) == brute_force(problem)


def test_numbers_that_do_not_fit_are_left_to_others() -> None:
    dimension = Dimension("a", 2, (1, 2))
    huge = Capacity("L1", 1, (Product(2**59, (Factor("a", (1, 2)),)),))
    assert evaluate_all(Problem((dimension,), (huge,), (), (("a",),), ()), 1.0) is None


def test_no_tile_fits() -> None:
    dimension = Dimension("a", 2, (1, 2))
    tight = Capacity("L1", 4, (Product(5, (Factor("a", (1, 2)),)),))
    assert evaluate_all(Problem((dimension,), (tight,), (), (("a",),), ()), 1.0) == Infeasible("L1", 1)
