"""Sums over a trace."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.sim.trace import Interval, Trace, UnitTotals

_INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=8)


def test_totals_are_by_unit_in_order_of_appearance():
    trace = Trace(
        [Interval("dma", "in", 5, 9, 32), Interval("array", "conv", 9, 20), Interval("dma", "out", 20, 26, 64)]
    )
    assert list(trace.totals().items()) == [("dma", UnitTotals(2, 10, 96)), ("array", UnitTotals(1, 11, 0))]


@settings(deadline=None, max_examples=50)
@given(_INTERVALS)
def test_busy_counts_each_cycle_once(spans: list[tuple[int, int]]):
    trace = Trace([Interval("unit", "work", start, start + length) for start, length in spans])
    cycles = {cycle for start, length in spans for cycle in range(start, start + length)}
    assert trace.busy("unit") == len(cycles)
    assert trace.busy("other") == 0
