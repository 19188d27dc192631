"""The analog core's arithmetic against plain numpy, and what its instructions may not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.diana import analog_datapath, costs
from htvm_ir.targets.diana.analog_instruction import AnalogInstruction
from htvm_ir.targets.diana.analog_packing import pack_weights
from htvm_ir.targets.diana.parameters import DIANA

Int = npt.NDArray[np.int64]
CONV = AnalogInstruction.conv(
    input=0, output=2048, c=16, k=16, cx=8, cy=8, fx=3, fy=3, ox=8, oy=8,
    pad_top=1, pad_left=1, pad_bottom=1, pad_right=1,
)  # fmt: skip


def plain(x: Int, w: Int, stride: int, pads: tuple[int, int, int, int]) -> Int:
    """Sums of a convolution, tap by tap; pads are top, left, bottom, right."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    oy, ox = ((n - f) // stride + 1 for n, f in zip(padded.shape[1:], w.shape[2:], strict=True))
    acc = np.zeros((len(w), oy, ox), np.int64)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            ys, xs = slice(i, i + stride * (oy - 1) + 1, stride), slice(j, j + stride * (ox - 1) + 1, stride)
            acc += np.tensordot(w[:, :, i, j], padded[:, ys, xs], (1, 0))
    return acc


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_job_equals_plain_numpy(data: st.DataObject):
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    fy, fx, stride, gain = draw(1, 4), draw(1, 4), draw(1, 2), draw(1, 1 << 20)
    c, k, cy, cx = draw(1, 70), draw(1, 70), draw(fy, 12), draw(fx, 12)
    pads = (draw(0, 3), draw(0, 3), draw(0, 3), draw(0, 3))
    rng = np.random.default_rng(draw(0, 99))
    x, w = rng.integers(-64, 64, (c, cy, cx)), rng.integers(-1, 2, (k, c, fy, fx))
    mac = plain(x, w, stride, pads)
    entry = AnalogInstruction.conv(
        input=0, output=8192, c=c, k=k, cx=cx, cy=cy, fx=fx, fy=fy, ox=mac.shape[2], oy=mac.shape[1], stride=stride,
        pad_top=pads[0], pad_left=pads[1], pad_bottom=pads[2], pad_right=pads[3],
    )  # fmt: skip
    assert analog_datapath.validate(entry) is None
    l1 = np.zeros(DIANA.l1_bytes, np.uint8)
    analog_datapath.scatter(l1, 0, x.reshape(c, -1).astype(np.int8))
    analog_datapath.execute(l1, entry, pack_weights(w.astype(np.int8)), gain)
    got = analog_datapath.gather(l1.view(np.int8), 8192, k, mac[0].size)
    expected = np.clip(np.floor_divide(mac * 65536, gain), -32, 31)
    np.testing.assert_array_equal(got, expected.reshape(k, -1))


def test_the_converters_round_down_and_clip():
    sums = np.array([-7, 7, -1000, 1000, 0])
    assert analog_datapath.convert(sums, int(2.5 * 65536)).tolist() == [-3, 2, -32, 31, 0]
    assert analog_datapath.convert(sums, 0).tolist() == [-7, 7, -32, 31, 0]
    assert analog_datapath.convert(np.array([-5]), 4 << 16).tolist() == [-5 >> 2]


def test_unrolling_changes_time_and_not_results():
    x = np.random.default_rng(0).integers(-64, 64, (16, 64)).astype(np.int8)
    image = pack_weights(np.random.default_rng(1).integers(-1, 2, (16, 16, 3, 3)).astype(np.int8))
    results: list[Any] = []
    for unroll in (1, 4):
        l1 = np.zeros(DIANA.l1_bytes, np.uint8)
        analog_datapath.scatter(l1, 0, x)
        entry = replace(CONV, ox=8 // unroll, ox_unroll=unroll)
        assert analog_datapath.validate(entry) is None
        analog_datapath.execute(l1, entry, image, 1 << 18)
        results.append(l1)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (replace(CONV, skip_batch_norm=0), "R0 is 0x2F: post-processing in the core is not implemented"),
        (replace(CONV, buffer_offset=9), "offsets into the array"),
        (replace(CONV, weight_init=0), "keeps the weights"),
        (replace(CONV, oy=0), "oy is 0"),
        (replace(CONV, stride=3), "stride 3"),
        (replace(CONV, pad_bottom=0), "needs 1 pixels of padding at the bottom, not 0"),
        (replace(CONV, pad_right=0), "needs 1 pixels of padding at the right, not 0"),
        (replace(CONV, c=144, blocks=3), "1296 rows exceed the array's 1152"),
        (replace(CONV, k=600), "600 columns exceed the array's 512"),
        (replace(CONV, ox=1, ox_unroll=8), "ox_unroll 8"),
        (replace(CONV, blocks=2), "16 input channels are 1 blocks of 64, not 2"),
        (replace(CONV, columns=1), "need the column blocks 0x8000, not 0x0001"),
        (replace(CONV, output=16380), "writes L1 up to byte 263104 of 262144"),
        (replace(CONV, output=63), "the output overlaps the input"),
    ],
)
def test_illegal_entries_are_named(entry: AnalogInstruction, reason: str):
    assert reason in (analog_datapath.validate(entry) or "")


def test_the_cost_is_odimo_s():
    """32x32x16 to 16, 3x3, four columns at once: 256 activations of 18.2 cycles and 1152 cycles of weights."""
    entry = AnalogInstruction.conv(input=0, output=0, c=16, k=16, cx=32, cy=32, fx=3, fy=3, ox=32, oy=32, ox_unroll=4)
    assert costs.analog_compute_cycles(entry) == 4660
    assert costs.analog_weight_cycles(entry) == DIANA.weight_start + 1152
    wide = replace(entry, c=256, ox_unroll=1, ox=32, fx=1, fy=1)
    assert costs.analog_compute_cycles(wide) == -(-2 * 1024 * 182 // 10)
