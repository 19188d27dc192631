"""How the elements of a tensor lie in memory, as data that solvers, interpreters and printers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
