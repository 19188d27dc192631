"""Which consecutive kernels are computed depth first: all of them on some rows, then on the next ones.

Layer by layer, a map that has no room in local memory is stored and loaded again. A strip of it has room, at the price
of rows that are computed twice. What a segment costs so is asked of the caller; what that does to the tensors
around it, which then have to be stored, is told by planning the residency of the rest. The network takes the sum of
both, unless kernels hide their neighbours' transfers: then the caller judges what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from htvm_ir.schedule.residency import Kernel, Option, Residency, Tensor, plan_residency

LONGEST = 8
"""Most kernels of a segment: more rows are computed twice with every kernel (model choice)."""


WORTH = 20
"""Strips have to save this part of the cycles of their kernels: they are more kernels, and no prediction is exact
(model choice)."""

SHORTLIST = 16
"""Segments that are judged, those of the least sums: a judgement takes tens of milliseconds (model choice)."""

ALLOWED = 5
"""Strips that take longer than their kernels by more than this part of these are not judged (model choice)."""

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
    better than the best residency without segments, the search for which `seconds` limits.

    judge: what a network takes, if that is not the sum of its kernels. The sum only says then which segments are worth
    being judged; what is best by the sum alone is where a second search begins.
    """
    by_sum = _Search(kernels, tensors, capacity, price, seconds)
    if judge is None:
        return by_sum.run([])
    search = _Search(kernels, tensors, capacity, price, seconds, judge)
    return min((search.run(start) for start in ([], by_sum.run([]))), key=search.judged)


@dataclass(frozen=True)
class _Search:
    """One segment after the other, for as long as one is worth it."""

    kernels: Sequence[Kernel]
    tensors: Sequence[Tensor]
    capacity: int
    price: Price
    seconds: float
    judge: Judge | None = None

    def run(self, start: Sequence[Strips]) -> list[Strips]:
        """Return segments, those to start from included."""
        chosen = list(start)
        while (found := self._best(chosen)) is not None:
            chosen.append(found.strips)
        return sorted(chosen, key=lambda strips: strips.first)

    def judged(self, chosen: Sequence[Strips]) -> int:
        """Return the cycles of the network, as they are judged."""
        assert self.judge is not None
        return self.judge(self._rest(chosen), chosen)

    def _best(self, chosen: Sequence[Strips]) -> _Candidate | None:
        """Return the best of the segments that are worth it, the first among equals."""
        candidates = self._shortlist(chosen)
        if self.judge is None or not candidates:
            return next(iter(candidates), None)
        before = self.judged(chosen)
        found = [(self.judge(c.rest, [*chosen, c.strips]), c) for c in candidates]
        worth = [(cycles, c) for cycles, c in found if c.replaced - (before - cycles) < _worth(c.replaced)]
        return min(worth, key=lambda entry: entry[0], default=(0, None))[1]

    def _shortlist(self, chosen: Sequence[Strips]) -> list[_Candidate]:
        """Return the segments of the least sums, the best first: as many as are judged, or one."""
        rest, count = self._rest(chosen), 1 if self.judge is None else SHORTLIST
        total = rest.cycles + sum(strips.cycles for strips in chosen)
        spilled = [t for t in self.tensors if t.name not in rest.tensors and not any(s.touches(t) for s in chosen)]
        found: list[_Candidate] = []
        for first, last in _spans(spilled, len(self.kernels), chosen):
            others = self._rest([*chosen, Strips(first, last, 0, 0)])
            replaced = rest.cycles - others.cycles
            limit = _worth(replaced) if self.judge is None else replaced + replaced // ALLOWED
            if len(found) == count:
                limit = min(limit, found[-1].total - total + replaced)
            for strips in self.price(first, last, limit):
                found.append(_Candidate(strips, others, replaced, total - replaced + strips.cycles))
            found = sorted(found, key=lambda candidate: candidate.total)[:count]
        return found

    def _rest(self, chosen: Sequence[Strips]) -> Residency:
        """Return what stays with some kernels in segments, which count for nothing."""
        left = [tensor for tensor in self.tensors if not any(strips.touches(tensor) for strips in chosen)]
        names = frozenset(tensor.name for tensor in left)
        alone = [
            NOTHING if any(n in strips for strips in chosen) else _without(kernel, names)
            for n, kernel in enumerate(self.kernels)
        ]
        return plan_residency(alone, left, self.capacity, self.seconds)


def _worth(cycles: int) -> int:
    """Return what strips have to take less than, in place of kernels that take so many cycles."""
    return cycles * (WORTH - 1) // WORTH


def _spans(spilled: Sequence[Tensor], kernels: int, chosen: Sequence[Strips]) -> Iterator[tuple[int, int]]:
    """Yield first and last kernel of all that may hold one of the tensors inside."""
    spans = {
        (first, last)
        for tensor in spilled
        for first in range(max(0, tensor.last - LONGEST + 1), tensor.first + 1)
        for last in range(tensor.last, min(first + LONGEST, kernels))
    }
    yield from sorted(span for span in spans if all(s.last < span[0] or span[1] < s.first for s in chosen))


def _without(kernel: Kernel, names: frozenset[str]) -> Kernel:
    """Return the kernel where no other tensors may stay."""
    return Kernel(kernel.operands & names, tuple(o for o in kernel.options if o.resident <= names))
