"""Moves of a whole tensor's aligned words that leave the bytes inside them as they are: one instruction a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.targets.layout import WORD, Layout
from htvm_ir.targets.workload import Workload

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class WordMove:
    """Word (i, j, ...) of a destination of ``stored`` words is word ``start + i * steps[0] + ...`` of the source.

    That holds below ``extents``; the words beyond are padding, which is zero.
    """

    stored: tuple[int, ...]
    extents: tuple[int, ...]
    start: int
    steps: tuple[int, ...]


def positions(shape: Sequence[int], layout: Layout) -> Array:
    """For each element of a tensor where it is stored."""
    return layout.unpack(np.arange(layout.stored_size(shape)), shape)


def word_move(sources: Array, layout: Layout) -> WordMove | None:
    """How to write a tensor of bytes in ``layout`` by words, None if that is impossible.

    sources: for each element where in the source's memory it lies.
    """
    stored = layout.stored_shape(sources.shape)
    if prod(stored) % WORD:
        return None
    groups = (layout.pack(sources + 1) - 1).reshape(-1, WORD)
    first = groups[:, 0]
    padding, whole = (groups == -1).all(1), (first % WORD == 0) & (groups == first[:, None] + np.arange(WORD)).all(1)
    if not (padding | whole).all() or not whole.any():
        return None
    words = np.where(padding, -1, first // WORD)
    if stored[-1] % WORD:  # rows share words
        return _nest(words)
    return _nest(words.reshape(*stored[:-1], stored[-1] // WORD))


MOVES = ("convert_layout", "reverse", "reshape", "transpose")
"""Kinds of workloads that only move elements."""


def workload_move(workload: Workload, layouts: Sequence[Layout]) -> WordMove | None:
    """The move of words that a workload of bytes is, if it is one; ``layouts`` of its input and output.

    A transposition is one if it exchanges the last two axes: which axes are exchanged, a workload does not say.
    """
    if workload.kind not in MOVES or workload.output.dtype != "i8" or len(workload.inputs) != 1 or workload.apart:
        return None
    if layouts[0].xor != layouts[-1].xor and workload.kind != "reverse":
        return None  # quickly: the bytes of a word change places
    shapes = workload.inputs[0].shape, workload.output.shape
    return _move(workload.kind, *shapes, workload.reversed_axes, layouts[0], layouts[-1])


@lru_cache(1024)
def _move(
    kind: str, source: Shape, result: Shape, reversed_axes: Shape, before: Layout, after: Layout
) -> WordMove | None:
    sources = positions(source, before)
    match kind:
        case "reverse":
            sources = np.flip(sources, reversed_axes)
        case "transpose":
            sources = sources.swapaxes(-1, -2)
            if sources.shape != result:
                return None
        case _:
            sources = sources.reshape(result)
    return word_move(sources, after)


def _nest(words: Array) -> WordMove | None:
    """Loops over an array of source words, if they are a linear function of the index inside a box."""
    inside = np.argwhere(words >= 0)
    extents = tuple((inside.max(0) + 1).tolist())
    box = words[tuple(map(slice, extents))]
    start = int(box.flat[0])
    steps = [int(box.take(1, axis).flat[0]) - start if n > 1 else 0 for axis, n in enumerate(extents)]
    expected = start + sum(step * index for step, index in zip(steps, np.indices(extents), strict=True))
    if len(inside) != box.size or not np.array_equal(box, expected):
        return None
    return _merged(WordMove(words.shape, extents, start, tuple(steps)))


def _merged(nest: WordMove) -> WordMove:
    """The same with one loop for axes that continue each other."""
    axes = list(zip(nest.stored, nest.extents, nest.steps, strict=True))
    merged = axes[-1:]
    for stored, extent, step in reversed(axes[:-1]):
        inner_stored, inner, inner_step = merged[0]
        if inner_stored == 1:
            merged[0] = (stored, extent, step)
        elif stored == 1 or (inner == inner_stored and step == inner * inner_step):
            merged[0] = (stored * inner_stored, extent * inner, inner_step)
        else:
            merged.insert(0, (stored, extent, step))
    stored, extents, steps = zip(*merged, strict=True)
    return WordMove(stored, extents, nest.start, steps)
