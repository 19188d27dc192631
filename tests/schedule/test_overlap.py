"""Orders of steps: legal, no slower than the given one, close to the best of all; what is proven is the best."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.schedule.overlap import (
    RULES,
    Schedule,
    Step,
    _listed,  # pyright: ignore[reportPrivateUsage]
    _loads,  # pyright: ignore[reportPrivateUsage]
    _tails,  # pyright: ignore[reportPrivateUsage]
    brute_force,
    lower_bound,
    runs,
    schedule,
    simulate,
)

A, B = frozenset("a"), frozenset("b")


@st.composite
def networks(draw: st.DrawFn) -> list[Step]:
    """Up to three kernels of the CPU and of two engines, each with an order in which it can be taken."""
    steps: list[Step] = []
    for kernel in range(draw(st.integers(1, 3))):
        ends = [n for n, step in enumerate(steps) if not step.job]
        after = frozenset(draw(st.sets(st.sampled_from(ends)))) if ends else frozenset[int]()
        host, job = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        units = draw(st.sampled_from([A, B, frozenset[str]()]))
        if not units:
            steps.append(Step(kernel, host, after=after))
            continue
        if draw(st.booleans()):
            steps.append(Step(kernel, draw(st.integers(1, 9))))
        for tile in range(draw(st.integers(1, 2))):
            end = draw(st.integers(1, 6))
            steps += [
                Step(kernel, host, job, units, after if tile == 0 else frozenset()),
                Step(kernel, end, units=units, beside=draw(st.integers(0, end))),
            ]
    return steps


@settings(deadline=None, max_examples=150)
@given(networks(), st.integers(0, 2))
def test_schedules_are_legal_and_never_slower_than_the_given_order(steps: list[Step], call: int) -> None:
    found, before = schedule(steps, call), simulate(steps, range(len(steps)), call)
    assert before is not None
    assert found == simulate(steps, found.order, call)
    assert lower_bound(steps) <= found.cycles <= before.cycles


@settings(deadline=None, max_examples=40)
@given(networks().filter(lambda steps: len(steps) <= 7))
def test_the_best_order_is_no_better_than_the_bound_and_seldom_than_ours(steps: list[Step]) -> None:
    best, found = brute_force(steps), schedule(steps)
    assert found.bound <= best.cycles <= found.cycles <= 1.5 * best.cycles
    assert not found.proven or best.cycles == found.cycles


def test_the_cpu_works_while_an_engine_does() -> None:
    steps = [Step(0, 5, 100, A), Step(0, 5, units=A), Step(1, 80)]
    found = schedule(steps)
    assert found.order == (0, 2, 1)
    assert (found.cycles, found.waits) == (110, (0, 20, 0))


def test_transfers_beside_a_job_come_before_the_cpu_waits_for_it() -> None:
    steps = [Step(0, 5, 100, A), Step(0, 45, units=A, beside=40), Step(1, 50)]
    assert simulate(steps, (0, 1, 2)) == Schedule((0, 1, 2), 160, (0, 60, 0), 110)
    assert schedule(steps) == Schedule((0, 2, 1), 110, (0, 10, 0), 110)


def test_an_engine_starts_before_work_that_it_does_not_need() -> None:
    steps = [Step(0, 80), Step(1, 5, 100, A), Step(1, 5, units=A)]
    assert schedule(steps).order == (1, 0, 2)


def test_two_engines_work_side_by_side_but_one_does_not_with_itself() -> None:
    def cycles(second: frozenset[str]) -> int:
        first = [Step(0, 1, 50, A), Step(0, 1, units=A)]
        return schedule([*first, Step(1, 1, 50, second), Step(1, 1, units=second)]).cycles

    assert cycles(B) == 53
    assert cycles(A) == 104


def test_turning_to_another_kernel_must_pay() -> None:
    steps = [Step(0, 5, 8, A), Step(0, 5, units=A), Step(1, 6)]
    assert schedule(steps, call=1).order == (0, 2, 1)
    assert schedule(steps, call=10).order == (0, 1, 2)


def test_a_unit_is_free_only_after_its_kernel_has_waited() -> None:
    steps = [Step(0, 1, 5, A), Step(0, 1, units=A), Step(1, 1, 5, A), Step(1, 1, units=A)]
    assert simulate(steps, (0, 2, 1, 3)) is None
    assert simulate(steps, (2, 3, 0, 1)) is not None


def test_the_search_finds_what_no_rule_does() -> None:
    """Chunks of the CPU and the tiles of an engine that need them: a short job is better started between two chunks."""
    chunks = [Step(n, 14) for n in range(5)]
    tiles = [
        step
        for n in range(5)
        for step in (Step(9, 3, 10, A, frozenset(range(max(0, n - 1), min(n + 2, 5)))), Step(9, 0, units=A))
    ]
    steps = [*chunks, *tiles]
    rules = [_listed(steps, 2, rule, tails) for rule in RULES for tails in (_tails(steps), _loads(steps))]
    assert schedule(steps, 2).cycles < min(found.cycles for found in rules if found is not None)


def test_steps_that_cannot_be_taken_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        schedule([Step(0, 1, after=frozenset({1})), Step(1, 1)])


def test_runs_are_the_steps_of_one_kernel_in_a_row() -> None:
    steps = [Step(0, 1), Step(0, 1), Step(1, 1), Step(0, 1)]
    assert list(runs((0, 1, 2, 3), steps)) == [[0, 1], [2], [3]]
