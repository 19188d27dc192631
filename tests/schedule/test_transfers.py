"""Orders of transfers and jobs: no rule is broken, no order is slower than the given one, room is respected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.schedule.transfers import Event, overlap, simulate

CALL = 10


def kernel(
    number: int, tiles: Sequence[tuple[int, int, int]], before: Sequence[int], first: int, engine: str = "array"
) -> list[Event]:
    """Two buffers for each operand: (load, job, store) cycles of each tile; a load needs some of the stores before."""
    events: list[Event] = []
    loads: list[int] = []

    def add(**fields: object) -> int:
        events.append(Event(number, **fields))  # pyright: ignore[reportArgumentType]
        return first + len(events) - 1

    def load(tile: int) -> None:
        needed = frozenset(before[: -(-len(before) * (tile + 1) // len(tiles))])
        loads.append(add(cpu=9, work=tiles[tile][0], unit=f"{engine} in", queue=4, load=True, after=needed))

    for tile in range(min(2, len(tiles))):
        load(tile)
    stores: list[int] = []
    for tile, (_, job, store) in enumerate(tiles):
        if tile >= 2:
            add(cpu=0, waits_for=stores[tile - 2])
        add(cpu=0, waits_for=loads[tile])
        launched = add(cpu=4, work=job, unit=engine)
        add(cpu=0, waits_for=launched)
        stores.append(add(cpu=9, work=store, unit=f"{engine} out", queue=4))
        if tile + 2 < len(tiles):
            load(tile + 2)
    for store in stores[-2:]:
        add(cpu=0, waits_for=store)
    return events


def chain(layers: Sequence[Sequence[tuple[int, int, int]]]) -> list[Event]:
    """Kernels of which each reads what the one before it stored."""
    events: list[Event] = []
    stored: list[int] = []
    for number, tiles in enumerate(layers):
        first = len(events)
        events += kernel(number, tiles, stored, first)
        ends = range(first, len(events))
        stored = _stored(events, ends)
    return events


def _stored(events: Sequence[Event], among: Sequence[int]) -> list[int]:
    """The waits for stores, in the order of these."""
    waits = {w: n for n in among if (w := events[n].waits_for) is not None and events[w].unit.endswith(" out")}
    return [waits[store] for store in sorted(waits)]


def graph(layers: Sequence[tuple[Sequence[tuple[int, int, int]], str, int]]) -> list[Event]:
    """Kernels of some engine, of which each reads what one of the two before it stored."""
    events: list[Event] = []
    stored: list[list[int]] = [[]]
    for number, (tiles, engine, distance) in enumerate(layers):
        first = len(events)
        events += kernel(number, tiles, stored[-min(distance, len(stored))], first, engine)
        stored.append(_stored(events, range(first, len(events))))
    return events


tile = st.tuples(st.integers(10, 400), st.integers(10, 400), st.integers(10, 400))
engines = st.sampled_from(["array", "imc"])
chains = st.lists(st.lists(tile, min_size=1, max_size=6), min_size=1, max_size=5).map(chain)


@settings(deadline=None, max_examples=100)
@given(chains)
def test_an_order_keeps_every_rule_and_is_not_slower(events: list[Event]) -> None:
    order = overlap(events, CALL, lambda _: True)
    assert sorted(order) == list(range(len(events)))
    place = {number: index for index, number in enumerate(order)}
    for number, event in enumerate(events):
        assert event.waits_for is None or place[event.waits_for] < place[number]
        assert all(place[earlier] < place[number] for earlier in event.after)
    for unit in ("array in", "array"):  # what a unit is given stays in its order
        given_to = [number for number in order if events[number].unit == unit]
        assert given_to == sorted(given_to)
    assert simulate(events, order, CALL).total() <= simulate(events, range(len(events)), CALL).total()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.lists(tile, min_size=1, max_size=5), engines, st.integers(1, 2)), max_size=6).map(graph))
def test_two_engines_keep_every_rule_too(events: list[Event]) -> None:
    order = overlap(events, CALL, lambda _: True)
    assert sorted(order) == list(range(len(events)))
    busy: set[str] = set()
    seen: set[int] = set()
    for number in order:
        event = events[number]
        assert event.after <= seen and (event.waits_for is None or event.waits_for in seen)
        if event.is_job:
            assert event.unit not in busy  # an engine takes a job when the last one has been waited for
            busy.add(event.unit)
        elif event.waits_for is not None:
            busy.discard(events[event.waits_for].unit)
        seen.add(number)
    assert simulate(events, order, CALL).total() <= simulate(events, range(len(events)), CALL).total()


def test_kernels_of_two_engines_run_beside_each_other() -> None:
    """The whole of them if they are independent, else what has its rows; one engine only ever does one job."""
    tiles = [(50, 500, 50)] * 4
    for distance, engine, gain in ((2, "imc", 1.8), (1, "imc", 1.1), (2, "array", 1.0)):
        events = graph([(tiles, "array", 1), (tiles, engine, distance)])
        order = overlap(events, CALL, lambda _: True)
        before, after = (simulate(events, o, CALL).total() for o in (range(len(events)), order))
        assert gain <= before / after < gain + 0.15


def test_of_two_that_keep_the_cpu_waiting_alike_either_may_come_first() -> None:
    """The second kernel needs nothing of the first: its short load comes before the long one, as its job is longer."""
    events = graph([([(100, 200, 20)], "imc", 1), ([(20, 400, 100)], "array", 2)])
    order = overlap(events, CALL, lambda _: True)
    assert events[order[0]].unit == "array in"
    assert simulate(events, order, CALL).total() < 20 + 400 + 100 + 50


@settings(deadline=None, max_examples=50)
@given(chains)
def test_no_order_is_faster_than_its_units(events: list[Event]) -> None:
    total = simulate(events, overlap(events, CALL, lambda _: True), CALL).total()
    assert total >= sum(event.work for event in events if event.queue)
    assert total >= sum(event.work for event in events if event.is_job)


@settings(deadline=None, max_examples=50)
@given(chains)
def test_without_room_everything_stays(events: list[Event]) -> None:
    assert overlap(events, CALL, lambda _: False) == list(range(len(events)))


def test_the_gap_between_two_kernels_closes() -> None:
    """A load and a store of 100 cycles each lie there, of which the CPU's part, and a wait, remain."""
    events = chain([[(100, 300, 100)] * 6] * 2)
    before = simulate(events, range(len(events)), CALL).total()
    after = simulate(events, overlap(events, CALL, lambda _: True), CALL).total()
    assert 150 <= before - after <= 200


def test_a_full_queue_holds_the_cpu() -> None:
    events = [Event(0, 1, 100, "in", 2, True) for _ in range(4)] + [Event(0, 0, waits_for=3)]
    assert simulate(events, [0, 1], 0).total() == 2
    assert simulate(events, [0, 1, 2], 0).total() == 101
    assert simulate(events, range(5), 0).total() == 401


def test_a_kernel_of_the_cpu_is_beside_the_loads_behind_it() -> None:
    cpu, load = Event(0, 500), Event(1, 9, 400, "in", 4, True)
    events = [cpu, load, Event(1, 0, waits_for=1), Event(1, 4, 50, "array"), Event(1, 0, waits_for=3)]
    assert overlap(events, CALL, lambda _: True)[0] == 1
    needed = [cpu, Event(1, 9, 400, "in", 4, True, after=frozenset({0})), *events[2:]]
    assert overlap(needed, CALL, lambda _: True) == list(range(5))


def test_nothing_passes_a_barrier() -> None:
    events = [Event(0, 500, barrier=True), Event(1, 9, 400, "in", 4, True), Event(1, 0, waits_for=1)]
    assert overlap(events, CALL, lambda _: True) == [0, 1, 2]
    assert overlap([replace(events[0], barrier=False), *events[1:]], CALL, lambda _: True) == [1, 0, 2]


def test_only_transfers_of_one_port_take_turns() -> None:
    for port, cycles in (("", 300), ("external", 200)):
        events = [Event(0, 0, 100, "in", 4, True), Event(0, 0, 200, "ext", 4, True, port)]
        assert simulate([*events, Event(0, 0, waits_for=0), Event(0, 0, waits_for=1)], range(4), 0).total() == cycles
