"""What each op of the network would cost where, and what it costs when engines disagree about a tensor's layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue, Use

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU
from htvm_ir.passes.workloads import ANCHORS, following_requant, tensor_of, workload_of
from htvm_ir.schedule.assign import Choice, Joint, Kernel
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible, infeasible
from htvm_ir.tiling.solve import solve

HOST_FOLLOWERS = (graph.RequantOp, graph.ReshapeOp)
"""What runs in one kernel with the op before it, if that is on the CPU."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """An op, the requantisation that runs with it, and where it can run.

    cycles: predicted for each engine that takes it, the CPU last. refused: why others do not. layouts: what each
    engine wants of the inputs, then of the result.
    """

    name: str
    op: Operation
    workload: Workload
    cycles: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    layouts: dict[str, tuple[Layout, ...]] = field(default_factory=dict[str, tuple[Layout, ...]])

    @property
    def result(self) -> SSAValue:
        """The tensor the kernel leaves."""
        return ((following_requant(self.op) if isinstance(self.op, ANCHORS) else None) or self.op).results[0]


def unfit(engine: Engine, workload: Workload, target: Target) -> str | None:
    """Why not even the smallest tile fits the engine's memories; None if it does."""
    worst = infeasible(engine.problem(workload, target))
    if worst.missing <= 0:
        return None
    return f"the smallest tile exceeds {worst.capacity} by {worst.missing} bytes"


def candidates(function: FuncOp, target: Target, seconds: float) -> list[Candidate]:
    """Every op of ``@main`` that starts a kernel on some engine, in program order."""
    found: list[Candidate] = []
    taken: set[Operation] = set()
    for op in function.body.block.ops:
        if op.name.startswith("graph.") and op not in taken:
            requant = following_requant(op) if isinstance(op, ANCHORS) else None
            taken |= {requant} if requant is not None else set()
            found.append(_candidate(f"{len(found)}", op, requant, target, seconds))
    return found


def _candidate(name: str, op: Operation, requant: graph.RequantOp | None, target: Target, seconds: float) -> Candidate:
    workload = workload_of(op, requant)
    cycles, refused = prices(workload, target, seconds)
    layouts = {engine.name: engine.layouts(workload) for engine in target.engines if engine.name in cycles}
    return Candidate(name, op, workload, cycles, refused, layouts)


def prices(workload: Workload, target: Target, seconds: float) -> tuple[dict[str, int], dict[str, str]]:
    """Predicted cycles on each engine that takes a workload, the CPU last, and why others do not."""
    cycles: dict[str, int] = {}
    refused: dict[str, str] = {}
    for engine in target.engines:
        reason = engine.match(workload) or unfit(engine, workload, target)
        solution = None if reason else solve(engine.problem(workload, target), seconds)
        if solution is None or isinstance(solution, Infeasible):
            refused[engine.name] = reason or "no tile fits its memories"
        else:
            cycles[engine.name] = solution.latency
    cycles[CPU] = target.host.cycles(workload)
    return cycles, refused


def kernels(found: Sequence[Candidate]) -> list[Kernel]:
    """The assignment problem's kernels; what may join a CPU kernel before it costs something only if it does not."""
    heads = _heads(found)
    return [Kernel(c.name, {CPU: 0} if c in heads else c.cycles) for c in found]


def joints(found: Sequence[Candidate], function: FuncOp, target: Target) -> list[Joint]:
    """The costs between kernels: conversions on the CPU, and CPU kernels that cannot be part of the one before."""
    owner = {c.result: c for c in found}
    result: list[Joint] = []
    for candidate, head in _heads(found).items():
        engines = frozenset((head.name, engine) for engine in head.cycles if engine != CPU)
        result.append(Joint(candidate.cycles[CPU], (engines,)))
    for value in (*function.body.block.args, *owner):
        result += _conversions(value, owner.get(value), found, target)
    return result


def _heads(found: Sequence[Candidate]) -> dict[Candidate, Candidate]:
    """For each op that would join a CPU kernel: the op that starts that kernel."""
    owner = {c.result: c for c in found}
    heads: dict[Candidate, Candidate] = {}
    for candidate in found:
        source = owner.get(candidate.op.operands[0])
        if isinstance(candidate.op, HOST_FOLLOWERS) and source is not None and source.result.has_one_use():
            heads[candidate] = heads.get(source, source)
    return heads


def _conversions(
    value: SSAValue, source: Candidate | None, found: Sequence[Candidate], target: Target
) -> Iterator[Joint]:
    """What converting a tensor costs: from the caller's layout, between engines, and back to the caller."""
    cycles = target.host.cycles(_copy(value))
    wanted = _readers(value, found)
    for layout, readers in wanted.items():
        if source is None:
            yield Joint(cycles, (readers,))
            continue
        others = frozenset((source.name, e) for e, own in source.layouts.items() if own[-1] != layout)
        yield Joint(cycles, (others, readers))
    if source is None:
        return
    if any(isinstance(use.operation, ReturnOp) for use in value.uses):
        yield Joint(cycles, (frozenset((source.name, e) for e in source.layouts),))
    for first, second in combinations(wanted.values(), 2):  # the CPU writes the layout of one of them
        yield Joint(cycles, (frozenset({(source.name, CPU)}), first, second))


def _readers(value: SSAValue, found: Sequence[Candidate]) -> dict[Layout, frozenset[Choice]]:
    """The layouts a tensor is wanted in, and by whom."""
    wanted: dict[Layout, set[Choice]] = {}
    by_op = {c.op: c for c in found}
    for use in value.uses:
        for engine, layouts in _layouts(use, by_op.get(use.operation)):
            wanted.setdefault(layouts[use.index], set()).add(engine)
    return {layout: frozenset(readers) for layout, readers in wanted.items()}


def _layouts(use: Use, reader: Candidate | None) -> Iterator[tuple[Choice, tuple[Layout, ...]]]:
    if reader is not None and use.index < len(reader.workload.inputs):
        yield from (((reader.name, engine), layouts) for engine, layouts in reader.layouts.items())


def _copy(value: SSAValue) -> Workload:
    """The workload of a layout conversion."""
    tensor = tensor_of(value.type)
    return Workload("convert_layout", (tensor,), tensor)
