"""Which consecutive kernels are computed depth first: all of them on some rows, then on the next ones.

Layer by layer, a map that has no room in local memory is stored and loaded again. A strip of it has room, at the price
of rows that are computed twice. What a segment costs so is asked of the caller; what that does to the tensors
around it, which then have to be stored, is judged by planning the residency of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from htvm_ir.schedule.residency import Kernel, Option, Tensor, plan_residency

LONGEST = 8
"""Most kernels of a segment: more rows are computed twice with every kernel (model choice)."""


WORTH = 20
"""Strips have to save this part of the cycles of their kernels: of whole maps, what follows may still hide more of the
transfers beside the jobs of other kernels, which is not counted here (model choice)."""

NOTHING = Kernel(frozenset(), (Option(frozenset(), 0, 0),))
"""In place of a kernel that is counted elsewhere."""


@dataclass(frozen=True)
class Strips:
    """Kernels `first` to `last`, both included, on `rows` rows of the last one's result at a time."""

    first: int
    last: int
    rows: int
    cycles: int

    def __contains__(self, kernel: int) -> bool:
        return self.first <= kernel <= self.last

    def touches(self, tensor: Tensor) -> bool:
        """Return whether a tensor is alive at one of the kernels."""
        return tensor.first <= self.last and self.first <= tensor.last


Price = Callable[[int, int, int], Strips | None]
"""The best strips of kernels `first` to `last` among those that take less than a number of cycles, if there are any."""


def plan_depth_first(
    kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int, price: Price, seconds: float = 5.0
) -> list[Strips]:
    """Return segments of which each saves cycles, in the order of their kernels; deterministic.

    The one that saves most comes first, and so on until none does; so the result need not be the best one. It is
    better than the best residency without segments, the search for which `seconds` limits.
    """
    chosen: list[Strips] = []
    stays, least = _rest(kernels, tensors, capacity, chosen, seconds)
    while True:
        best = None
        spilled = [t for t in tensors if t.name not in stays and not any(s.touches(t) for s in chosen)]
        for first, last in _spans(spilled, len(kernels), chosen):
            _, others = _rest(kernels, tensors, capacity, [*chosen, Strips(first, last, 0, 0)], seconds)
            limit = least - others if best is not None else (least - others) * (WORTH - 1) // WORTH
            if (found := price(first, last, limit)) is not None:
                best, least = found, others + found.cycles
        if best is None:
            return sorted(chosen, key=lambda strips: strips.first)
        chosen.append(best)
        stays, _ = _rest(kernels, tensors, capacity, chosen, seconds)


def _spans(spilled: Sequence[Tensor], kernels: int, chosen: Sequence[Strips]) -> Iterator[tuple[int, int]]:
    """Yield first and last kernel of all that may hold one of the tensors inside."""
    spans = {
        (first, last)
        for tensor in spilled
        for first in range(max(0, tensor.last - LONGEST + 1), tensor.first + 1)
        for last in range(tensor.last, min(first + LONGEST, kernels))
    }
    yield from sorted(span for span in spans if all(s.last < span[0] or span[1] < s.first for s in chosen))


def _rest(
    kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int, chosen: Sequence[Strips], seconds: float
) -> tuple[frozenset[str], int]:
    """Return which tensors stay, and the cycles of all kernels, with some of them in segments."""
    left = [tensor for tensor in tensors if not any(strips.touches(tensor) for strips in chosen)]
    names = frozenset(tensor.name for tensor in left)
    alone = [
        NOTHING if any(n in strips for strips in chosen) else _without(kernel, names)
        for n, kernel in enumerate(kernels)
    ]
    found = plan_residency(alone, left, capacity, seconds)
    return found.tensors, found.cycles + sum(strips.cycles for strips in chosen)


def _without(kernel: Kernel, names: frozenset[str]) -> Kernel:
    """Return the kernel where no other tensors may stay."""
    return Kernel(kernel.operands & names, tuple(o for o in kernel.options if o.resident <= names))
