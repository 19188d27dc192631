"""The tiling solver against the definition, `brute_force`."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from dataclasses import replace
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.errors import HtvmError
from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.problem import (
    Capacity,
    Cost,
    Dimension,
    Factor,
    Infeasible,
    Problem,
    Product,
    Solution,
)
from htvm_ir.tiling.prune import lower_bound, prune
from htvm_ir.tiling.solve import solve


@st.composite
def dimensions(draw: st.DrawFn) -> tuple[Dimension, ...]:
    """Draw one to three dimensions with one to five candidates each."""
    count = draw(st.integers(1, 3))
    return tuple(
        Dimension(name, 12, tuple(sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=5)))))
        for name in "abc"[:count]
    )


@st.composite
def terms(draw: st.DrawFn, dims: tuple[Dimension, ...], signed: bool = False) -> tuple[Product, ...]:
    """Draw one to three products of tables that need not be monotone."""
    return tuple(
        Product(
            draw(st.integers(-3 if signed else 0, 9)),
            tuple(
                Factor(d.name, tuple(draw(st.integers(0, 8)) for _ in d.sizes))
                for d in draw(st.lists(st.sampled_from(dims), max_size=3))
            ),
        )
        for _ in range(draw(st.integers(1, 3)))
    )


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw a problem: serial and overlapping resources, costs tied to orders, tight capacities."""
    dims = draw(dimensions())
    permutations = list(itertools.permutations(d.name for d in dims))
    orders = tuple(draw(st.lists(st.sampled_from(permutations), min_size=1, unique=True)))
    overlap = draw(st.sampled_from([(), (("x",),), (("x", "y"),), (("x",), ("y",)), (("x", "z"), ("y",))]))
    resources = ["serial", *itertools.chain.from_iterable(overlap)]
    return Problem(
        dimensions=dims,
        capacities=tuple(
            Capacity(f"memory{i}", draw(st.integers(0, 300)), draw(terms(dims, signed=True)))
            for i in range(draw(st.integers(0, 2)))
        ),
        costs=tuple(
            Cost(
                draw(st.sampled_from(resources)),
                draw(terms(dims, signed=True)),
                draw(st.none() | st.lists(st.sampled_from(orders), unique=True).map(tuple)),
            )
            for _ in range(draw(st.integers(0, 5)))
        ),
        orders=orders,
        overlap=overlap,
    )


def convolution(l1: int = 64_000, weights: int = 16_000) -> Problem:
    """A 3x3 convolution of 64 channels on 32 x 32 to 256 channels: rows and output channels."""
    rows = Dimension("rows", 32, tuple(range(1, 33)))
    out = Dimension("out", 256, tuple(range(4, 257, 4)))
    row_tiles, out_tiles = Factor("rows", rows.counts()), Factor("out", out.counts())
    halo = Factor("rows", tuple(min(32, size + 2) for size in rows.sizes))
    arrays = Factor("out", tuple(-(-size // 16) for size in out.sizes))
    height, width = Factor("rows", rows.sizes), Factor("out", out.sizes)
    by_rows, by_out = ("rows", "out"), ("out", "rows")
    read = Product(64 * 32 // 8, (halo, row_tiles))
    fetch = Product(64 * 9 // 8, (width, out_tiles))
    return Problem(
        dimensions=(rows, out),
        capacities=(
            Capacity("L1", l1, (Product(64 * 32, (halo,)), Product(32, (height, width)))),
            Capacity("weights", weights, (Product(64 * 9 + 4, (width,)),)),
        ),
        costs=(
            Cost("engine", (Product(2 * 9 * 64, (arrays, out_tiles, height, row_tiles)),)),
            Cost("engine", (Product(20, (row_tiles, out_tiles)),)),
            Cost("transfer", (read,), (by_rows,)),
            Cost("transfer", (Product(fetch.coefficient, (*fetch.factors, row_tiles)),), (by_rows,)),
            Cost("transfer", (Product(read.coefficient, (*read.factors, out_tiles)),), (by_out,)),
            Cost("transfer", (fetch,), (by_out,)),
            Cost("transfer", (Product(4, (width, out_tiles, height, row_tiles)),)),
            Cost("serial", (Product(256, (halo,)), Product(4, (width, height)))),
        ),
        orders=(by_rows, by_out),
        overlap=(("engine",), ("transfer",)),
    )


@settings(deadline=None, max_examples=150)
@given(problems(), st.sampled_from([0, 256]))
def test_agrees_with_brute_force(problem: Problem, enumerate_up_to: int) -> None:
    assert solve(problem, enumerate_up_to=enumerate_up_to) == brute_force(problem)


@settings(deadline=None, max_examples=100)
@given(problems())
def test_pruning_keeps_the_best(problem: Problem) -> None:
    best = brute_force(problem)
    if isinstance(best, Infeasible):
        return
    assert lower_bound(problem) <= best.latency
    smaller = prune(problem, best.latency)
    assert smaller is not None
    assert brute_force(smaller) == best


def sums(sizes: tuple[int, ...]) -> Problem:
    """Four dimensions whose pruning is weak: every tile costs a bit of everything."""
    dims = tuple(Dimension(name, 10, tuple(range(1, size + 1))) for name, size in zip("abcd", sizes, strict=True))
    up = {d.name: Factor(d.name, d.sizes) for d in dims}
    down = {d.name: Factor(d.name, d.counts()) for d in dims}
    return Problem(
        dimensions=dims,
        capacities=(Capacity("L1", 40, (Product(1, (up["a"], up["b"])), Product(2, (up["c"],)))),),
        costs=(
            Cost("cpu", (Product(7, (down["a"], down["b"])), Product(5, (down["c"], down["d"])))),
            Cost("cpu", (Product(3, (up["a"], up["d"])), Product(11, (down["a"], down["c"])))),
        ),
        orders=(("a", "b", "c", "d"),),
        overlap=(("cpu",),),
    )


def test_search_after_pruning_agrees_with_brute_force() -> None:
    problem = sums((8, 8, 8, 8))
    assert solve(problem, enumerate_up_to=0) == brute_force(problem)


def test_convolution_is_optimal_and_quick() -> None:
    problem = convolution()
    solve(problem, enumerate_up_to=0)  # loads CP-SAT
    begin = time.process_time()
    solution = solve(problem, enumerate_up_to=0)
    assert time.process_time() - begin < 0.5  # 10 ms on an idle laptop
    assert solution == brute_force(problem)
    assert isinstance(solution, Solution)
    assert prod(solution.sizes.values()) < 32 * 256


def test_what_fits_untiled_stays_untiled() -> None:
    assert solve(convolution(l1=10**6, weights=10**6)) == brute_force(convolution(l1=10**6, weights=10**6))


def test_infeasible_names_the_memory_and_the_bytes() -> None:
    answer = solve(convolution(weights=1000))
    assert answer == Infeasible("weights", 4 * (64 * 9 + 4) - 1000)


def test_same_answer_twice_and_with_a_hint() -> None:
    problem = sums((9, 9, 9, 9))
    first = solve(problem, enumerate_up_to=0)
    assert solve(problem, enumerate_up_to=0) == first
    assert solve(problem, hint={"a": 3, "b": 2, "c": 1, "d": 1}, enumerate_up_to=0) == first
    assert solve(problem, hint={"a": 77}, enumerate_up_to=0) == first


def test_a_time_limit_gives_the_best_found_and_a_true_bound() -> None:
    problem = sums((10, 10, 10, 10))
    solution = solve(problem, seconds=1e-4, enumerate_up_to=0)
    best = brute_force(problem)
    assert isinstance(solution, Solution)
    assert isinstance(best, Solution)
    assert not solution.proven
    assert solution.bound <= best.latency <= solution.latency


def test_equal_latencies_give_the_largest_tile() -> None:
    flat = Problem(
        dimensions=(Dimension("a", 4, (1, 2, 4)), Dimension("b", 4, (1, 2, 4))),
        capacities=(Capacity("L1", 8, (Product(1, (Factor("a", (1, 2, 4)), Factor("b", (1, 2, 4)))),)),),
        costs=(),
        orders=(("b", "a"), ("a", "b")),
        overlap=(),
    )
    for limit in (0, 256):
        solution = solve(flat, enumerate_up_to=limit)
        assert solution == Solution({"a": 4, "b": 2}, ("b", "a"), 0, True, 0)


def test_huge_numbers_are_refused_not_wrapped() -> None:
    big = Factor("a", (2**40, 2**41, 2**39))
    problem = Problem(
        dimensions=(Dimension("a", 3, (1, 2, 3)), Dimension("b", 2, (1, 2))),
        capacities=(Capacity("L1", 0, (Product(1, (Factor("a", (1, 0, 0)), Factor("b", (1, 1)))),)),),
        costs=(Cost("cpu", (Product(2**30, (big, Factor("b", (1, 1)))),)),),
        orders=(("a", "b"),),
        overlap=(("cpu",),),
    )
    assert solve(problem) == brute_force(problem)
    crossed = Capacity("L1", 10**30, (Product(2**61, (Factor("a", (1, 1, 1)), Factor("b", (1, 2)))),))
    with pytest.raises(HtvmError, match="2\\*\\*60"):
        solve(
            Problem(problem.dimensions, (crossed,), sum_cost(), problem.orders, (("cpu",),)),
            enumerate_up_to=0,
        )


@pytest.mark.parametrize("bits", [40, 52, 54, 55, 56, 57, 58, 59, 60, 62])
def test_near_the_limit_the_answer_is_exact_or_refused(bits: int) -> None:
    dims = (Dimension("a", 40, tuple(range(1, 41))), Dimension("b", 9, (1, 9)))
    up, down = Factor("a", dims[0].sizes), Factor("a", dims[0].sizes[::-1])
    costs = (
        Cost("cpu", (Product(2**bits // 40, (up, Factor("b", (1, 2)))),)),
        Cost("cpu", (Product(2**bits // 41, (down, Factor("b", (2, 1)))),)),
    )
    problem = Problem(dims, (), costs, (("a", "b"),), (("cpu",),))
    if bits <= 52:
        assert solve(problem, enumerate_up_to=0) == brute_force(problem)
    else:
        with pytest.raises(HtvmError, match="2\\*\\*60"):
            solve(problem, enumerate_up_to=0)


def sum_cost() -> tuple[Cost, ...]:
    """A cost whose lower bound no tile reaches."""
    return (Cost("cpu", (Product(1, (Factor("a", (0, 5, 2)),)), Product(1, (Factor("a", (5, 0, 4)),)))),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orders": ()}, "permute"),
        ({"orders": (("rows",),)}, "permute"),
        ({"overlap": (("engine",),)}, "no overlap group"),
        ({"overlap": (("engine", "serial"), ("transfer",))}, "one overlap group"),
        ({"dimensions": (Dimension("rows", 32, (1,)), Dimension("out", 256, (4,)))}, "table of"),
    ],
)
def test_inconsistent_problems_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(convolution(), **change)


@pytest.mark.parametrize("sizes", [(), (2, 1), (1, 1), (0, 1), (1, 9)])
def test_bad_candidates_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sizes must"):
        Dimension("a", 8, sizes)


def test_importing_the_solver_does_not_load_ortools() -> None:
    code = "import sys, htvm_ir.tiling.solve; sys.exit('ortools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
