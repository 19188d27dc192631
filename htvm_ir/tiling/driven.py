"""A nest whose transfers the CPU drives beside the jobs, one at a time: exact cycles.

With one buffer the transfers of an operand are alone. With two they run beside a job: a store beside the job behind its
own, a load beside the first job that computes on the load before it. A job and what runs beside it are both waited for
before anything else. It is what ``pipeline-dma`` makes of channels that another engine lends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from htvm_ir.tiling.pipeline import Operand, Parts, Term

Cycles = NDArray[np.int64]
"""Of each tile, in the order of the loops."""


@dataclass(frozen=True)
class Driven:
    """What a nest does for each tile.

    loads, store: without operands that stay in local memory. attached, detached: cycles of a job, CPU's included, until
    it needs nobody any more, and from then on. kernel: cycles of the CPU to call it and return.
    """

    loads: tuple[Operand, ...]
    store: Operand | None
    attached: tuple[Term, ...]
    detached: tuple[Term, ...]
    kernel: int

    def keep(self, name: str, indices: Sequence[int]) -> Driven:
        """The same with only these candidates of one dimension."""

        def cut(terms: tuple[Term, ...]) -> tuple[Term, ...]:
            return tuple((number, tuple(map(kept, parts))) for number, parts in terms)

        def kept(parts: Parts) -> Parts:
            if parts.dimension != name:
                return parts
            return replace(parts, tables=tuple(parts.tables[i] for i in indices))

        def moved(operand: Operand) -> Operand:
            return replace(operand, cycles=cut(operand.cycles))

        return Driven(
            tuple(map(moved, self.loads)),
            None if self.store is None else moved(self.store),
            cut(self.attached),
            cut(self.detached),
            self.kernel,
        )

    def latency(self, point: Mapping[str, int], counts: Mapping[str, int], depths: Mapping[str, int]) -> int:
        """Cycles of the whole nest.

        point: the chosen candidates. counts: tiles of each dimension, outermost loop first. depths: buffers by operand.
        """
        jobs = _each(self.detached, point, counts)
        beside = np.zeros_like(jobs)
        alone = self.kernel + int(_each(self.attached, point, counts).sum())
        for load in self.loads:
            firsts = _firsts(load, counts)
            cycles = load.count * _each(load.cycles, point, counts)[firsts]
            alone += int(cycles[: None if depths[load.name] == 1 else 1].sum())
            if depths[load.name] > 1:
                beside[firsts[:-1]] += cycles[1:]
        if self.store is not None:
            cycles = _each(self.store.cycles, point, counts)
            alone += int(cycles[0 if depths[self.store.name] == 1 else -1 :].sum())
            if depths[self.store.name] > 1:
                beside[1:] += cycles[:-1]
        return alone + int(np.maximum(jobs, beside).sum())


def _each(terms: Sequence[Term], point: Mapping[str, int], counts: Mapping[str, int]) -> Cycles:
    """The sum of the terms for every tile."""
    axes, total = list(counts), np.zeros(tuple(counts.values()), np.int64)
    for coefficient, parts in terms:
        value = np.full((1,) * len(axes), coefficient, np.int64)
        for part in parts:
            shape = [1] * len(axes)
            shape[axes.index(part.dimension)] = -1
            value = value * np.array(part.tables[point[part.dimension]], np.int64).reshape(shape)
        total += value
    return total.reshape(-1)


def _firsts(load: Operand, counts: Mapping[str, int]) -> NDArray[np.intp]:
    """The numbers of the tiles for which something is loaded."""
    places = np.indices(tuple(counts.values())).reshape(len(counts), -1)
    held = places[[name in load.moved_by for name in counts]]
    moves = np.any(held[:, 1:] != held[:, :-1], axis=0)
    return np.concatenate(([0], np.flatnonzero(moves) + 1))
