"""Operand layouts of the digital core: the published encoders' positions, and that unpacking undoes packing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.diana import packing
from htvm_ir.targets.layout import Layout

BIAS = 0x1234_5678
"""Four different bytes: least significant first 0x78, 0x56, 0x34, 0x12."""


def positions(image: bytes, value: int) -> list[int]:
    """Where a byte value lies in an image."""
    return [position for position, byte in enumerate(image) if byte == value]


def test_an_activation_lies_at_its_linear_index_with_words_reversed():
    tensor = np.zeros((1, 2, 16), np.int8)
    tensor[0, 1, 5] = 7
    stored = Layout((0, 1, 2), (1, 1, 16), xor=3).pack(tensor)
    assert positions(packing.reverse_words(tensor.reshape(-1)).tobytes(), 7) == [22]
    assert positions(stored.tobytes(), 7) == [22]


def test_conv_example_one_by_one():
    weights, bias = np.zeros((16, 2, 1, 1), np.int8), np.zeros(16, np.int32)
    weights[5, 1] = 7
    bias[5] = BIAS
    image = packing.pack_conv(weights, bias)
    assert len(image) == packing.conv_block_bytes(2, 1, 1) == 96
    assert positions(image, 7) == [22]
    assert [image[p] for p in (38, 54, 70, 86)] == [0x78, 0x56, 0x34, 0x12]


def test_conv_example_second_block():
    weights, bias = np.zeros((32, 3, 3, 3), np.int8), np.zeros(32, np.int32)
    weights[17, 2, 1, 0] = 7
    bias[17] = BIAS
    image = packing.pack_conv(weights, bias)
    assert packing.conv_block_bytes(3, 3, 3) == 496
    assert positions(image, 7) == [834]
    assert positions(image, 0x78) == [930]


def test_depthwise_example():
    weights, bias = np.zeros((8, 1, 3, 3), np.int8), np.zeros(8, np.int32)
    weights[6, 0, 2, 1] = 7
    bias[6] = BIAS
    image = packing.pack_depthwise(weights, bias)
    group = packing.depthwise_group_bytes(3, 3)
    assert group == 208
    assert positions(image, 7) == [331]
    job = group + 4 * 2
    assert [image[job + 144 + 16 * b + 3] for b in range(4)] == [0x78, 0x56, 0x34, 0x12]
    assert len(image) == 2 * group + 12


def test_diagonal_example():
    """Channel 22 is lane 2 of the second job of 4 channels in the second block; channel 24 is alone in the third."""
    weights, bias = np.zeros((25, 1, 3, 3), np.int8), np.zeros(25, np.int32)
    weights[22, 0, 2, 1] = weights[24, 0, 1, 0] = 7
    bias[22] = bias[24] = BIAS
    image = packing.pack_diagonal(weights, bias, 4)
    block = packing.diagonal_block_bytes(4, 3, 3)
    assert (block, len(image)) == (16 * 40, 2 * block + 12)
    assert positions(image, 7) == [block + 3 * 16 + 8 + 3, block + (2 * 9 + 7) * 16 + 4 + 1]
    assert [image[block + (36 + b) * 16 + 4 + 1] for b in range(4)] == [0x78, 0x56, 0x34, 0x12]
    assert [image[block + (9 + b) * 16 + 8 + 3] for b in range(4)] == [0x78, 0x56, 0x34, 0x12]


def test_dense_example():
    weights, bias = np.zeros((16, 32), np.int8), np.zeros(16, np.int32)
    weights[3, 18] = 7
    bias[3] = BIAS
    image = packing.pack_dense(weights, bias)
    assert len(image) == packing.dense_block_bytes(32) == 768
    assert positions(image, 7) == [305]
    assert positions(image, 0x78) == [563]
    assert positions(image, 0x56) == [562]


def test_a_negative_dense_bias_is_sign_extended_to_128_bits():
    image = packing.pack_dense(np.zeros((16, 16), np.int8), np.full(16, -2, np.int32))
    assert image[256:272] == bytes([255, 255, 255, 254] + [255] * 12)


sizes = st.integers(1, 37)
sides = st.sampled_from((1, 3, 5))


def random_operands(seed: int, *shape: int) -> tuple[packing.Int8, packing.Int32]:
    """Weights of that shape and one bias for each output channel, over the whole range."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, shape).astype(np.int8)
    return weights, rng.integers(-(2**31), 2**31, shape[0]).astype(np.int32)


@settings(deadline=None, max_examples=20)
@given(k=sizes, c=sizes, fy=sides, fx=sides)
def test_unpack_conv_inverts_pack_and_a_k_tile_is_a_slice(k: int, c: int, fy: int, fx: int):
    weights, bias = random_operands(k, k, c, fy, fx)
    image = packing.pack_conv(weights, bias)
    back = packing.unpack_conv(image, k, c, fy, fx)
    np.testing.assert_array_equal(back[0], weights)
    np.testing.assert_array_equal(back[1], bias)
    block = packing.conv_block_bytes(c, fy, fx)
    assert len(image) == -(-k // 16) * block
    assert image[:block] == packing.pack_conv(weights[:16], bias[:16])


@settings(deadline=None, max_examples=20)
@given(c=sizes, fy=sides, fx=sides)
def test_unpack_depthwise_inverts_pack(c: int, fy: int, fx: int):
    weights, bias = random_operands(c, c, 1, fy, fx)
    image = packing.pack_depthwise(weights, bias)
    back = packing.unpack_depthwise(image, c, fy, fx)
    np.testing.assert_array_equal(back[0], weights)
    np.testing.assert_array_equal(back[1], bias)


@settings(deadline=None, max_examples=20)
@given(k=sizes, c=sizes)
def test_unpack_dense_inverts_pack_and_a_k_tile_is_a_slice(k: int, c: int):
    weights, bias = random_operands(k, k, c)
    image = packing.pack_dense(weights, bias)
    back = packing.unpack_dense(image, k, c)
    np.testing.assert_array_equal(back[0], weights)
    np.testing.assert_array_equal(back[1], bias)
    block = packing.dense_block_bytes(c)
    assert len(image) == -(-k // 16) * block
    assert image[-block:] == packing.pack_dense(weights[-(-k // 16) * 16 - 16 :], bias[-(-k // 16) * 16 - 16 :])


@pytest.mark.parametrize("pack", [packing.pack_conv, packing.pack_depthwise])
def test_missing_channels_are_zero(pack: object):
    assert callable(pack)
    weights, bias = random_operands(1, 5, 1, 3, 3)
    padded = np.pad(weights, ((0, 3), (0, 0), (0, 0), (0, 0))), np.pad(bias, (0, 3))
    assert pack(weights, bias) == pack(*padded)


def test_weights_for_plain_vectors_undo_the_reversal_of_words():
    weights, bias = np.arange(15, dtype=np.int8).reshape(3, 5), np.array([7, 8, 9], np.int32)
    moved, offsets = packing.for_plain_vectors(weights, bias)
    assert moved.shape == (16, 16)
    for k in range(16):
        for c in range(16):
            assert moved[k ^ 3, c ^ 3] == (weights[k, c] if k < 3 and c < 5 else 0)
        assert offsets[k ^ 3] == (bias[k] if k < 3 else 0)
