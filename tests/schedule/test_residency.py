"""What stays in local memory: equal to trying everything, within the capacity, deterministic, no worse than greedy."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.schedule.residency import (
    Kernel,
    Option,
    Tensor,
    brute_force,
    evaluate,
    greedy,
    plan_residency,
)

NONE = frozenset[str]()


def chain(sizes: list[int], tiles: int = 10) -> tuple[list[Kernel], list[Tensor]]:
    """Kernels one after the other; the tensor behind kernel n has sizes[n] bytes, and staying saves 2 x 10 cycles."""
    tensors = [Tensor(f"t{n}", size, n, n + 1) for n, size in enumerate(sizes)]
    kernels: list[Kernel] = []
    for n in range(len(sizes) + 1):
        names = [t.name for t in tensors if t.first <= n <= t.last]
        sets = [frozenset(name for bit, name in enumerate(names) if mask >> bit & 1) for mask in range(1 << len(names))]
        kernels.append(Kernel(frozenset(names), tuple(Option(s, tiles, 100 - 10 * len(s)) for s in sets)))
    return kernels, tensors


def test_everything_stays_if_there_is_room():
    kernels, tensors = chain([30, 40, 30])
    found = plan_residency(kernels, tensors, 80)
    assert (found.tensors, found.cycles, found.proven) == (frozenset({"t0", "t1", "t2"}), 400 - 60, True)


def test_the_one_between_two_gives_way():
    kernels, tensors = chain([30, 41, 30])
    found = plan_residency(kernels, tensors, 80)
    assert (found.tensors, found.cycles, found.proven) == (frozenset({"t0", "t2"}), 400 - 40, True)


def test_a_tensor_takes_room_in_kernels_that_do_not_use_it():
    small = Kernel(NONE, (Option(NONE, 60, 100), Option(NONE, 20, 130)))
    ends = Kernel(frozenset({"t"}), (Option(NONE, 10, 100), Option(frozenset({"t"}), 5, 80)))
    tensors = [Tensor("t", 50, 0, 2)]
    assert plan_residency([ends, small, ends], tensors, 110).cycles == 260
    assert plan_residency([ends, small, ends], tensors, 100).cycles == 290  # smaller tiles in between pay
    assert plan_residency([ends, small, ends], tensors, 60).cycles == 300


def test_a_set_is_only_possible_if_every_kernel_has_room():
    kernels, tensors = chain([30, 41, 30])
    assert evaluate(kernels, tensors, 80, {"t0", "t1"}) is None
    found = evaluate(kernels, tensors, 81, {"t0", "t1"})
    assert found is not None and found.cycles == 400 - 40


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Kernel], list[Tensor], int]:
    count = draw(st.integers(1, 5))
    tensors: list[Tensor] = []
    for n in range(draw(st.integers(0, 5))):
        first = draw(st.integers(0, count - 1))
        tensors.append(Tensor(f"t{n}", draw(st.integers(1, 30)), first, draw(st.integers(first, count - 1))))
    kernels: list[Kernel] = []
    for n in range(count):
        ends = [t.name for t in tensors if n in (t.first, t.last)]
        options = [Option(NONE, draw(st.integers(0, 20)), draw(st.integers(0, 50)))]
        for _ in range(draw(st.integers(0, 4))):
            resident = frozenset(name for name in ends if draw(st.booleans()))
            options.append(Option(resident, draw(st.integers(0, 40)), draw(st.integers(0, 50))))
        kernels.append(Kernel(frozenset(ends), tuple(options)))
    return kernels, tensors, draw(st.integers(20, 80))


@settings(deadline=None, max_examples=80)
@given(problem=problems())
def test_equals_brute_force(problem: tuple[list[Kernel], list[Tensor], int]):
    kernels, tensors, capacity = problem
    best, found = brute_force(kernels, tensors, capacity), plan_residency(kernels, tensors, capacity)
    assert (found.cycles, found.proven) == (best.cycles, True)
    assert found == plan_residency(kernels, tensors, capacity)
    for index, (kernel, option) in enumerate(zip(kernels, found.options, strict=True)):
        assert option in kernel.options
        assert option.resident == found.tensors & kernel.operands
        stay = [t for t in tensors if t.name in found.tensors]
        assert option.size + sum(t.size for t in stay if t.first <= index <= t.last) <= capacity
    assert greedy(kernels, tensors, capacity).cycles >= best.cycles


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_long_chain_is_answered_in_time(seconds: float):
    kernels, tensors = chain([20 + 7 * n % 50 for n in range(600)])
    started = time.monotonic()
    found = plan_residency(kernels, tensors, 90, seconds)
    assert time.monotonic() - started < seconds + 2
    assert found.cycles <= greedy(kernels, tensors, 90).cycles < 601 * 100
