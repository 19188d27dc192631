"""The memory planner: legal placements, true bounds, and the optimum on small cases."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.errors import HtvmError
from htvm_ir.memory.exact import search
from htvm_ir.memory.greedy import height
from htvm_ir.memory.plan import greedy, plan
from htvm_ir.memory.problem import Buffer, Placement, live_bytes


@st.composite
def buffers(
    draw: st.DrawFn, most: int = 12, size: int = 200, alignments: tuple[int, ...] = (1, 2, 4, 16, 64)
) -> list[Buffer]:
    """Draw up to `most` buffers, some of no bytes."""
    result: list[Buffer] = []
    for i in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, 8))
        end = start + draw(st.integers(1, 5))
        bytes_ = draw(st.integers(0, size))
        result.append(Buffer(f"b{i}", bytes_, start, end, draw(st.sampled_from(alignments))))
    return result


def check(items: list[Buffer], placement: Placement) -> None:
    """Assert that the placement is legal and its figures are true."""
    offsets = placement.offsets
    assert set(offsets) == {b.name for b in items}
    for b in items:
        assert offsets[b.name] >= 0
        assert offsets[b.name] % b.alignment == 0
        assert offsets[b.name] + b.size <= placement.bytes or b.size == 0
    for a, b in itertools.combinations([b for b in items if b.size], 2):
        apart = a.end <= b.start or b.end <= a.start
        low, high = sorted((a, b), key=lambda b: offsets[b.name])
        assert apart or offsets[low.name] + low.reserved <= offsets[high.name]
    steps = range(min((b.start for b in items), default=0), max((b.end for b in items), default=0))
    alive = [sum(b.reserved for b in items if b.start <= step < b.end) for step in steps]
    assert placement.lower_bound == max(alive, default=0)
    assert placement.bytes >= placement.lower_bound


def smallest(items: list[Buffer]) -> int:
    """Try every offset of every buffer; return the bytes of the smallest arena."""
    bound = live_bytes(items)
    return next(size for size in itertools.count(bound) if fits(items, [], size))


def fits(items: list[Buffer], placed: list[tuple[Buffer, int]], size: int) -> bool:
    """Return whether the rest of the items can be placed below `size`."""
    if len(placed) == len(items):
        return True
    b = items[len(placed)]
    return any(
        all(o.end <= b.start or b.end <= o.start or at + o.reserved <= x or x + b.reserved <= at for o, at in placed)
        and fits(items, [*placed, (b, x)], size)
        for x in range(0, size - b.reserved + 1, b.alignment)
    )


@settings(deadline=None, max_examples=100)
@given(buffers())
def test_placements_are_legal(items: list[Buffer]) -> None:
    check(items, plan(items))


@settings(deadline=None, max_examples=60)
@given(buffers(most=5, size=5, alignments=(1, 2, 3)))
def test_agrees_with_brute_force(items: list[Buffer]) -> None:
    placement = plan(items)
    check(items, placement)
    assert placement.proven_minimal
    assert placement.bytes == smallest(items)


@settings(deadline=None, max_examples=60)
@given(buffers(most=6, size=5, alignments=(1, 2, 3)))
def test_exact_search_alone_agrees_with_brute_force(items: list[Buffer]) -> None:
    filled = [b for b in items if b.size]
    exact = search(filled, live_bytes(filled), 60, 60.0)
    assert exact.closed
    assert exact.offsets is not None
    tops = [x + b.reserved for x, b in zip(exact.offsets, filled, strict=True)]
    names = [b.name for b in filled]
    size = max(tops, default=0)
    check(filled, Placement(dict(zip(names, exact.offsets, strict=True)), size, live_bytes(filled), True))
    assert size == smallest(filled)


def test_alignments_can_force_a_hole() -> None:
    placement = plan([Buffer("a", 3, 0, 1, 3), Buffer("b", 2, 0, 1, 2)])
    assert (placement.bytes, placement.lower_bound) == (6, 5)
    assert placement.proven_minimal


STUBBORN = [
    Buffer(name, size, start, end)
    for name, size, start, end in [
        ("a", 2, 3, 6),
        ("b", 3, 2, 5),
        ("c", 4, 5, 6),
        ("d", 2, 4, 5),
        ("e", 1, 4, 8),
        ("f", 4, 4, 7),
    ]
]
"""Best-fit needs 13 bytes in every order it tries."""


def test_the_exact_search_beats_greedy() -> None:
    bound = live_bytes(STUBBORN)
    offsets = greedy(STUBBORN, bound)
    assert height(STUBBORN, offsets) == 13
    placement = plan(STUBBORN)
    check(STUBBORN, placement)
    assert (placement.bytes, placement.proven_minimal) == (12, True)
    assert plan(STUBBORN) == placement


def test_without_time_the_greedy_placement_is_kept_unproven() -> None:
    placement = plan(STUBBORN, seconds=0.0)
    check(STUBBORN, placement)
    assert (placement.bytes, placement.proven_minimal) == (13, False)


def test_a_chain_of_a_thousand_is_quick_and_minimal() -> None:
    chain = [Buffer(f"t{i}", i * 7919 % 20_000, i, i + 2, 4) for i in range(1000)]
    begin = time.process_time()
    placement = plan(chain)
    assert time.process_time() - begin < 2.0  # 0.4 s on an idle laptop
    check(chain, placement)
    assert placement.proven_minimal


def test_a_large_random_graph_is_answered_in_time_with_its_gap() -> None:
    draw = random.Random(0)
    starts = [draw.randrange(300) for _ in range(300)]
    graph = [Buffer(f"t{i}", draw.randrange(1, 20_000), s, s + draw.randrange(1, 60), 32) for i, s in enumerate(starts)]
    begin = time.process_time()
    placement = plan(graph, seconds=1.0)
    assert time.process_time() - begin < 4.0
    check(graph, placement)
    assert placement.lower_bound == live_bytes(graph) <= placement.bytes < 1.1 * placement.lower_bound
    assert placement.proven_minimal == (placement.bytes == placement.lower_bound)


def test_nothing_and_one_buffer() -> None:
    assert plan([]) == Placement({}, 0, 0, True)
    assert plan([Buffer("a", 5, 0, 1, 4)]) == Placement({"a": 0}, 8, 8, True)
    assert plan([Buffer("a", 0, 0, 1, 4)]) == Placement({"a": 0}, 0, 0, True)


@pytest.mark.parametrize(
    ("items", "capacity", "message"),
    [
        ([Buffer("a", 9, 0, 2), Buffer("b", 9, 1, 2)], 17, "18 bytes are alive at one step"),
        ([Buffer("a", 3, 0, 1, 3), Buffer("b", 2, 0, 1, 2)], 5, "no placement is smaller"),
    ],
)
def test_too_small_a_memory_is_the_users_mistake(items: list[Buffer], capacity: int, message: str) -> None:
    with pytest.raises(HtvmError, match=message):
        plan(items, capacity)
    assert plan(items, capacity + 1).bytes == capacity + 1


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="names repeat"):
        plan([Buffer("a", 1, 0, 1), Buffer("a", 1, 1, 2)])


@pytest.mark.parametrize(("size", "start", "end", "alignment"), [(-1, 0, 1, 1), (1, 1, 1, 1), (1, 0, 1, 0)])
def test_bad_buffers_are_refused(size: int, start: int, end: int, alignment: int) -> None:
    with pytest.raises(ValueError, match="buffer a"):
        Buffer("a", size, start, end, alignment)


def test_a_plan_that_greedy_proves_does_not_load_ortools() -> None:
    code = (
        "import sys; from htvm_ir.memory.plan import plan; from htvm_ir.memory.problem import Buffer;"
        "plan([Buffer('a', 5, 0, 2), Buffer('b', 5, 1, 3)]); sys.exit('ortools' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
