"""What each op of the network would cost where, and what it costs when engines disagree about a tensor's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue, Use

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, DispatchOp
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.mappings import Layouts, best_variant, lacking, savings, usual_variants
from htvm_ir.passes.workloads import (
    ANCHORS,
    ELEMENTWISE,
    computed_inputs,
    following_requant,
    tensor_of,
    widens_for_user,
    workload_of,
)
from htvm_ir.schedule.assign import Choice, Joint, Kernel
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible

_WAY = ":"

FOLLOWERS = (graph.RequantOp, graph.ReshapeOp, graph.LookupOp, graph.SliceOp, graph.TransposeOp, graph.ReverseOp)
"""Ops on one tensor that run in one kernel with the op before them, if both are on the CPU."""

Pricing = Callable[[Workload, Target, float], tuple[dict[str, int], dict[str, str]]]
"""A function like :func:`prices`."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """An op, the requantisation that runs with it, and where it can run.

    A way to compute it is the name of an engine, or that and a number for other layouts than the engine's usual ones.
    cycles: predicted for each way, the CPU last and at its least. refused: why engines do not take it.
    layouts: what each way wants of the inputs, then of the result. surcharges: what the CPU takes more, by the
    layout an engine wrote the first input in.
    """

    name: str
    op: Operation
    requant: graph.RequantOp | None
    workload: Workload
    cycles: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    layouts: dict[str, Layouts] = field(default_factory=dict[str, Layouts])
    surcharges: dict[Layout, int] = field(default_factory=dict[Layout, int])

    @property
    def result(self) -> SSAValue:
        """The tensor the kernel leaves."""
        return self.ops[-1].results[0]

    @property
    def ops(self) -> list[Operation]:
        """The op and its requantisation."""
        return [self.op] if self.requant is None else [self.op, self.requant]


def refusal(engine: Engine, workload: Workload, target: Target) -> str | None:
    """Why an engine does not compute a workload; None if it does."""
    if workload.bias_is_computed:
        return "the bias is not constant; engines take constants that are packed beforehand"
    return engine.match(workload) or unfit(engine, workload, target)


def unfit(engine: Engine, workload: Workload, target: Target) -> str | None:
    """Why not even the smallest tile fits the engine's memories; None if it does."""
    worst = lacking(engine, workload, target)
    return None if worst is None else f"the smallest tile exceeds {worst.capacity} by {worst.missing} bytes"


def candidates(
    function: FuncOp, target: Target, seconds: float, price: Pricing | None = None, usual_layouts: bool = False
) -> list[Candidate]:
    """Every op of ``@main`` that starts a kernel on some engine, in program order.

    price: as :func:`prices`. usual_layouts: engines may not read or write any others.
    """
    found: list[Candidate] = []
    taken: set[Operation] = set()
    for op in function.body.block.ops:
        if op.name.startswith("graph.") and op not in taken:
            requant = following_requant(op) if isinstance(op, ANCHORS) else None
            taken |= {requant} if requant is not None else set()
            found.append(_candidate(f"{len(found)}", op, requant, target, seconds, price or prices))
            if not usual_layouts:
                _add_ways(found[-1], target, seconds)
    network = _Network.of(found)
    for candidate in found:
        costs = _host_cycles(candidate, network, target)
        candidate.cycles[CPU] = min(costs.values())
        candidate.surcharges.update({layout: cycles - candidate.cycles[CPU] for layout, cycles in costs.items()})
    return found


@dataclass(frozen=True)
class _Network:
    """The candidates by the tensor they leave, and by their op."""

    owner: dict[SSAValue, Candidate]
    by_op: dict[Operation, Candidate]

    @staticmethod
    def of(found: Sequence[Candidate]) -> _Network:
        return _Network({c.result: c for c in found}, {c.op: c for c in found})


def _host_cycles(candidate: Candidate, network: _Network, target: Target) -> dict[Layout, int]:
    """Predicted cycles on the CPU by the layout of the first input: those it may be written in, else the likely one."""
    first, *others = _likely_layouts(candidate, network)
    inputs = computed_inputs(candidate.op)
    source = network.owner.get(inputs[0]) if inputs else None
    layouts = [first] if source is None or not source.layouts else list(_writers(source))
    return {layout: target.host.cycles(candidate.workload, [layout, *others]) for layout in layouts}


def _likely_layouts(candidate: Candidate, network: _Network) -> list[Layout]:
    """The layouts of an op's inputs and result on the CPU, if its neighbours run on the first engine they can."""
    owner = network.owner
    layouts: list[Layout] = []
    for value in computed_inputs(candidate.op):
        written = list(owner[value].layouts.values()) if value in owner else []
        layouts.append(written[0][-1] if written else _row_major(value))
    wanted = next(iter(_readers(candidate.result, network)), _row_major(candidate.result))
    return [*layouts, wanted]


def _row_major(value: SSAValue) -> Layout:
    return Layout.row_major(len(graph.shape_of(value)))


def _candidate(
    name: str, op: Operation, requant: graph.RequantOp | None, target: Target, seconds: float, price: Pricing
) -> Candidate:
    workload = workload_of(op, requant)
    cycles, refused = price(workload, target, seconds)
    layouts = {engine.name: engine.layouts(workload) for engine in target.engines if engine.name in cycles}
    return Candidate(name, op, requant, workload, cycles, refused, layouts)


def _add_ways(candidate: Candidate, target: Target, seconds: float) -> None:
    """What engines would take for an op if they read or wrote other layouts than usual."""
    host = candidate.cycles.pop(CPU)
    for engine in (engine for engine in target.engines if engine.name in candidate.cycles):
        saved = savings(engine, candidate.workload, target, seconds)
        for number, (layouts, cycles) in enumerate(saved.items()):
            way = f"{engine.name}{_WAY}{number}"
            candidate.cycles[way] = max(0, candidate.cycles[engine.name] - cycles)
            candidate.layouts[way] = layouts
    candidate.cycles[CPU] = host


def engine_of(way: str) -> str:
    """The engine of a way to compute an op."""
    return way.partition(_WAY)[0]


def prices(workload: Workload, target: Target, seconds: float) -> tuple[dict[str, int], dict[str, str]]:
    """Predicted cycles on each engine that takes a workload, in its usual layouts, the CPU last; why others do not."""
    cycles: dict[str, int] = {}
    refused: dict[str, str] = {}
    for engine in target.engines:
        reason = refusal(engine, workload, target)
        best = None if reason else best_variant(engine, usual_variants(engine, workload), target, seconds)
        if best is None or isinstance(best, Infeasible):
            refused[engine.name] = reason or "no tile fits its memories"
        else:
            cycles[engine.name] = best[1].latency
    cycles[CPU] = target.host.cycles(workload)
    return cycles, refused


def kernels(found: Sequence[Candidate]) -> list[Kernel]:
    """The assignment problem's kernels; what may join a kernel on the CPU costs something there only if it does not."""
    guests = hosts(found)
    return [Kernel(c.name, {**c.cycles, CPU: 0} if c in guests else c.cycles) for c in found]


def joints(found: Sequence[Candidate], function: FuncOp, target: Target) -> list[Joint]:
    """The costs between kernels: conversions on the CPU, and kernels there that cannot be part of another."""
    network = _Network.of(found)
    result: list[Joint] = []
    for guest, host in hosts(found).items():
        elsewhere = frozenset((host.name, engine) for engine in host.cycles if engine != CPU)
        result.append(Joint(guest.cycles[CPU], (frozenset({(guest.name, CPU)}), elsewhere)))
    for candidate in found:
        result += _surcharges(candidate, network.owner)
    foreign = [r for op in function.body.block.ops if isinstance(op, DispatchOp) for r in op.results_]
    for value in (*function.body.block.args, *foreign, *network.owner):
        result += _conversions(value, network, target)
    return result


def _surcharges(candidate: Candidate, owner: Mapping[SSAValue, Candidate]) -> Iterator[Joint]:
    """What an op costs more on the CPU if its first input comes from an engine with an inconvenient layout."""
    inputs = computed_inputs(candidate.op)
    source = owner.get(inputs[0]) if inputs else None
    for layout, writers in _writers(source).items() if source is not None else ():
        if candidate.surcharges.get(layout):
            yield Joint(candidate.surcharges[layout], (frozenset({(candidate.name, CPU)}), writers))


def hosts(found: Sequence[Candidate]) -> dict[Candidate, Candidate]:
    """For each op that runs in one kernel with another one, if both are on the CPU: that other one.

    The CPU stores no tensor between an op and what touches each of its elements once, nor between an op and the
    widening of its operands for it alone.
    """
    network = _Network.of(found)
    result: dict[Candidate, Candidate] = {}
    for candidate in found:
        if widens_for_user(candidate.op):
            use = candidate.result.get_user_of_unique_use()
            assert use is not None
            result[candidate] = network.by_op[use]
            continue
        followed = _followed(candidate.op)
        source = None if followed is None else network.owner.get(followed)
        if source is not None and source.result.has_one_use() and not widens_for_user(source.op):
            result[candidate] = source
    return result


def _followed(op: Operation) -> SSAValue | None:
    """The tensor whose elements an op touches at most once, in some order: all it needs besides constants."""
    inputs = computed_inputs(op)
    touches_once = isinstance(op, (*FOLLOWERS, *ELEMENTWISE)) or _has_separate_windows(op)
    return inputs[0] if len(inputs) == 1 and touches_once else None


def _has_separate_windows(op: Operation) -> bool:
    """Whether no two windows of a pool overlap: then nothing is computed twice if the map before it is not stored."""
    if not isinstance(op, graph.PoolOp):
        return False
    return all(step >= size for step, size in zip(values(op.strides), values(op.kernel), strict=True))


def groups(found: Sequence[Candidate], engines: Mapping[str, str]) -> dict[Candidate, list[Operation]]:
    """The ops of each kernel of an assignment, in program order, by the op that gives it its name."""
    guests = hosts(found)

    def root(candidate: Candidate) -> Candidate:
        host = guests.get(candidate)
        joins = host is not None and engines[candidate.name] == engines[host.name] == CPU
        return root(host) if joins and host is not None else candidate

    members: dict[Candidate, list[Operation]] = {}
    for candidate in found:
        members.setdefault(root(candidate), []).extend(candidate.ops)
    return {candidate: members[candidate] for candidate in found if candidate in members}


def _conversions(value: SSAValue, network: _Network, target: Target) -> Iterator[Joint]:
    """What converting a tensor costs: from the caller's layout, between engines, and back to the caller."""
    source, rows, wanted = network.owner.get(value), _row_major(value), _readers(value, network)

    def cycles(before: Layout, after: Layout) -> int:
        return target.host.cycles(_copy(value), (before, after))

    def edge(before: Layout, after: Layout) -> int:
        return 0 if target.direct_edges and before == after else cycles(before, after)

    if source is None:
        yield from (Joint(edge(rows, layout), (readers,)) for layout, readers in wanted.items())
        return
    written = _writers(source)
    for (before, writers), (after, readers) in product(written.items(), wanted.items()):
        if before != after:
            yield Joint(cycles(before, after), (writers, readers))
    if any(isinstance(use.operation, ReturnOp) for use in value.uses):
        yield from (Joint(edge(before, rows), (writers,)) for before, writers in written.items())
    for (before, first), (after, second) in combinations(wanted.items(), 2):  # the CPU writes one of the layouts
        yield Joint(cycles(before, after), (frozenset({(source.name, CPU)}), first, second))


def _writers(source: Candidate) -> dict[Layout, frozenset[Choice]]:
    """The layouts a tensor may be written in, and by which engines."""
    written: dict[Layout, set[Choice]] = {}
    for engine, layouts in source.layouts.items():
        written.setdefault(layouts[-1], set()).add((source.name, engine))
    return {layout: frozenset(writers) for layout, writers in written.items()}


def _readers(value: SSAValue, network: _Network) -> dict[Layout, frozenset[Choice]]:
    """The layouts a tensor is wanted in, and by whom."""
    wanted: dict[Layout, set[Choice]] = {}
    for use in value.uses:
        for choice, layout in _layouts(use, network.by_op.get(use.operation)):
            wanted.setdefault(layout, set()).add(choice)
    return {layout: frozenset(readers) for layout, readers in wanted.items()}


def _layouts(use: Use, reader: Candidate | None) -> Iterator[tuple[Choice, Layout]]:
    inputs = () if reader is None else computed_inputs(reader.op)
    if reader is not None and (value := use.operation.operands[use.index]) in inputs:
        position = inputs.index(value)
        yield from (((reader.name, engine), layouts[position]) for engine, layouts in reader.layouts.items())


def _copy(value: SSAValue) -> Workload:
    """The workload of a layout conversion."""
    tensor = tensor_of(value.type)
    return Workload("convert_layout", (tensor,), tensor)
