"""Moves of a tensor's aligned words that leave the bytes inside them as they are: one instruction a word.

Either side may be a part of a larger buffer, with gaps that nobody touches.
"""

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
    """Word ``sum(index * places)`` of a destination is word ``start + sum(index * steps)`` of the source.

    The indices go over ``stored``; those beyond ``extents`` are padding, which is zero.
    """

    stored: tuple[int, ...]
    extents: tuple[int, ...]
    start: int
    steps: tuple[int, ...]
    places: tuple[int, ...]


def addresses(shape: Sequence[int], layout: Layout, strides: Sequence[int] | None = None) -> Array:
    """For each stored element, in the order of a buffer without gaps, where it lies.

    strides: elements between neighbours along each stored axis of a buffer that begins with a word; None: no gaps.
    """
    stored = layout.stored_shape(shape)
    dense = np.arange(prod(stored))
    if strides is None:
        return dense
    index = np.unravel_index(dense ^ layout.xor, stored)
    return np.asarray(sum(i * stride for i, stride in zip(index, strides, strict=True))) ^ layout.xor


def positions(shape: Sequence[int], layout: Layout, strides: Sequence[int] | None = None) -> Array:
    """For each element of a tensor where it is stored; ``strides`` as of :func:`addresses`."""
    return layout.unpack(addresses(shape, layout, strides), shape)


def word_move(sources: Array, layout: Layout, strides: Sequence[int] | None = None) -> WordMove | None:
    """How to write a tensor of bytes in ``layout`` by words, None if that is impossible.

    sources: for each element where in the source's memory it lies. strides: as of :func:`addresses`.
    """
    stored = layout.stored_shape(sources.shape)
    if prod(stored) % WORD:
        return None
    targets = _words(addresses(sources.shape, layout, strides))
    packed = layout.pack(sources + 1) - 1
    padding = (packed.reshape(-1, WORD) == -1).all(1)
    words = np.where(padding, -1, _words(packed))
    if (targets < 0).any() or (words[~padding] < 0).any() or padding.all():
        return None
    shared = next(n for n in reversed(range(len(stored))) if prod(stored[n:]) % WORD == 0)  # rows may share words
    shape = (*stored[:shared], prod(stored[shared:]) // WORD)
    return _nest(words.reshape(shape), targets.reshape(shape))


def _words(places: Array) -> Array:
    """For each four places in turn the number of the word that they are, -1 if they are none."""
    groups = places.reshape(-1, WORD)
    first = groups[:, 0]
    return np.where((first % WORD == 0) & (groups == first[:, None] + np.arange(WORD)).all(1), first // WORD, -1)


MOVES = ("convert_layout", "reverse", "reshape", "transpose")
"""Kinds of workloads that only move elements."""


def workload_move(workload: Workload, layouts: Sequence[Layout]) -> WordMove | None:
    """The move of words that a workload of bytes is, if it is one; ``layouts`` of its input and output.

    A transposition is one if it exchanges the last two axes: which axes are exchanged, a workload does not say.
    """
    if workload.kind not in MOVES or workload.output.dtype != "i8" or len(workload.inputs) != 1:
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


def _nest(words: Array, targets: Array) -> WordMove | None:
    """Loops over words, if source and destination are linear functions of the index inside a box."""
    inside = np.argwhere(words >= 0)
    extents = tuple((inside.max(0) + 1).tolist())
    box = words[tuple(map(slice, extents))]
    steps, places = _steps(box), _steps(targets)
    if len(inside) != box.size or steps is None or places is None or targets.flat[0] != 0:
        return None
    return _merged(WordMove(words.shape, extents, int(box.flat[0]), steps, places))


def _steps(words: Array) -> tuple[int, ...] | None:
    """By how much numbers grow along each axis, if they grow by as much everywhere."""
    start = words.flat[0]
    steps = tuple(int(words.take(1, axis).flat[0] - start) if n > 1 else 0 for axis, n in enumerate(words.shape))
    expected = start + sum(step * index for step, index in zip(steps, np.indices(words.shape), strict=True))
    return steps if np.array_equal(words, expected) else None


def _merged(nest: WordMove) -> WordMove:
    """The same with one loop for axes that continue each other on both sides."""
    axes = list(zip(nest.stored, nest.extents, nest.steps, nest.places, strict=True))
    merged = axes[-1:]
    for stored, extent, step, place in reversed(axes[:-1]):
        inner_stored, inner, inner_step, inner_place = merged[0]
        continues = step == inner * inner_step and place == inner * inner_place
        if inner_stored == 1:
            merged[0] = (stored, extent, step, place)
        elif stored == 1 or (inner == inner_stored and continues):
            merged[0] = (stored * inner_stored, extent * inner, inner_step, inner_place)
        else:
            merged.insert(0, (stored, extent, step, place))
    stored, extents, steps, places = zip(*merged, strict=True)
    return WordMove(stored, extents, nest.start, steps, places)
