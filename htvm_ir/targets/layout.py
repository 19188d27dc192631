"""How the elements of a tensor lie in memory, as data that solvers, interpreters and printers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 4
"""Bytes of a word: what a 32-bit core loads or stores at once, and the width of its devices' registers."""


@dataclass(frozen=True)
class Layout:
    """A dense order of the axes, padded extents, and a byte permutation inside aligned groups.

    order: the logical axes from the outermost to the innermost stored one.
    multiple: for each logical axis, its stored extent is rounded up to this multiple.
    xor: element ``i`` of the padded dense array is stored at index ``i ^ xor`` (3 = every aligned group of four
        reversed); only for one-byte elements and a stored size that is a multiple of ``xor + 1``.
    """

    order: tuple[int, ...]
    multiple: tuple[int, ...]
    xor: int = 0

    @staticmethod
    def row_major(rank: int) -> Layout:
        """The order of a C array without padding."""
        return Layout(tuple(range(rank)), (1,) * rank)

    @property
    def is_row_major(self) -> bool:
        return self == Layout.row_major(len(self.order))

    def stored_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The padded extents, outermost stored axis first."""
        return tuple(-(-shape[a] // self.multiple[a]) * self.multiple[a] for a in self.order)

    def strides(self, shape: Sequence[int]) -> dict[int, int]:
        """Elements between neighbours along each logical axis, before bytes are exchanged."""
        stored = self.stored_shape(shape)
        return {axis: prod(stored[place + 1 :]) for place, axis in enumerate(self.order)}

    def is_dense(self, shape: Sequence[int]) -> bool:
        """Whether the elements of a tensor of this shape lie as in a C array, without padding."""
        moving = [axis for axis in self.order if shape[axis] > 1]
        return self.stored_size(shape) == prod(shape) and self.xor == 0 and moving == sorted(moving)

    def merged(self, shape: Sequence[int], groups: Sequence[Sequence[int]]) -> Layout:
        """The same memory with one axis for each of :func:`mergeable`'s groups."""
        strides = self.strides(shape)
        order = tuple(sorted(range(len(groups)), key=lambda n: -strides[groups[n][-1]]))
        multiple = tuple(self.multiple[first] * prod(shape[axis] for axis in rest) for first, *rest in groups)
        return Layout(order, multiple, self.xor)

    def stored_size(self, shape: Sequence[int]) -> int:
        """Elements a tensor of this logical shape takes, padding included."""
        return prod(self.stored_shape(shape))

    def pack(self, array: NDArray[Any]) -> NDArray[Any]:
        """The stored elements, one-dimensional; padding is zero."""
        stored = np.zeros(self.stored_shape(array.shape), array.dtype)
        ordered = array.transpose(self.order)
        stored[tuple(slice(n) for n in ordered.shape)] = ordered
        return self._permuted(stored.reshape(-1))

    def unpack(self, stored: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
        """The logical array of ``shape``; inverse of :meth:`pack`, padding is ignored."""
        dense = self._permuted(stored.reshape(-1)).reshape(self.stored_shape(shape))
        ordered = dense[tuple(slice(shape[a]) for a in self.order)]
        return np.ascontiguousarray(ordered.transpose(np.argsort(self.order)))

    def _permuted(self, elements: NDArray[Any]) -> NDArray[Any]:
        if not self.xor:
            return elements
        group = self.xor + 1
        if elements.size % group:
            raise ValueError(f"{elements.size} elements are not whole groups of {group}")
        # i -> i ^ xor inside aligned groups; its own inverse.
        return elements.reshape(-1, group)[:, np.arange(group) ^ self.xor].reshape(-1)


def mergeable(shape: Sequence[int], layouts: Sequence[Layout]) -> list[list[int]]:
    """Groups of axes that one loop can go through, for tensors of one shape in several layouts.

    Groups and their axes are in the stored order of the first layout; those of a group are neighbours in every layout,
    and only the outermost may be padded. Axes that take no more than one element anywhere are left out.
    """
    order = layouts[0].order
    strides = [layout.strides(shape) for layout in layouts]
    extents = [dict(zip(layout.order, layout.stored_shape(shape), strict=True)) for layout in layouts]
    groups: list[list[int]] = []
    for axis in order:
        if all(extent[axis] == 1 for extent in extents):
            continue
        is_whole = all(extent[axis] == shape[axis] for extent in extents)
        if groups and is_whole and all(stride[groups[-1][-1]] == shape[axis] * stride[axis] for stride in strides):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups or [[order[-1]]]
