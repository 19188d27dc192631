"""``plan-strips``: decide which kernels are computed depth first, on some rows at a time; an attribute, no change.

It is about kernels around a map that has no room in local memory. Their strips cost what their tiling problems say,
with those between them staying there; where transfers run beside the jobs of neighbouring kernels, what the network
takes with them is forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects import accel
from htvm_ir.passes.chunks import ROWS
from htvm_ir.passes.forecast import Forecast, Place, engine_acts
from htvm_ir.passes.mappings import best_variant, by_layouts, constants_cost, variants
from htvm_ir.passes.residents import Residents, Tiling, residents
from htvm_ir.passes.strips import Rows, Segment, Stage, refusal, set_segment, strip_workload
from htvm_ir.passes.workloads import block_layouts, module_target, with_room
from htvm_ir.schedule.chain import Act
from htvm_ir.schedule.depth_first import Strips, plan_depth_first
from htvm_ir.schedule.residency import Residency
from htvm_ir.tiling.problem import Infeasible

ATTEMPTS = 3
"""Numbers of strips that are tried, from the least that fits: with each one more rows are computed twice (model
choice)."""


@dataclass(frozen=True)
class PlanStrips(ModulePass):
    """Sets ``accel.strips`` on kernels of engines.

    enabled: False = none. ``seconds`` limits the search for each tiling and for what stays otherwise. overlap: whether
    ``overlap-transfers`` will run.
    """

    name = "plan-strips"
    enabled: bool = True
    seconds: float = 5.0
    overlap: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target, count = module_target(op), 0
        for found in residents(op, target, self.seconds) if self.enabled else ():
            pricing = _Pricing(found)
            given = (found.kernels, found.tensors, found.memory.size)
            forecast = Forecast(found, list(accel.kernels(op)))
            judge = partial(pricing.judge, forecast) if self.overlap and forecast.is_possible else None
            for strips in plan_depth_first(*given, pricing.heights, self.seconds, judge):
                set_segment(pricing.segment(strips.first, strips.last, strips.rows), count)
                count += 1


class _Pricing:
    """What strips of the kernels of one local memory cost."""

    def __init__(self, found: Residents):
        self.found = found
        self.stages = [Stage(user.dispatch, user.workload, user.operands) for user in found.users]
        self.may_stay = frozenset(found.values.values())
        self.kernel, self.bytes, self.acts = cache(self._kernel), cache(self._bytes), cache(self._acts)

    def segment(self, first: int, last: int, rows: int) -> Segment:
        """Some kernels on some rows."""
        return Segment(tuple(self.stages[first : last + 1]), rows)

    def heights(self, first: int, last: int, limit: int) -> Iterator[Strips]:
        """Strips of some kernels that take less than a limit of cycles, the tallest that fit first."""
        shape = self.stages[last].workload.output.shape
        if len(shape) <= ROWS or not self.segment(first, last, 1).inside <= self.may_stay:
            return
        possible = (self.segment(first, last, rows) for rows in _heights(shape[ROWS]))
        fitting = (segment for segment in possible if segment.fault is None and self._fits(segment, first))
        for segment in islice(fitting, ATTEMPTS):
            cycles = self._cycles(segment, first, limit)
            if cycles is not None:
                yield Strips(first, last, segment.rows, cycles)

    def judge(self, forecast: Forecast, rest: Residency, chosen: Sequence[Strips]) -> int:
        """Cycles of the network with strips of some kernels, as they will run beside their neighbours."""
        instead: dict[int, list[Sequence[Act]]] = {}
        for strips in chosen:
            instead |= {number: [] for number in range(strips.first, strips.last)}
            instead[strips.last] = self.acts(strips)
        return forecast.cycles(rest.options, instead)

    def _acts(self, strips: Strips) -> list[Sequence[Act]]:
        """The kernels of all strips."""
        found, segment = list[Sequence[Act]](), self.segment(strips.first, strips.last, strips.rows)
        for strip, number, rows, others in self._parts(segment, strips.first):
            user, tiling = self.found.users[number], self.kernel(number, rows, segment.inside, others)
            assert tiling is not None
            operands = zip(user.operands, rows, self.bytes(number, rows), strict=True)
            places = [
                Place((value, strip), 0, size) if value in segment.inside else Place(value, first)
                for value, (first, _), size in operands
            ]
            found.append(engine_acts(user.engine, tiling, places, self.found.target))
        return found

    def _fits(self, segment: Segment, first: int) -> bool:
        """Whether there is room for the strips between the kernels."""
        for _, number, rows, others in self._parts(segment, first):
            operands = zip(self.found.users[number].operands, self.bytes(number, rows), strict=True)
            if others + sum(size for value, size in operands if value in segment.inside) > self.found.memory.size:
                return False
        return True

    def _cycles(self, segment: Segment, first: int, limit: int) -> int | None:
        """Cycles of all strips, which share their constants; None if not less than a limit, or a tile does not fit."""
        total = 0
        for strip, number, rows, others in self._parts(segment, first):
            tiling = self.kernel(number, rows, segment.inside, others)
            if tiling is None:
                return None
            engine, workload = self.found.users[number].engine, tiling.workload
            shared = 0 if strip else round(constants_cost(engine, workload, self.found.target))
            total += tiling.latency + shared
            if total >= limit:
                return None
        return total

    def _parts(self, segment: Segment, first: int) -> Iterator[tuple[int, int, Rows, int]]:
        """Each strip and kernel of it by number, the rows of its operands, and the local memory that others take."""
        for strip, kernels in enumerate(segment.strips()):
            assert kernels is not None
            taken = self._taken(segment, kernels, first)
            for number, (rows, others) in enumerate(zip(kernels, taken, strict=True), first):
                yield strip, number, rows, others

    def _taken(self, segment: Segment, strip: Sequence[Rows], first: int) -> list[int]:
        """Bytes of local memory, for each kernel, that strips between others take meanwhile."""
        taken = [0] * len(strip)
        for place, (stage, rows) in enumerate(zip(segment.stages[:-1], strip, strict=False)):
            users = [n for n, other in enumerate(segment.stages) if stage.result in other.operands[:-1]]
            for between in set(range(place + 1, max(users))) - set(users):
                taken[between] += self.found.aligned(self.bytes(first + place, rows)[-1])
        return taken

    def _bytes(self, number: int, rows: Rows) -> tuple[int, ...]:
        """Bytes of local memory of the operands of a kernel on some rows, as its most frugal mapping has it."""
        engine, workload = self.found.users[number].engine, strip_workload(self.stages[number], rows, frozenset())
        return tuple(map(min, zip(*(engine.local_bytes(v) for v in variants(engine, workload)), strict=True)))

    def _kernel(self, number: int, rows: Rows, inside: frozenset[SSAValue], others: int) -> Tiling | None:
        """The best tiling of a kernel on some rows; None if that cannot be.

        Maps inside the segment stay in local memory.
        """
        user, found = self.found.users[number], self.found
        workload = strip_workload(self.stages[number], rows, inside)
        if refusal(self.stages[number], user.engine, workload) is not None or not workload.resident <= user.may_stay:
            return None
        fitting = by_layouts(user.engine, workload)[block_layouts(user.dispatch.body.block)]
        target = with_room(found.target, found.memory.name, found.memory.size - others)
        best = best_variant(user.engine, fitting, target, found.seconds)
        return None if isinstance(best, Infeasible) else Tiling.of(*best)


def _heights(extent: int) -> Iterator[int]:
    """Rows of a strip for two strips, for three, and so on."""
    yield from dict.fromkeys(-(-extent // count) for count in range(2, extent + 1))
