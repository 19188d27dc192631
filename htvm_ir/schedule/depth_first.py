"""Which consecutive kernels are computed depth first: all of them on some rows, then on the next ones.

Layer by layer, a map that has no room in local memory is stored and loaded again. A strip of it has room, at the price
of rows that are computed twice. What a segment costs so is asked of the caller; what that does to the tensors
around it, which then have to be stored, is judged by planning the residency of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from htvm_ir.schedule.residency import Kernel, Option, Residency, Tensor, plan_residency

LONGEST = 8
"""Most kernels of a segment: more rows are computed twice with every kernel (model choice)."""


WORTH = 20
"""Strips have to save this part of the cycles of their kernels: of whole maps, what follows may still hide more of the
transfers beside the jobs of other kernels, which is not counted here (model choice)."""

SHORTLIST = 16
"""Segments that are judged, those of the least sums: a judgement takes tens of milliseconds (model choice)."""

ALLOWED = 2
"""Strips that take so many times the cycles of their kernels are not judged (model choice)."""

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


Price = Callable[[int, int, int], Iterable[Strips]]
"""Strips of kernels `first` to `last` that take less than a number of cycles, all heights that are worth a try."""

Judge = Callable[[Residency, Sequence[Strips]], int]
"""Cycles of a network: of kernels with the options of a residency, and of strips in place of some of them."""


@dataclass(frozen=True)
class _Candidate:
    """More strips, what stays then, the cycles of the kernels they replace, and those of the network as a sum."""

    strips: Strips
    rest: Residency
    replaced: int
    total: int


def plan_depth_first(
    kernels: Sequence[Kernel],
    tensors: Sequence[Tensor],
    capacity: int,
    price: Price,
    seconds: float = 5.0,
    judge: Judge | None = None,
) -> list[Strips]:
    """Return segments of which each saves cycles, in the order of their kernels; deterministic.

    The one that saves most comes first, and so on until none does; so the result need not be the best one. It is
    better than the best residency without segments, the search for which `seconds` limits. judge: tells what a network
    takes, if that is not the sum of its kernels; the sum says then what is worth its time.
    """
    chosen: list[Strips] = []
    while True:
        rest = _rest(kernels, tensors, capacity, chosen, seconds)
        total = rest.cycles + sum(strips.cycles for strips in chosen)
        spilled = [t for t in tensors if t.name not in rest.tensors and not any(s.touches(t) for s in chosen)]
        found: list[_Candidate] = []
        for first, last in _spans(spilled, len(kernels), chosen):
            others = _rest(kernels, tensors, capacity, [*chosen, Strips(first, last, 0, 0)], seconds)
            replaced = rest.cycles - others.cycles
            limit = _limit(replaced) if judge is None else replaced * ALLOWED
            found += [
                _Candidate(strips, others, replaced, total - replaced + strips.cycles)
                for strips in price(first, last, limit)
            ]
        found.sort(key=lambda candidate: candidate.total)
        best = _judged(found, rest, chosen, judge) if judge else next(iter(found), None)
        if best is None:
            return sorted(chosen, key=lambda strips: strips.first)
        chosen.append(best.strips)


def _limit(cycles: int) -> int:
    """What strips have to take less than, in place of kernels that take so many cycles."""
    return cycles * (WORTH - 1) // WORTH


def _judged(
    candidates: Sequence[_Candidate], rest: Residency, chosen: Sequence[Strips], judge: Judge
) -> _Candidate | None:
    """Return the candidate of least cycles as judged, if it is worth it; the first among equals."""
    if not candidates:
        return None
    before = judge(rest, chosen)
    found = [(judge(c.rest, [*chosen, c.strips]), c) for c in candidates[:SHORTLIST]]
    worth = [(cycles, c) for cycles, c in found if c.replaced - (before - cycles) < _limit(c.replaced)]
    return min(worth, key=lambda entry: entry[0], default=(0, None))[1]


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
) -> Residency:
    """Return what stays with some kernels in segments, which count for nothing."""
    left = [tensor for tensor in tensors if not any(strips.touches(tensor) for strips in chosen)]
    names = frozenset(tensor.name for tensor in left)
    alone = [
        NOTHING if any(n in strips for strips in chosen) else _without(kernel, names)
        for n, kernel in enumerate(kernels)
    ]
    return plan_residency(alone, left, capacity, seconds)


def _without(kernel: Kernel, names: frozenset[str]) -> Kernel:
    """Return the kernel where no other tensors may stay."""
    return Kernel(kernel.operands & names, tuple(o for o in kernel.options if o.resident <= names))
