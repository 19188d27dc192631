"""Stored orders of elements: packing and unpacking are inverse, and the formula of the permutation holds."""

from __future__ import annotations

import math
from itertools import permutations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.layout import Layout, mergeable

CHW16 = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)
ORDERS = {rank: list(permutations(range(rank))) for rank in range(1, 5)}


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, tuple[int, ...]]:
    """A layout and a shape it can store."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    order = draw(st.sampled_from(ORDERS[len(shape)]))
    multiple = draw(st.tuples(*[st.sampled_from([1, 2, 3, 4])] * len(shape)))
    plain = Layout(order, multiple)
    groups = [xor for xor in (0, 1, 3) if plain.stored_size(shape) % (xor + 1) == 0]
    return Layout(order, multiple, draw(st.sampled_from(groups))), shape


@settings(deadline=None)
@given(layouts())
def test_unpack_is_the_inverse_of_pack(case: tuple[Layout, tuple[int, ...]]):
    layout, shape = case
    array = np.arange(1, prod(shape) + 1, dtype=np.int16).reshape(shape)
    stored = layout.pack(array)
    assert stored.shape == (layout.stored_size(shape),) == (prod(layout.stored_shape(shape)),)
    assert np.count_nonzero(stored) == array.size  # everything else is padding, and zero
    np.testing.assert_array_equal(layout.unpack(stored, shape), array)


@settings(deadline=None)
@given(layouts())
def test_unpack_ignores_the_padding(case: tuple[Layout, tuple[int, ...]]):
    layout, shape = case
    array = np.arange(1, prod(shape) + 1, dtype=np.int16).reshape(shape)
    stored = layout.pack(array)
    stored[stored == 0] = -1
    np.testing.assert_array_equal(layout.unpack(stored, shape), array)


@settings(deadline=None)
@given(layouts(), st.data())
def test_every_element_lies_where_the_formula_says(case: tuple[Layout, tuple[int, ...]], data: st.DataObject):
    layout, shape = case
    index = data.draw(st.tuples(*(st.integers(0, n - 1) for n in shape)))
    array = np.zeros(shape, np.int8)
    array[index] = 1
    dense = 0
    for axis, extent in zip(layout.order, layout.stored_shape(shape), strict=True):
        dense = dense * extent + index[axis]
    assert np.flatnonzero(layout.pack(array)).tolist() == [dense ^ layout.xor]


def test_published_example_of_feature_maps():
    """Row 1, column 5 of a map of 16 columns: element 21, byte 22."""
    array = np.zeros((1, 1, 2, 16), np.int8)
    array[0, 0, 1, 5] = 1
    assert np.flatnonzero(CHW16.pack(array)).tolist() == [22]


def test_channels_last():
    array = np.arange(6).reshape(1, 2, 1, 3)
    assert Layout((0, 2, 3, 1), (1, 4, 1, 1)).pack(array).tolist() == [0, 3, 0, 0, 1, 4, 0, 0, 2, 5, 0, 0]


def test_row_major():
    layout, array = Layout.row_major(3), np.arange(24).reshape(2, 3, 4)
    assert layout.is_row_major
    assert layout.pack(array).tolist() == list(range(24))
    assert not CHW16.is_row_major
    assert not Layout((1, 0), (1, 1)).is_row_major


def test_unpacked_arrays_are_contiguous():
    array = Layout((0, 2, 1), (1, 1, 1)).unpack(np.arange(24), (2, 3, 4))
    assert array.flags.c_contiguous


def test_incomplete_groups_are_refused():
    with pytest.raises(ValueError, match="6 elements are not whole groups of 4"):
        Layout((0, 1), (1, 1), xor=3).pack(np.zeros((2, 3), np.int8))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_merged_axes_hold_the_same_elements(data: st.DataObject):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    orders, multiples = st.permutations(range(len(shape))), st.sampled_from([1, 1, 2, 4])
    layouts = [
        Layout(tuple(data.draw(orders)), tuple(data.draw(multiples) for _ in shape))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    groups = mergeable(shape, layouts)
    kept = [axis for group in groups for axis in group]
    merged = tuple(math.prod(shape[axis] for axis in group) for group in groups)
    array = np.arange(1, 1 + math.prod(shape)).reshape(shape)
    moved = array.transpose([*kept, *(axis for axis in range(len(shape)) if axis not in kept)]).reshape(merged)
    for layout in layouts:
        np.testing.assert_array_equal(layout.merged(shape, groups).pack(moved), layout.pack(array))


def test_rows_that_lie_alike_are_one():
    dense, padded = Layout.row_major(4), Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)
    assert mergeable((1, 3, 8, 16), [dense, padded]) == [[1, 2, 3]]
    assert mergeable((1, 3, 8, 10), [dense, padded]) == [[1, 2], [3]]
    assert mergeable((1, 3, 8, 16), [dense, Layout((0, 2, 3, 1), (1, 16, 1, 1))]) == [[1], [2, 3]]
    assert mergeable((1, 1), [Layout.row_major(2)]) == [[1]]
