"""Moves of words: what is found moves the right bytes, and what can be moved in words is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.layout import WORD, Layout
from htvm_ir.targets.word_moves import WordMove, positions, word_move

ROWS = Layout.row_major(4)
PADDED = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)


def moved(move: WordMove, source: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> None:
    """Write the destination's memory, word by word."""
    words, written = source.reshape(-1, WORD), target.reshape(-1, WORD)
    for index in np.ndindex(*move.stored):
        inside = all(n < extent for n, extent in zip(index, move.extents, strict=True))
        word = words[move.start + int(np.dot(index, move.steps))] if inside else 0
        written[int(np.dot(index, move.places))] = word


def memory(layout: Layout, x: np.ndarray[Any, Any], larger: Sequence[int]) -> tuple[Any, np.ndarray[Any, Any]]:
    """A stored tensor in the first corner of a larger one, whose other bytes are -1; strides of the stored axes."""
    stored = layout.stored_shape(x.shape)
    extents = [n + more for n, more in zip(stored, larger, strict=True)]
    places = np.arange(np.prod(extents)).reshape(extents)
    strides = tuple(step // places.itemsize for step in places.strides)
    plain = Layout(layout.order, layout.multiple).pack(x).reshape(stored)
    whole = np.full(-(-places.size // WORD) * WORD, -1, np.int8)
    whole[places[tuple(map(slice, stored))] ^ layout.xor] = plain
    return strides, whole


@st.composite
def layouts(draw: Any) -> Layout:
    order = tuple(draw(st.permutations(range(4))))
    return Layout(order, tuple(draw(st.sampled_from([1, 4, 8])) for _ in range(4)), draw(st.sampled_from([0, 3])))


PAIRS = st.one_of(layouts().map(lambda layout: (layout, layout)), st.tuples(layouts(), layouts()))
"""Layouts of the source and of the destination, often the same."""

LARGER = st.one_of(st.just((0, 0, 0, 0)), st.tuples(*[st.sampled_from([0, 0, 1, 2, 4])] * 4))
"""By how much the stored axes of a larger buffer are longer."""


@settings(deadline=None, max_examples=500)
@given(st.tuples(*[st.sampled_from([1, 2, 3, 4, 8])] * 4), PAIRS, st.tuples(LARGER, LARGER), st.sets(st.integers(0, 3)))
def test_what_is_found_moves_the_right_bytes(
    shape: tuple[int, ...],
    pair: tuple[Layout, Layout],
    larger: tuple[tuple[int, ...], tuple[int, ...]],
    axes: set[int],
) -> None:
    source, target = pair
    if any(layout.stored_size(shape) % WORD for layout in (source, target)):
        return
    x = np.random.default_rng(0).integers(1, 128, shape).astype(np.int8)
    strides, read = memory(source, x, larger[0])
    places, expected = memory(target, np.flip(x, tuple(axes)), larger[1])
    move = word_move(np.flip(positions(shape, source, strides), tuple(axes)), target, places)
    if move is not None:
        written = np.full_like(expected, -1)
        moved(move, read, written)
        np.testing.assert_array_equal(written, expected)


def test_planes_that_lie_apart() -> None:
    """Two of six rows of a map: a loop over its planes on both sides, one over all words without the gaps."""
    strides = (144, 48, 8, 1)
    sources = positions((1, 3, 2, 8), ROWS, strides)
    assert word_move(sources, ROWS, strides) == WordMove((3, 4), (3, 4), 0, (12, 1), (12, 1))
    assert word_move(sources, ROWS) == WordMove((3, 4), (3, 4), 0, (12, 1), (4, 1))
    assert word_move(positions((1, 3, 2, 8), ROWS), ROWS, strides) == WordMove((3, 4), (3, 4), 0, (4, 1), (12, 1))
    assert word_move(positions((1, 3, 2, 8), ROWS), ROWS) == WordMove((12,), (12,), 0, (1,), (1,))


def test_rows_that_begin_inside_a_word() -> None:
    assert word_move(positions((1, 3, 2, 6), ROWS), ROWS, (90, 30, 6, 1)) is None
    assert word_move(positions((1, 1, 2, 4), ROWS), ROWS, (12, 12, 6, 1)) is None
    assert word_move(positions((1, 1, 2, 4), ROWS, (12, 12, 6, 1)), ROWS) is None


@pytest.mark.parametrize(
    ("shape", "source", "target", "axes", "loops"),
    [
        ((1, 3, 96, 96), ROWS, PADDED, (3,), 2),  # rows of words, in reverse order
        ((1, 3, 96, 96), ROWS, PADDED, (1, 2, 3), 1),  # all words in reverse order
        ((1, 3, 7, 28), ROWS, PADDED, (3,), 2),  # and padding behind each row
        ((1, 3, 5, 4), ROWS, ROWS, (), 1),
        ((1, 2, 3, 5), ROWS, ROWS, (), None),  # 30 bytes
        ((1, 4, 3, 5), ROWS, ROWS, (), 1),  # rows share words
        ((1, 4, 3, 16), PADDED, PADDED, (1,), 2),
        ((1, 3, 8, 8), ROWS, PADDED, (), None),  # words are reversed inside
        ((1, 3, 8, 6), ROWS, PADDED, (3,), None),
        ((1, 3, 8, 16), ROWS, ROWS, (3,), None),
    ],
)
def test_what_can_be_found(
    shape: tuple[int, ...], source: Layout, target: Layout, axes: tuple[int, ...], loops: int | None
) -> None:
    move = word_move(np.flip(positions(shape, source), axes), target)
    assert (None if move is None else len(move.extents)) == loops
