"""The CPU's cost model: what it counts, and that it still predicts what kernels take on the virtual core."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.host_costs import fit
from benchmarks.host_kernels import ANALOG, DIGITAL, ROWS, Case, Measured, measure
from htvm_ir.targets.diana.host import LoopCosts, MeasuredHost, counts, key_of
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.workload import Requant, Tensor, Workload

FLAT = Layout.row_major(4)
SWAPPED = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)
CHANNELS = Layout((0, 2, 3, 1), (1, 16, 1, 1), xor=3)


def conv(size: int, kernel: int, channels: int = 2, groups: int = 1) -> Workload:
    weights = np.ones((channels, channels // groups, kernel, kernel), np.int8)
    shape = (1, channels, size, size)
    pad = kernel // 2
    return Workload("conv2d", (Tensor(shape),), Tensor(shape), weights, pads=(pad, pad, pad, pad), groups=groups)


def test_taps_in_the_padding_do_not_count():
    assert counts(conv(1, 3), (FLAT, FLAT), 8)[-3:] == (4, 4, 4)
    assert counts(conv(4, 3), (FLAT, FLAT), 8)[-3:] == (2 * 2 * 16, 2 * 2 * 10 * 4, 2 * 2 * 100)


@pytest.mark.parametrize(
    ("size", "source", "output", "expected"),
    [
        (8, FLAT, FLAT, (1, 0, 0, 0, 128, 1, 0, 0)),  # all of it is one loop, of which no addresses are exchanged
        (1, FLAT, FLAT, (1, 0, 2, 0, 0, 1, 0, 0)),  # the loop over channels is short
        (5, FLAT, SWAPPED, (1, 40, 10, 0, 0, 10, 30, 20)),
        (12, FLAT, SWAPPED, (1, 0, 0, 288, 0, 24, 0, 24)),
        (9, SWAPPED, SWAPPED, (1, 0, 0, 144, 18, 18, 54, 18)),
        (4, FLAT, CHANNELS, (1, 0, 32, 0, 0, 16, 32, 48)),
        (16, SWAPPED, FLAT, (1, 0, 0, 512, 0, 1, 0, 0)),
    ],
)
def test_outputs_count_by_the_length_of_the_inner_loop(
    size: int, source: Layout, output: Layout, expected: tuple[int, ...]
):
    shape = (1, 2, size, size)
    workload = Workload("requant", (Tensor(shape),), Tensor(shape))
    assert counts(workload, (source, output), 8) == (*expected, 0, 0, 0)


def test_windows_of_words_count_instructions():
    def pooled(low: int, high: int, width: int = 9) -> tuple[str, tuple[int, ...]]:
        shapes = Tensor((1, 2, 4, width)), Tensor((1, 2, 1, 1))
        pool = Workload("pool", shapes[:1], shapes[1], window=(4, width), mode="average", ranges=((low, high),))
        return key_of(pool, (SWAPPED, FLAT)), counts(pool, (SWAPPED, FLAT), 8)[-3:]

    # Eight words in four pairs, whose sums of bytes come before four instructions each; a byte of each row.
    assert pooled(0, 127) == ("sum swapped", (2, 2 * 4, 2 * (8 + 4 + 4 * 4)))
    assert pooled(-1, 127) == ("signed sum swapped", (2, 2 * 4, 2 * (16 + 8 * 4)))
    # As many words, of which four are masked.
    assert pooled(0, 127, 6) == ("sum swapped", (2, 0, 2 * (8 + 4 + 4 + 4 * 4)))
    assert pooled(0, 127, 3)[0] == "average swapped"


def test_clips_of_words_are_a_kind_of_their_own():
    shape = (1, 16, 8, 8)

    def key(low: int, hi: int) -> str:
        requant = Requant("floor", (1,), (0,), 0, 0, hi)
        clip = Workload("requant", (Tensor(shape),), Tensor(shape), requant=requant, ranges=((low, 127),))
        return key_of(clip, (SWAPPED, CHANNELS))

    assert key(0, 63) == "clip swapped channels"
    assert {key(-1, 63), key(0, 31), key(0, 60)} == {"clamp swapped channels"}


def test_words_across_rows_count_by_the_axis_they_lie_on():
    requant = Requant("floor", (1,), (0,), 0, 0, 63)

    def clipped(channels: int, width: int, source: Layout = SWAPPED, output: Layout = CHANNELS):
        tensor = Tensor((1, channels, 2, width))
        clip = Workload("requant", (tensor,), tensor, requant=requant, ranges=((0, 127),))
        return key_of(clip, (source, output)), counts(clip, (source, output), 64)[1:8]

    # An odd number of channels makes no difference to what is read in words: 8 of 9 columns, 4 rows at a time.
    assert clipped(64, 9) == ("clip swapped channels", (1024, 128, 0, 0, 2 * (2 + 1), 0, 0))
    assert clipped(63, 9) == ("clip swapped channels", (1008, 126, 0, 0, 2 * (2 + 1), 18, 0))
    assert clipped(8, 9, SWAPPED, FLAT)[0] == "clamp swapped rows"  # rows begin inside words
    assert clipped(8, 12, SWAPPED, FLAT) == ("clip swapped rows", (192, 0, 0, 0, 16, 0, 0))


def test_words_that_only_move_are_counted_as_such():
    tensor = Tensor((1, 2, 4, 36))
    mirrored = Workload("reverse", (tensor,), tensor, reversed_axes=(3,))
    assert key_of(mirrored, (FLAT, SWAPPED)) == "move"
    assert counts(mirrored, (FLAT, SWAPPED), 8) == (1, 0, 0, 256, 32, 8, 0, 24, 0, 0, 0)
    copied = Workload("convert_layout", (tensor,), tensor)
    assert key_of(copied, (FLAT, SWAPPED)) == "copy rows swapped"
    assert key_of(copied, (FLAT, Layout(FLAT.order, SWAPPED.multiple))) == "move"
    odd = Tensor((1, 2, 4, 35))
    assert key_of(Workload("convert_layout", (odd,), odd), (FLAT, SWAPPED)) == "convert_layout rows swapped"


def test_rows_that_lie_apart_are_loops_of_their_own():
    tensor = Tensor((1, 4, 2, 16))
    whole = Workload("requant", (tensor,), tensor)
    assert counts(whole, (SWAPPED, SWAPPED), 8)[5] == 1
    assert counts(replace(whole, apart=True), (SWAPPED, SWAPPED), 8)[5] == 8
    moved = Workload("convert_layout", (tensor,), tensor)
    assert key_of(moved, (FLAT, FLAT)) == key_of(replace(moved, apart=True), (FLAT, FLAT)) == "move"


def test_a_reshape_to_c_order_costs_what_a_conversion_does():
    host = diana().host
    source, flat = Tensor((1, 16, 5, 7)), Tensor((1, 560))
    reshape, conversion = Workload("reshape", (source,), flat), Workload("convert_layout", (source,), source)
    assert host.cycles(reshape, (SWAPPED, Layout.row_major(2))) == host.cycles(conversion, (SWAPPED, FLAT))
    padded = Layout((0, 1), (1, 64))
    assert host.cycles(reshape, (SWAPPED, padded)) > host.cycles(reshape, (SWAPPED, Layout.row_major(2)))


def test_pooling_counts_its_windows():
    pool = Workload("pool", (Tensor((1, 3, 8, 8)),), Tensor((1, 3, 4, 4)), strides=(2, 2), window=(2, 2), mode="max")
    assert counts(pool, (FLAT, FLAT), 8)[-3:] == (48, 96, 192)
    assert key_of(pool, (SWAPPED, CHANNELS)) == "max swapped channels"


def test_what_was_not_measured_costs_an_average():
    loops = LoopCosts(8, (0, 5, 5, 5, 5, 0, 0, 0, 0, 0, 0))
    host = MeasuredHost(per_element={"lookup": 1, "other": 9}, table={"add rows rows": loops}, scaled=7)
    shape = (1, 2, 8, 8)
    one = Workload("lookup", (Tensor(shape),), Tensor(shape))
    two = Workload("add", (Tensor(shape),) * 2, Tensor(shape), requant=Requant("floor", (3,), (1,), 0, 0, 9))
    assert host.cycles(one) == 128
    assert host.cycles(two) == 128 * (5 + 7)


def test_the_fit_finds_the_costs_of_a_machine_that_has_such_costs():
    true = LoopCosts(8, (50, 2, 3, 6, 7, 4, 1, 1, 0, 0, 0))
    group: list[Measured] = []
    for size in (3, 4, 5, 7, 8, 9, 10, 16, 20, 24, 25, 33):
        shape = (1, 4, size, size)
        workload = Workload("requant", (Tensor(shape),), Tensor(shape))
        cycles = sum(a * b for a, b in zip(true.cycles, counts(workload, (SWAPPED, SWAPPED), 8), strict=True))
        group.append(Measured(workload, (SWAPPED, SWAPPED), round(cycles)))
    found = fit(group)
    host = MeasuredHost(table={"requant swapped swapped": found})
    for m in group:
        assert host.cycles(m.workload, m.layouts) == pytest.approx(m.cycles, rel=0.05)


def test_only_limits_that_can_be_exceeded_cost():
    host = MeasuredHost(table={"requant rows rows": LoopCosts(8, (0,) * 11)}, clip=1)
    shape = (1, 1, 4, 4)

    def clips(low: int, high: int, shift: int = 0) -> int:
        requant = Requant("floor", (1,), (shift,), 0, low, high)
        workload = Workload("requant", (Tensor(shape),), Tensor(shape), requant=requant, ranges=((-128, 127),))
        return host.cycles(workload) // 16

    assert [clips(-128, 127), clips(-64, 63, 1), clips(-63, 63, 1), clips(0, 63), clips(0, 63, 1)] == [0, 0, 1, 2, 1]


CASES = (
    Case("conv2d", (1, 24, 9, 9), 8, (3, 3), 1, DIGITAL, DIGITAL),
    Case("conv2d", (1, 48, 12, 12), 16, (1, 1), 1, ROWS, ROWS),
    Case("depthwise", (1, 24, 14, 14), 0, (3, 3), 1, DIGITAL, DIGITAL),
    Case("depthwise", (1, 192, 1, 1), 0, (3, 3), 1, DIGITAL, DIGITAL),
    Case("average", (1, 96, 6, 6), 0, (6, 6), 1, DIGITAL, ROWS),
    Case("max", (1, 24, 12, 12), 0, (2, 2), 2, ROWS, ROWS),
    Case("add", (1, 24, 12, 12), source=DIGITAL, reader=DIGITAL),
    Case("requant", (1, 32, 24, 24), source=ANALOG, reader=DIGITAL),
)
"""Shapes the constants were not fitted on."""


def test_predictions_agree_with_the_virtual_core():
    host = diana().host
    measured = measure(CASES)
    assert len(measured) > len(CASES)  # conversions at the edges too
    ratios = {
        (key_of(m.workload, m.layouts), m.workload.output.shape): host.cycles(m.workload, m.layouts) / m.cycles
        for m in measured
    }
    assert {key: ratio for key, ratio in ratios.items() if not 0.7 <= ratio <= 1.4} == {}
    assert np.mean([abs(ratio - 1) for ratio in ratios.values()]) < 0.2
