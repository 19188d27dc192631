"""Moves of words: what is found moves the right bytes, and what can be moved in words is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.targets.layout import WORD, Layout
from htvm_ir.targets.word_moves import WordMove, positions, word_move

ROWS = Layout.row_major(4)
PADDED = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)


def moved(move: WordMove, source: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The destination's bytes, word by word."""
    words = source.reshape(-1, WORD)
    target = np.zeros((*move.stored, WORD), source.dtype)
    for index in np.ndindex(*move.extents):
        target[index] = words[move.start + int(np.dot(index, move.steps))]
    return target.reshape(-1)


@st.composite
def layouts(draw: Any) -> Layout:
    order = tuple(draw(st.permutations(range(4))))
    return Layout(order, tuple(draw(st.sampled_from([1, 4, 8])) for _ in range(4)), draw(st.sampled_from([0, 3])))


@settings(deadline=None, max_examples=300)
@given(st.tuples(*[st.sampled_from([1, 2, 3, 4, 8])] * 4), layouts(), layouts(), st.sets(st.integers(0, 3)))
def test_what_is_found_moves_the_right_bytes(
    shape: tuple[int, ...], source: Layout, target: Layout, axes: set[int]
) -> None:
    if any(layout.stored_size(shape) % WORD for layout in (source, target)):
        return
    x = np.random.default_rng(0).integers(1, 128, shape).astype(np.int8)
    move = word_move(np.flip(positions(shape, source), tuple(axes)), target)
    if move is not None:
        np.testing.assert_array_equal(moved(move, source.pack(x)), target.pack(np.flip(x, tuple(axes))))


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
