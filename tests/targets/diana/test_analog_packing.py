"""Operand layouts of the analog core: positions of the published encoder, and that unpacking undoes packing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.diana import analog_datapath
from htvm_ir.targets.diana.analog_packing import K_LAYOUT, image_bytes, pack_weights, unpack_weights
from htvm_ir.targets.diana.datapath import Span


def test_weight_example():
    """W[2][0][0][1] = +1 is row 286 of 288, twisted to -1: bit row 573, bit 29 of its first word."""
    weights = np.zeros((16, 16, 3, 3), np.int8)
    weights[2, 0, 0, 1] = 1
    image = pack_weights(weights)
    assert len(image) == image_bytes(16, 16, 3, 3) == 9216
    words = np.frombuffer(image, "<u4")
    assert np.flatnonzero(words).tolist() == [573 * 4]
    assert words[573 * 4] == 1 << 29


def test_the_sign_twist_depends_on_block_and_column():
    """1152 rows: 18 blocks of 64; which bit row of a pair is set tells whether the weight was negated."""
    weights = np.ones((2, 1152, 1, 1), np.int8)
    bits = np.frombuffer(pack_weights(weights), "<u4").reshape(1152, 2, 4)[::64, :, 0] >> 30
    negated_even, negated_odd = (bits[:, 1] >> 1).tolist(), (bits[:, 1] & 1).tolist()
    assert negated_even == [1] * 6 + [0] * 6 + [1] * 6
    assert negated_odd == [1] * 9 + [0] * 9


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 140), st.integers(1, 40), st.sampled_from((1, 3, 5)), st.integers(0, 9))
def test_unpack_inverts_pack(k: int, c: int, kernel: int, seed: int):
    weights = np.random.default_rng(seed).integers(-1, 2, (k, c, kernel, kernel)).astype(np.int8)
    image = pack_weights(weights)
    assert len(image) == image_bytes(k, c, kernel, kernel)
    np.testing.assert_array_equal(unpack_weights(image, k, c, kernel, kernel), weights)


def test_activation_example():
    """C = 16, W = 32: element (y=1, x=2, c=5) lies in row 34, byte 6."""
    tensor = np.zeros((1, 16, 4, 32), np.int8)
    tensor[0, 5, 1, 2] = 7
    assert np.flatnonzero(K_LAYOUT.pack(tensor)).tolist() == [550]
    l1 = np.zeros(4096, np.uint8)
    analog_datapath.scatter(l1, 0, tensor.reshape(16, 128))
    assert np.flatnonzero(l1).tolist() == [550]


def test_many_channels_lie_in_banks_and_many_pixels_in_groups():
    assert analog_datapath.spans(3, 16, 2000) == (Span(48, 32000),)
    assert analog_datapath.spans(0, 40, 100) == (Span(0, 1600, 3, 8192),)
    assert analog_datapath.spans(2048, 64, 600) == (
        Span(16 * 2048, 8192, 4, 8192),
        Span(16 * 4096, 16 * 88, 4, 8192),
    )
    assert analog_datapath.spans(0, 80, 100) == (Span(0, 1600, 4, 8192), Span(16 * 2048, 1600, 1, 8192))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 130), st.integers(1, 700), st.integers(0, 3))
def test_gather_inverts_scatter(channels: int, pixels: int, seed: int):
    values = np.random.default_rng(seed).integers(-128, 128, (channels, pixels)).astype(np.int8)
    l1 = np.full(1 << 18, 0x55, np.uint8)
    address = 2048 * seed
    analog_datapath.scatter(l1, address, values)
    np.testing.assert_array_equal(analog_datapath.gather(l1.view(np.int8), address, channels, pixels), values)
