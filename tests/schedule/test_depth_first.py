"""Which kernels work depth first: those around maps that do not stay, where that saves cycles, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.schedule.depth_first import LONGEST, SHORTLIST, Strips, plan_depth_first
from htvm_ir.schedule.residency import Kernel, Option, Residency, Tensor, plan_residency

NONE = frozenset[str]()


def chain(sizes: list[int], cycles: int = 100, saved: int = 10) -> tuple[list[Kernel], list[Tensor]]:
    """Kernels one after the other; the tensor behind kernel n has sizes[n] bytes, staying saves twice ``saved``."""
    tensors = [Tensor(f"t{n}", size, n, n + 1) for n, size in enumerate(sizes)]
    kernels: list[Kernel] = []
    for n in range(len(sizes) + 1):
        names = [t.name for t in tensors if t.first <= n <= t.last]
        sets = [frozenset(name for bit, name in enumerate(names) if mask >> bit & 1) for mask in range(1 << len(names))]
        kernels.append(Kernel(frozenset(names), tuple(Option(s, 0, cycles - saved * len(s)) for s in sets)))
    return kernels, tensors


def price_of(costs: dict[tuple[int, int], int]):
    """Strips of some kernels only."""

    def price(first: int, last: int, limit: int) -> Iterator[Strips]:
        cycles = costs.get((first, last))
        if cycles is not None and cycles < limit:
            yield Strips(first, last, 1, cycles)

    return price


def test_nothing_is_asked_where_everything_stays():
    kernels, tensors = chain([30, 40, 30])

    def price(first: int, last: int, limit: int) -> Iterator[Strips]:
        raise AssertionError("every tensor stays")

    assert plan_depth_first(kernels, tensors, 80, price) == []


def test_a_map_without_room_is_computed_in_strips():
    kernels, tensors = chain([90])
    assert plan_depth_first(kernels, tensors, 80, price_of({(0, 1): 189})) == [Strips(0, 1, 1, 189)]
    assert plan_depth_first(kernels, tensors, 80, price_of({(0, 1): 190})) == []  # too little to be worth it


def test_what_has_to_be_stored_around_a_segment_counts():
    """Kernels 1 and 2 take 180 cycles beside t0 and t2, which save 20 in kernels 0 and 3 and cannot stay any more."""
    kernels, tensors = chain([30, 90, 30])
    assert plan_depth_first(kernels, tensors, 80, price_of({(1, 2): 151})) == [Strips(1, 2, 1, 151)]
    assert plan_depth_first(kernels, tensors, 80, price_of({(1, 2): 160})) == []


def test_of_two_that_overlap_the_better_one_is_taken():
    kernels, tensors = chain([90, 90])
    costs = {(0, 1): 190, (1, 2): 185, (0, 2): 270}
    assert plan_depth_first(kernels, tensors, 80, price_of(costs)) == [Strips(0, 2, 1, 270)]
    costs[0, 2] = 290
    assert plan_depth_first(kernels, tensors, 80, price_of(costs)) == [Strips(1, 2, 1, 185)]


def heights_of(costs: dict[int, int]):
    """Strips of the first two kernels, by their rows."""

    def price(first: int, last: int, limit: int) -> Iterator[Strips]:
        assert (first, last) == (0, 1)
        yield from (Strips(0, 1, rows, cycles) for rows, cycles in costs.items() if cycles < limit)

    return price


def judge_of(hidden: dict[int, int]) -> Callable[[Residency, Sequence[Strips]], int]:
    """The sum without what strips of some height hide of their neighbours' transfers."""

    def judge(rest: Residency, chosen: Sequence[Strips]) -> int:
        return rest.cycles + sum(strips.cycles - hidden.get(strips.rows, 0) for strips in chosen)

    return judge


def test_who_hides_transfers_of_neighbours_is_judged_by_that() -> None:
    """Both heights look worse in the sum than the two whole kernels, of 200 cycles; one is better."""
    kernels, tensors = chain([90])
    price = heights_of({4: 205, 2: 230})
    assert plan_depth_first(kernels, tensors, 80, price) == []
    assert plan_depth_first(kernels, tensors, 80, price, judge=judge_of({2: 60})) == [Strips(0, 1, 2, 230)]
    assert plan_depth_first(kernels, tensors, 80, price, judge=judge_of({2: 35})) == []  # not worth it
    assert plan_depth_first(kernels, tensors, 80, price, judge=judge_of({2: 60, 4: 30})) == [Strips(0, 1, 2, 230)]


def test_what_the_sum_finds_is_judged_as_well() -> None:
    """The best segment, as judged, leaves no place to two that are better together."""
    kernels, tensors = chain([90, 90, 90])
    costs = {(0, 1): 180, (1, 2): 182, (2, 3): 180}

    def judge(rest: Residency, chosen: Sequence[Strips]) -> int:
        return rest.cycles + sum(strips.cycles - 10 * (strips.first == 1) for strips in chosen)

    found = plan_depth_first(kernels, tensors, 80, price_of(costs), judge=judge)
    assert found == [Strips(0, 1, 1, 180), Strips(2, 3, 1, 180)]
    del costs[2, 3]
    assert plan_depth_first(kernels, tensors, 80, price_of(costs), judge=judge) == [Strips(1, 2, 1, 182)]


def test_only_the_best_sums_are_judged() -> None:
    kernels, tensors = chain([90])
    costs = {rows: 170 + rows for rows in range(1, SHORTLIST + 5)}
    asked: set[int] = set()

    def judge(rest: Residency, chosen: Sequence[Strips]) -> int:
        asked.update(strips.rows for strips in chosen)
        return rest.cycles + sum(strips.cycles for strips in chosen)

    assert plan_depth_first(kernels, tensors, 80, heights_of(costs), judge=judge) == [Strips(0, 1, 1, 171)]
    assert asked == set(range(1, SHORTLIST + 1))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(10, 100), min_size=1, max_size=7), st.data())
def test_segments_are_disjoint_and_save_cycles(sizes: list[int], data: st.DataObject):
    kernels, tensors = chain(sizes)
    spans = [(a, b) for a in range(len(kernels)) for b in range(a + 1, len(kernels))]
    costs = {span: data.draw(st.integers(50, 110)) * (span[1] - span[0] + 1) for span in spans}
    found = plan_depth_first(kernels, tensors, 80, price_of(costs))
    assert found == plan_depth_first(kernels, tensors, 80, price_of(costs))
    assert all(strips.last - strips.first < LONGEST for strips in found)
    assert all(a.last < b.first for a, b in pairwise(found))
    left = [t for t in tensors if not any(s.touches(t) for s in found)]
    alone = [k for n, k in enumerate(kernels) if not any(n in s for s in found)]
    rest = sum(min(o.cycles for o in k.options if o.resident <= {t.name for t in left}) for k in alone)
    assert not found or rest + sum(s.cycles for s in found) < plan_residency(kernels, tensors, 80).cycles
