"""Place buffers one after the other, each into the tightest hole left by its live neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from htvm_ir.memory.problem import Buffer

Neighbours: TypeAlias = list[list[int]]
"""For each buffer, the indices of the buffers that are alive at the same time."""

SORT_KEYS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.reserved, b.start),
    lambda b: (b.start, -b.reserved),
    lambda b: (b.start - b.end, -b.reserved),
    lambda b: (-b.reserved * (b.end - b.start), b.start),
    lambda b: (-b.end, -b.reserved),
)
"""Biggest, earliest, longest-lived, largest size x lifetime, latest first."""


def neighbours(buffers: Sequence[Buffer]) -> Neighbours:
    """Return who is alive together with whom; buffers of no bytes are nobody's neighbour."""
    result: Neighbours = [[] for _ in buffers]
    alive: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: buffers[i].start):
        if not buffers[i].size:
            continue
        alive = [j for j in alive if buffers[j].end > buffers[i].start]
        for j in alive:
            result[i].append(j)
            result[j].append(i)
        alive.append(i)
    return result


def place(buffers: Sequence[Buffer], order: Sequence[int], near: Neighbours) -> list[int]:
    """Return an offset in bytes for each buffer, placed best-fit in this order."""
    offsets = [-1] * len(buffers)
    for i in order:
        taken = sorted((offsets[j], offsets[j] + buffers[j].reserved) for j in near[i])
        offsets[i] = _best_hole(buffers[i], [span for span in taken if span[0] >= 0])
    return offsets


def height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    """Return the bytes of the arena."""
    tops = (offset + buffer.reserved for buffer, offset in zip(buffers, offsets, strict=True))
    return max(tops, default=0)


def orders(buffers: Sequence[Buffer]) -> Iterator[list[int]]:
    """Yield the orders to try, by each of the sort keys; ties keep the given order."""
    for key in SORT_KEYS:
        yield sorted(range(len(buffers)), key=lambda i, key=key: key(buffers[i]))


def raise_top(buffers: Sequence[Buffer], order: Sequence[int], offsets: Sequence[int]) -> list[int]:
    """Return the order with the buffers that reach the top of the arena placed first."""
    top = height(buffers, offsets)
    highest = [i for i in order if offsets[i] + buffers[i].reserved == top]
    return highest + [i for i in order if i not in highest]


def _best_hole(buffer: Buffer, taken: Sequence[tuple[int, int]]) -> int:
    """Return the offset in the smallest hole that is large enough, else above everything."""
    best, slack = -1, -1
    free = 0
    for low, high in taken:
        offset = -(-free // buffer.alignment) * buffer.alignment
        left = low - offset - buffer.reserved
        if left >= 0 and (slack < 0 or left < slack):
            best, slack = offset, left
        free = max(free, high)
    return best if best >= 0 else -(-free // buffer.alignment) * buffer.alignment
