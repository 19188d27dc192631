"""Compact maps: where their bytes lie, which layers may use them, and the jobs of single rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.diana import compact, costs, datapath
from htvm_ir.targets.diana.digital import Digital
from htvm_ir.targets.diana.instruction import DigitalInstruction
from htvm_ir.targets.diana.parameters import DIANA
from htvm_ir.targets.workload import Requant, Tensor, Workload

PUBLISHED = replace(DIANA, compact_maps=False)


def maps(height: int, width: int) -> Tensor:
    return Tensor((1, 3, height, width))


@pytest.mark.parametrize(
    ("height", "width", "pitch", "groups", "rows"),
    [(6, 6, 8, 3, 7), (3, 3, 4, 1, 6), (12, 12, 12, 9, 13), (25, 5, 8, 13, 26), (5, 25, 28, 9, 6), (1, 1, 4, 1, 4)],
)
def test_a_plane_has_room_for_the_surplus_of_its_last_row(height: int, width: int, pitch: int, groups: int, rows: int):
    tensor = maps(height, width)
    assert (compact.pitch(tensor), compact.groups(tensor), compact.plane_rows(tensor)) == (pitch, groups, rows)
    assert compact.layout(tensor).stored_shape(tensor.shape) == (1, 3, rows, pitch)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40))
def test_rows_and_groups_of_sixteen_stay_inside_a_plane(height: int, width: int):
    tensor = maps(height, width)
    last = (height - 1) * compact.pitch(tensor)
    assert last + -(-width // 16) * 16 <= compact.plane_bytes(tensor)
    assert last + width <= 16 * compact.groups(tensor) <= compact.plane_bytes(tensor)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_rows_alone_compute_and_cost_what_all_rows_do(data: st.DataObject):
    stride, fy, fx = (data.draw(st.sampled_from(sizes)) for sizes in ((1, 2), (1, 3, 5), (1, 3)))
    cy, width = data.draw(st.integers(fy, 9)), data.draw(st.integers(fx, 15))
    top = data.draw(st.integers(0, fy - 1))
    oy = (cy - 1 + top) // stride + 1
    plane, pitch, out = compact.plane_bytes(maps(cy, width)), compact.pitch(maps(cy, width)), 4096
    whole = DigitalInstruction.conv(
        input=64, output=out, c=2, k=1, cx=pitch, cy=cy, fx=fx, fy=fy, ox=1, oy=oy, shift=6, stride=stride,
        pad_top=top, pad_bottom=fy, hidden_columns=pitch - width, size_channel=plane,
    )  # fmt: skip
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = random.integers(0, 256, costs.weight_bytes(whole)).astype(np.uint8).tobytes()
    l1 = random.integers(0, 256, 16384).astype(np.uint8)
    expected, got = l1.copy(), l1.copy()
    datapath.execute(expected, whole, weights)
    rows = list(compact.row_jobs(replace(whole, output_channel_size=8 * oy + 16), 8))
    for row in rows:
        assert datapath.validate(row, len(weights)) is None
        datapath.execute(got, row, weights)
    assert sum(map(costs.compute_cycles, rows)) == costs.compute_cycles(whole)
    wide = expected[out:].view(np.int8)[: 16 * oy * 16].reshape(16, oy, 16)[..., np.arange(16) ^ 3]
    narrow = got[out:].view(np.int8)[: 16 * (8 * oy + 16)].reshape(16, oy + 2, 8)[..., np.arange(8) ^ 3]
    np.testing.assert_array_equal(narrow[:, :oy], wide[..., :8])


def conv(height: int, width: int, top: int = 1, channels: int = 20, groups: int = 1) -> Workload:
    tensor = Tensor((1, channels, height, width))
    output = Tensor((1, channels, height + top - 1, width))
    weights = np.ones((channels, channels // groups, 3, 3), np.int8)
    requant = Requant("floor", (1,), (4,), 0, -128, 127)
    return Workload("conv2d", (tensor,), output, weights, pads=(top, 1, 1, 1), groups=groups, requant=requant)


def test_only_narrow_maps_have_compact_mappings():
    engine = Digital()
    assert engine.mappings(conv(6, 6)) == ("", "to_compact", "from_compact", "compact")
    assert engine.mappings(conv(6, 13)) == ("",)  # 16 bytes a row in either layout
    assert Digital(PUBLISHED).mappings(conv(6, 6)) == ("",)
    many = [name for name in engine.mappings(conv(9, 6, groups=20)) if name.startswith("blocks")]
    assert "blocks8_compact" in many and "blocks4_compact" not in many  # 4 x 9 jobs do not fit the list
    assert engine.mappings(conv(30, 6)) == ("", "from_compact")


def test_rows_of_padding_alone_are_not_jobs():
    assert Digital().mappings(conv(6, 6, top=3)) == ("", "from_compact")


def test_the_published_core_takes_whole_rows_only():
    job = DigitalInstruction.conv(input=0, output=4096, c=1, k=1, cx=8, cy=6, fx=1, fy=1, ox=1, oy=1, shift=0)
    assert datapath.validate(job, 16 * 5) is None
    assert "not a stored width" in (datapath.validate(job, 16 * 5, PUBLISHED) or "")
    shifted = replace(job, cx=16, padded_cx=16, size_channel=96, input=8)
    assert datapath.validate(shifted, 16 * 5) is None
    assert "multiple of 16" in (datapath.validate(shifted, 16 * 5, PUBLISHED) or "")
