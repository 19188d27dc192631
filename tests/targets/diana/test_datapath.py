"""The arithmetic of a job against a plain element-wise model, what validation refuses, and the cost formulas."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.diana import costs, datapath, packing
from htvm_ir.targets.diana.instruction import DigitalInstruction, Mode, program
from htvm_ir.targets.diana.parameters import DIANA

Int = npt.NDArray[np.int64]


def memory() -> packing.Bytes:
    """An L1 full of noise."""
    return np.random.default_rng(0).integers(0, 256, DIANA.l1_bytes).astype(np.uint8)


def put(l1: packing.Bytes, address: int, values: Int) -> None:
    """Store elements by the published formula, one byte at a time."""
    for index, value in enumerate(values.reshape(-1).tolist()):
        l1[address + (index ^ 3)] = value & 0xFF


def get(l1: packing.Bytes, address: int, *shape: int) -> Int:
    """Load elements by the published formula."""
    index = np.arange(int(np.prod(shape))) ^ 3
    return l1[address + index].view(np.int8).astype(np.int64).reshape(shape)


def requant(acc: int, shift: int, relu: bool) -> int:
    """Wrap to 32 bits, shift towards minus infinity, clip."""
    wrapped = (acc + 2**31) % 2**32 - 2**31
    return min(127, max(0 if relu else -128, wrapped >> shift))


@dataclass(frozen=True)
class Conv:
    """A convolution as a plain nest of loops; `visible` columns of the stored width are data."""

    x: Int
    w: Int
    b: Int
    stride: int
    top: int
    left: int
    visible: int

    def accumulator(self, k: int, y: int, x: int) -> int:
        """One output before requantisation."""
        total = int(self.b[k])
        for (c, fy, fx), weight in np.ndenumerate(self.w[k]):
            iy, ix = self.stride * y + fy - self.top, self.stride * x + fx - self.left
            if 0 <= iy < self.x.shape[1] and 0 <= ix < self.visible:
                total += int(weight) * int(self.x[c, iy, ix])
        return total


@settings(deadline=None, max_examples=25)
@given(
    c=st.integers(1, 4),
    k=st.integers(1, 2),
    fy=st.sampled_from((1, 3, 5)),
    fx=st.sampled_from((1, 3, 7)),
    stride=st.sampled_from((1, 2)),
    top=st.integers(0, 2),
    left=st.integers(0, 3),
    hidden=st.sampled_from((0, 0, 7, 15)),
    relu=st.booleans(),
    shift=st.sampled_from((0, 5, 9)),
)
def test_conv_is_the_published_formula(
    c: int, k: int, fy: int, fx: int, stride: int, top: int, left: int, hidden: int, relu: bool,
    shift: int,
):  # fmt: skip
    rng = np.random.default_rng(c * 100 + fy * 10 + fx)
    cy, cx, oy = 6, 16 * stride, 4
    conv = Conv(
        rng.integers(-128, 128, (c, cy, cx)),
        rng.integers(-128, 128, (16 * k, c, fy, fx)),
        rng.integers(-9000, 9000, 16 * k),
        stride,
        top,
        left,
        cx - hidden,
    )
    offset = 32
    entry = DigitalInstruction.conv(
        input=256, output=4096, c=c, k=k, cx=cx, cy=cy, fx=fx, fy=fy, ox=1, oy=oy, shift=shift,
        relu=relu, stride=stride, pad_left=left, pad_top=top, pad_bottom=8, hidden_columns=hidden,
        weights=offset, size_channel=cx * cy + 16, output_channel_size=16 * oy + 32,
    )  # fmt: skip
    l1 = memory()
    before = l1.copy()
    for plane in range(c):
        put(l1, 256 + plane * (cx * cy + 16), conv.x[plane])
    stream = bytes(offset) + packing.pack_conv(conv.w.astype(np.int8), conv.b.astype(np.int32))
    assert datapath.validate(entry, len(stream)) is None
    datapath.execute(l1, entry, stream)
    for channel in range(16 * k):
        base = 4096 + channel * (16 * oy + 32)
        expected = [requant(conv.accumulator(channel, y, x), shift, relu) for y in range(oy) for x in range(16)]
        assert get(l1, base, 16 * oy).tolist() == expected
        gap = slice(base + 16 * oy, base + 16 * oy + 32)
        np.testing.assert_array_equal(l1[gap], before[gap])


def test_a_depthwise_job_computes_and_stores_sixteen_lanes():
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (8, 4, 16))
    w = rng.integers(-20, 20, (8, 1, 3, 3))
    b = rng.integers(-99, 99, 8)
    image = packing.pack_depthwise(w.astype(np.int8), b.astype(np.int32))
    group = packing.depthwise_group_bytes(3, 3)
    l1 = memory()
    put(l1, 0, x)
    for i in range(8):
        job = DigitalInstruction.conv(
            input=i * 64, output=1024 + i * 64, c=1, k=1, cx=16, cy=4, fx=3, fy=3, ox=1, oy=4,
            shift=4, pad_left=1, pad_top=1, pad_bottom=1,
        )  # fmt: skip
        start = i // 4 * group + i % 4 * 4
        datapath.execute(l1, job, image[start : start + group])
    for i in range(8):
        plain = Conv(x[i : i + 1], w[i : i + 1], b[i : i + 1], 1, 1, 1, 16)
        wanted = [requant(plain.accumulator(0, y, c), 4, False) for y in range(4) for c in range(16)]
        assert get(l1, 1024 + i * 64, 64).tolist() == wanted
    # The last job's other lanes are stored too: every fourth with weights of other channels, the rest zero.
    junk = get(l1, 1024 + 7 * 64, 16, 64).any(axis=1)
    assert junk.tolist() == [lane % 4 == 0 for lane in range(16)]


def test_lane_four_of_a_depthwise_job_holds_the_following_channel():
    w = np.ones((4, 1, 1, 1), np.int8)
    w[1] = 5
    image = packing.pack_depthwise(w, np.zeros(4, np.int32))
    job = DigitalInstruction.conv(input=0, output=1024, c=1, k=1, cx=16, cy=1, fx=1, fy=1, ox=1, oy=1, shift=0)
    l1 = memory()
    put(l1, 0, np.full(16, 3))
    datapath.execute(l1, job, image[: packing.depthwise_group_bytes(1, 1)])
    assert get(l1, 1024, 16, 16)[:6, 0].tolist() == [3, 0, 0, 0, 15, 0]


def test_dense_is_a_matrix_product_and_identity_weights_return_the_input():
    x = np.arange(-8, 8)
    identity = packing.pack_dense(np.eye(16, dtype=np.int8), np.zeros(16, np.int32))
    l1 = memory()
    put(l1, 64, x)
    entry = DigitalInstruction.dense(input=64, output=128, c=1, k=1, shift=0)
    assert datapath.validate(entry, len(identity)) is None
    datapath.execute(l1, entry, identity)
    assert get(l1, 128, 16).tolist() == x.tolist()

    rng = np.random.default_rng(1)
    w, b, v = rng.integers(-128, 128, (32, 48)), rng.integers(-999, 999, 32), rng.integers(-128, 128, 48)
    stream = packing.pack_dense(w.astype(np.int8), b.astype(np.int32))
    put(l1, 0, v)
    entry = DigitalInstruction.dense(input=0, output=512, c=3, k=2, shift=8, relu=True)
    datapath.execute(l1, entry, stream)
    assert get(l1, 512, 32).tolist() == [requant(int(a), 8, True) for a in w @ v + b]


@pytest.mark.parametrize(
    ("a", "b", "shift", "relu", "expected"),
    [
        (127, 127, 0, False, 127),
        (-128, -128, 0, False, -128),
        (-1, 0, 1, False, -1),
        (-5, 0, 2, False, -2),
        (-5, 0, 2, True, 0),
        (100, 55, 1, True, 77),
    ],
)
def test_sum_saturates_and_shifts_to_the_floor(a: int, b: int, shift: int, relu: bool, expected: int):
    l1 = memory()
    put(l1, 0, np.full(16, a))
    put(l1, 16, np.full(16, b))
    entry = DigitalInstruction.add(left=0, right=16, output=0, c=1, shift=shift, relu=relu)
    assert datapath.validate(entry, 0) is None
    datapath.execute(l1, entry, b"")
    assert set(get(l1, 0, 16).tolist()) == {expected}


def test_the_accumulator_wraps():
    w, b = np.full((16, 1, 1, 1), 127, np.int8), np.full(16, 2**31 - 1, np.int32)
    l1 = memory()
    put(l1, 0, np.full(16, 127))
    entry = DigitalInstruction.conv(input=0, output=512, c=1, k=1, cx=16, cy=1, fx=1, fy=1, ox=1, oy=1, shift=31)
    datapath.execute(l1, entry, packing.pack_conv(w, b))
    assert set(get(l1, 512, 256).tolist()) == {-1}


def test_sums_beyond_single_precision_are_exact():
    """1152 products reach 18.9 million, which a float32 cannot hold to the last unit."""
    w, b = np.full((16, 128, 3, 3), -128, np.int8), np.zeros(16, np.int32)
    w[:, 0, 0, 0] = -127
    x = np.full((128, 3, 16), -128)
    x[0, 0, 0] = -127
    l1 = memory()
    put(l1, 0, x)
    entry = DigitalInstruction.conv(input=0, output=8192, c=128, k=1, cx=16, cy=3, fx=3, fy=3, ox=1, oy=1, shift=0)
    stream = packing.pack_conv(w, b - 1151 * 128 * 128 - 127 * 127 + 5)
    datapath.execute(l1, entry, stream)
    assert get(l1, 8192, 16, 16)[:, 0].tolist() == [5] * 16


CONV = DigitalInstruction.conv(
    input=0, output=65536, c=16, k=1, cx=32, cy=32, fx=3, fy=3, ox=2, oy=32, shift=7, pad_left=1,
    pad_top=1, pad_bottom=1,
)  # fmt: skip
CONV_BYTES = costs.weight_bytes(CONV)
DENSE = DigitalInstruction.dense(input=0, output=1024, c=4, k=1, shift=7)
ADD = DigitalInstruction.add(left=0, right=1024, output=2048, c=4, shift=0)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (replace(CONV, mode=2), "mode 2"),
        (replace(CONV, ox=0), "ox is 0"),
        (replace(CONV, c=0), "c is 0"),
        (replace(CONV, k=0), "k is 0"),
        (replace(CONV, fx=2), "kernel 3x2"),
        (replace(CONV, dilation=2), "dilation 2"),
        (replace(CONV, strided=2), "stride 3"),
        (replace(CONV, shift=32), "shift 32"),
        (replace(CONV, cx=30, padded_cx=30), "not a stored width"),
        (replace(CONV, padded_cx=16), "padded_cx"),
        (replace(CONV, size_channel=512), "size_channel"),
        (replace(CONV, output_channel_size=16), "output_channel_size"),
        (replace(CONV, zero_padding=0x0101), "needs 1 rows of bottom padding, not 0"),
        (replace(CONV, write_l2_l1=1), "layout 2"),
        (replace(CONV, output_precision=1), "output_precision"),
        (replace(CONV, output=DIANA.l1_bytes - 16), "writes L1 up to byte"),
        (replace(CONV, input=DIANA.l1_bytes - 16), "reads L1 up to byte"),
        (replace(CONV, input=6), "multiple of 4"),
        (replace(ADD, input=8), "multiple of 16"),
        (replace(CONV, output=1024), "output overlaps"),
        (replace(CONV, weights=16), "weight stream has"),
        (replace(DENSE, output=48), "output overlaps"),
        (replace(ADD, output=16), "output overlaps"),
        (replace(ADD, activation=2), "activation 2"),
    ],
)
def test_illegal_jobs_are_refused_in_words(entry: DigitalInstruction, reason: str):
    streamed = CONV_BYTES if entry.mode == Mode.CONV else costs.weight_bytes(entry)
    assert reason in (datapath.validate(entry, streamed) or "")


def test_legal_jobs_pass():
    for entry in (CONV, DENSE, ADD, replace(ADD, output=0), replace(CONV, zero_padding=0x1101)):
        assert datapath.validate(entry, costs.weight_bytes(entry)) is None


def test_weight_memory_and_stream_length():
    assert "exceed" in (datapath.validate(CONV, DIANA.weight_memory_bytes + 16) or "")
    assert "needs" in (datapath.validate(CONV, CONV_BYTES - 4) or "")
    # 640 inputs: 96 outputs fit one trigger, 112 do not.
    assert packing.dense_block_bytes(640) * 6 <= DIANA.weight_memory_bytes
    assert packing.dense_block_bytes(640) * 7 > DIANA.weight_memory_bytes


def test_switches():
    hidden = replace(CONV, zero_padding=CONV.zero_padding | 0x50)
    assert datapath.validate(hidden, CONV_BYTES) is None
    assert "narrow" in (datapath.validate(hidden, CONV_BYTES, replace(DIANA, narrow_maps=False)) or "")
    relu = replace(ADD, activation=1)
    assert "ReLU" in (datapath.validate(relu, 0, replace(DIANA, sum_relu=False)) or "")


def test_words_round_trip_and_program_ends_with_a_stop_entry():
    words = CONV.words()
    assert len(words) == 32
    assert words[20] == 0x1101
    assert DigitalInstruction.from_words(words) == CONV
    listing = program([CONV])
    assert len(listing) == 64
    assert listing[:32] == words
    assert [i for i, word in enumerate(listing[32:]) if word] == [18]
    with pytest.raises(ValueError, match="32 words"):
        DigitalInstruction.from_words(words[:31])
    with pytest.raises(ValueError, match="four bits"):
        DigitalInstruction.conv(input=0, output=0, c=1, k=1, cx=16, cy=1, fx=1, fy=1, ox=1, oy=1, shift=0, pad_top=16)


def published_cycles(c: int, k: int, oy: int, ox: int, f: int) -> int:
    """MATCH's closed form for stride 1 and a padding of f // 2 on all sides."""
    p = f // 2
    inner = -(-k * (oy - 2 * p) * ox // 256) * (c * f * f + 2 * c * f + 23)
    edge = [-(-k * 2 * ox // 256) * (c * (f - q) * f + 2 * c * (f - q) + 23) for q in range(1, p + 1)]
    return inner + sum(edge)


def conv_cycles(c: int, k: int, oy: int, ox: int, f: int) -> int:
    """The same layer in the terms of the device."""
    return costs.conv_cycles(k=k // 16, ox=ox // 16, c=c, fx=f, fy=f, stride=1, pad_top=f // 2, cy=oy, oy=oy)


def test_compute_cycles_of_the_published_example():
    assert conv_cycles(16, 16, 32, 32, 3) == 16512 == published_cycles(16, 16, 32, 32, 3)
    assert costs.compute_cycles(CONV) == 16512


@settings(deadline=None, max_examples=50)
@given(
    c=st.integers(1, 64),
    k=st.sampled_from((16, 32, 64)),
    oy=st.integers(7, 40),
    ox=st.sampled_from((16, 32, 48)),
    f=st.sampled_from((1, 3, 5, 7)),
)
def test_compute_cycles_equal_the_closed_form(c: int, k: int, oy: int, ox: int, f: int):
    assert conv_cycles(c, k, oy, ox, f) == published_cycles(c, k, oy, ox, f)


@pytest.mark.parametrize(
    ("h", "w", "blocks", "channels"), [(6, 24, 12016, 30016), (25, 5, 26332, 62272), (5, 25, 9912, 25152)]
)
def test_depthwise_by_diagonal_blocks_and_by_channels(h: int, w: int, blocks: int, channels: int):
    """64 channels, 3 x 3, weight streams included."""
    stored = packing.round_up(w, 16)
    block_stream = costs.weight_stream_cycles(packing.conv_block_bytes(16, 3, 3))
    channel_stream = costs.weight_stream_cycles(packing.depthwise_group_bytes(3, 3))
    assert 4 * (conv_cycles(16, 16, h, stored, 3) + block_stream) == blocks
    assert 64 * (conv_cycles(1, 16, h, stored, 3) + channel_stream) == channels


def test_other_costs():
    assert costs.dma_cycles(64) == 28
    assert costs.weight_stream_cycles(0) == 0
    assert costs.weight_stream_cycles(2368) == 168
    assert costs.compute_cycles(DENSE) == 4 * 1 + 23
    assert costs.compute_cycles(ADD) == 4 + 23
    assert costs.conv_cycles(k=1, ox=1, c=3, fx=3, fy=3, stride=2, pad_top=0, cy=8, oy=4) == (
        (3 + 3 + 3 + 2) * 3 * 5 + 4 * 23
    )


def test_resnet8_arithmetic_takes_a_fraction_of_a_second():
    """The convolutions of the MLPerf Tiny image classifier, 12.5 million multiplications."""
    layers = [(3, 1, 32, 32, 3, 1), *[(16, 1, 32, 32, 3, 1)] * 2, (16, 2, 32, 32, 3, 2),
              (32, 2, 16, 16, 3, 1), (16, 2, 32, 32, 1, 2), (32, 4, 16, 16, 3, 2),
              (64, 4, 16, 8, 3, 1), (32, 4, 16, 16, 1, 2)]  # fmt: skip
    l1 = memory()
    spent = 0.0
    for c, k, w, h, f, s in layers:
        entry = DigitalInstruction.conv(
            input=0, output=131072, c=c, k=k, cx=w, cy=h, fx=f, fy=f, ox=-(-w // s // 16),
            oy=h // s, shift=7, stride=s, pad_left=f // 2, pad_top=f // 2, pad_bottom=f // 2,
        )  # fmt: skip
        stream = bytes(costs.weight_bytes(entry))
        start = time.process_time()
        datapath.execute(l1, entry, stream)
        spent += time.process_time() - start
    assert spent < 0.3
