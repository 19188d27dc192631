"""Kernels one after the other: what depends on rows comes after them, neighbours overlap as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.schedule.chain import Act, Region, Room, cycles, linked
from htvm_ir.schedule.transfers import Event, simulate

CALL = 10
SIZES = {"L1": 100}


def kernel(number: int, tiles: Sequence[tuple[int, int, int]], size: int = 10, whole: bool = False) -> list[Act]:
    """Load, job and store of each tile, a row, with two buffers of ``size`` bytes each; whole: all read all rows."""
    acts: list[Act] = []

    def add(event: Event, *slots: str, reads: tuple[Region, ...] = (), writes: tuple[Region, ...] = ()) -> int:
        rooms = tuple(Room((number, slot), "L1", size) for slot in slots)
        acts.append(Act(event, reads, writes, rooms))
        return len(acts) - 1

    def load(tile: int) -> int:
        rows = Region(number - 1, 0, len(tiles)) if whole else Region(number - 1, tile, tile + 1)
        return add(Event(0, 9, tiles[tile][0], "in", 4, True), f"in{tile % 2}", reads=(rows,))

    loads = [load(tile) for tile in range(min(2, len(tiles)))]
    stores: list[int] = []
    for tile, (_, job, store) in enumerate(tiles):
        slots = (f"in{tile % 2}", f"out{tile % 2}")
        if tile > 1:
            add(Event(0, 0, waits_for=stores[tile - 2]), slots[1])
        add(Event(0, 0, waits_for=loads[tile]), slots[0])
        add(Event(0, 0, waits_for=add(Event(0, 4, job, "array"), *slots)), *slots)
        stores.append(add(Event(0, 9, store, "out", 4), slots[1], writes=(Region(number, tile, tile + 1),)))
        if tile + 2 < len(tiles):
            loads.append(load(tile + 2))
    for store in stores[-2:]:
        add(Event(0, 0, waits_for=store), f"out{stores.index(store) % 2}")
    return acts


def in_order(kernels: Sequence[Sequence[Act]]) -> int:
    events = list(linked(kernels))
    return simulate(events, range(len(events)), CALL).total()


tile = st.tuples(st.integers(10, 400), st.integers(10, 400), st.integers(10, 400))
layers = st.lists(st.lists(tile, min_size=1, max_size=5), min_size=1, max_size=4)


@settings(deadline=None, max_examples=50)
@given(layers)
def test_a_chain_takes_no_longer_than_its_kernels_and_no_less_than_their_units(
    tiles: list[list[tuple[int, int, int]]],
) -> None:
    kernels = [kernel(number, layer) for number, layer in enumerate(tiles)]
    total = cycles(kernels, SIZES, CALL)
    assert total <= in_order(kernels) <= sum(in_order([acts]) for acts in kernels)
    assert total >= sum(load + store for layer in tiles for load, _, store in layer)
    assert total >= sum(job for layer in tiles for _, job, _ in layer)


def test_a_load_comes_after_the_rows_it_reads() -> None:
    """The second kernel's first load needs the first store only, or all of them."""
    tiles = [(50, 100, 50)] * 4
    for whole, needed in ((False, 1), (True, 4)):
        first = kernel(0, tiles)
        events = list(linked([first, kernel(1, tiles, whole=whole)]))
        (load,) = [event for event in events[len(first) :] if event.load][:1]
        waits = {events[number].waits_for for number in load.after}
        assert len(waits) == needed
        assert all(events[start].unit == "out" for start in waits if start is not None)


def test_what_cannot_be_hidden_is_told() -> None:
    """Between kernels on rows nothing is left; one that needs all rows waits for the last store and its first load."""
    tiles = [(100, 300, 100)] * 6
    rows, whole = (cycles([kernel(0, tiles), kernel(1, tiles, whole=way)], SIZES, CALL) for way in (False, True))
    assert 12 * 300 + 200 < rows < 12 * 300 + 500
    assert whole - rows > 150


def test_neighbours_overlap_where_their_tiles_have_room() -> None:
    tiles = [(100, 300, 100)] * 6
    fitting, large = ([kernel(n, tiles, size) for n in range(2)] for size in (12, 25))
    assert cycles(fitting, SIZES, CALL) < in_order(fitting) - 100
    assert cycles(large, SIZES, CALL) == in_order(large)


def test_what_stays_takes_room_from_its_first_use_to_its_last() -> None:
    """Kernels under a tensor that stays have no room for their tiles side by side."""
    tiles = [(100, 300, 100)] * 6
    kernels = [kernel(n, tiles, 12) for n in range(4)]
    job = next(place for place, act in enumerate(kernels[0]) if act.event.is_job)

    def held(by: Sequence[int]) -> int:
        room, changed = Room("t", "L1", 45), [list(acts) for acts in kernels]
        for number in by:
            act = changed[number][job]
            changed[number][job] = Act(act.event, act.reads, act.writes, (*act.rooms, room))
        return cycles(changed, SIZES, CALL)

    assert held([]) == held([0]) < held([0, 1]) < held([0, 3])
