"""The steps of a network of kernels on buffers: where a kernel can be interrupted, what its parts touch and cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from xdsl.dialects.builtin import MemRefType
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.dialects.memref import SubviewOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from htvm_ir.dialects.accel import AwaitOp, DispatchOp, LaunchOp, PrepareOp
from htvm_ir.dialects.dma import StartOp, WaitOp, transfer_shape
from htvm_ir.passes.host_prices import host_cycles
from htvm_ir.passes.pipeline_dma import effects, is_load, root
from htvm_ir.schedule.overlap import Step
from htvm_ir.targets.target import Job, Target

Box = tuple[tuple[int, int], ...]
"""First element and the one behind the last, along each axis of a buffer."""


@dataclass(frozen=True)
class Access:
    """The use of a buffer of ``@main`` from one step to another; box: the part of it, None = any.

    begin, end: numbers of the steps in which it begins and ends.
    """

    buffer: SSAValue
    box: Box | None
    writes: bool
    begin: int
    end: int

    def conflicts(self, other: Access) -> bool:
        """Whether the order of the two matters."""
        if not (self.writes or other.writes):
            return False
        if self.box is None or other.box is None or len(self.box) != len(other.box):
            return True
        return all(a < d and c < b for (a, b), (c, d) in zip(self.box, other.box, strict=True))


@dataclass
class Part:
    """Some transfers and jobs of a kernel, what is prepared for its first job, or all that the CPU does (no ops)."""

    call: CallOp
    function: FuncOp
    ops: list[Operation] = field(default_factory=list[Operation])

    @property
    def prepares(self) -> bool:
        """Whether this is what comes before everything else and waits for nothing."""
        return all(isinstance(op, PrepareOp) for op in self.ops) and bool(self.ops)


def main_parts(main: FuncOp, functions: Mapping[str, FuncOp]) -> list[Part]:
    """The parts of all kernels that ``@main`` calls, in its order."""
    calls = [op for op in main.body.block.ops if isinstance(op, CallOp)]
    return [part for call in calls for part in _parts(call, functions[call.callee.string_value()])]


def _parts(call: CallOp, function: FuncOp) -> list[Part]:
    """Cut a kernel behind its launches, and before a next tile's loads if nothing is in flight there.

    What is to be prepared for the first job, which waits for nothing, comes first.
    """
    body = [op for op in function.body.block.ops if not isinstance(op, ReturnOp)]
    if any(effects(op) is None for op in body):
        return [Part(call, function)]
    found = [Part(call, function)]
    flying: set[SSAValue] = set()
    cuts = [op for op in body if isinstance(op, StartOp | WaitOp | PrepareOp | LaunchOp | AwaitOp)]
    if (early := _prepared_first(cuts)) is not None:
        cuts.remove(early)
        found = [Part(call, function, [early]), Part(call, function)]
    for op in cuts:
        awaited = any(isinstance(before, AwaitOp) for before in found[-1].ops)
        if awaited and not flying and (isinstance(op, LaunchOp) or (isinstance(op, StartOp) and is_load(op))):
            found.append(Part(call, function))
        found[-1].ops.append(op)
        if isinstance(op, StartOp | LaunchOp):
            flying.add(op.token)
        elif isinstance(op, WaitOp | AwaitOp):
            flying.discard(op.token)
        if isinstance(op, LaunchOp):
            found.append(Part(call, function))
    return found


def _prepared_first(ops: Sequence[Operation]) -> PrepareOp | None:
    """What is prepared for the first job."""
    first = next((op for op in ops if isinstance(op, PrepareOp | LaunchOp)), None)
    return first if isinstance(first, PrepareOp) else None


def steps(parts: Sequence[Part], target: Target) -> list[Step]:
    """What the scheduler is to know of the parts: cycles as predicted, and what must come first."""
    numbers = {call: number for number, call in enumerate(dict.fromkeys(part.call for part in parts))}
    after = dependences(parts)
    for number, earlier in _not_before(parts):
        after[number].add(earlier)
    units = {part.function: _units(part.function, target) for part in parts}
    found: list[Step] = []
    for number, part in enumerate(parts):
        host, job = _cycles(part, target)
        held = units[part.function] if part.ops and not part.prepares else frozenset[str]()
        found.append(Step(numbers[part.call], host, job, held, frozenset(after[number]), _beside(part, target)))
    return found


def _units(function: FuncOp, target: Target) -> frozenset[str]:
    """The engines and channels that a kernel uses, engines that lend it one, and the ports of channels with a queue.

    A step waits for its transfers, which those with a queue do not: kernels that share their port are left to
    ``overlap-transfers``, which knows better what they gain beside each other.
    """
    ops = list(function.body.block.ops)
    engines = {op.engine_name for op in ops if isinstance(op, LaunchOp)}
    channels = [target.channel(op.channel.string_value()) for op in ops if isinstance(op, StartOp)]
    ports = {f"port {channel.port}" for channel in channels if channel.overlaps and channel.queue > 1}
    lenders = {channel.lent_by for channel in channels if channel.lent_by}
    return frozenset(engines | {channel.name for channel in channels} | ports | lenders)


def _beside(part: Part, target: Target) -> int:
    """Cycles of the transfers that a part begins with, on channels that are lent, before it waits for a job."""
    end = next((number for number, op in enumerate(part.ops) if isinstance(op, AwaitOp)), 0)
    starts = [op for op in part.ops[:end] if isinstance(op, StartOp)]
    return sum(transfer_cycles(op, target) for op in starts if target.channel(op.channel.string_value()).lent_by)


def _cycles(part: Part, target: Target) -> tuple[int, int]:
    """Cycles of the CPU, and of the job that goes on afterwards; transfers are waited for."""
    if not part.ops:
        return sum(host_cycles(op, target) for op in part.function.body.block.ops if isinstance(op, DispatchOp)), 0
    host = sum(transfer_cycles(op, target) for op in part.ops if isinstance(op, StartOp))
    detached = 0
    for op in part.ops:
        if isinstance(op, PrepareOp | LaunchOp):
            engine, job = target.engine(op.engine_name), Job(op.kernel.data, op.fields)
            if isinstance(op, PrepareOp):
                host += engine.preparation(job) or 0
            else:
                detached = engine.detached(job)
                host += engine.cycles(job) - detached
    return host, detached


def transfer_cycles(op: StartOp, target: Target) -> int:
    """Cycles to move the bytes of a transfer, and the CPU's for each of its pieces."""
    channel = target.channel(op.channel.string_value())
    ends = [transfer_shape(value.type) for value in op.operands if isinstance(value.type, MemRefType)]
    loops = max(ends, key=len)
    pieces = prod(count for count, _ in loops[:-1])
    return channel.cycles(loops[-1][0], pieces) + channel.software * (pieces if channel.pieces else 1)


def dependences(parts: Sequence[Part]) -> list[set[int]]:
    """For each part those of other kernels, by number, that must have ended before it begins."""
    after: list[set[int]] = [set() for _ in parts]
    earlier: dict[SSAValue, list[Access]] = {}
    for access in sorted(_accesses(parts), key=lambda access: access.begin):
        mine = parts[access.begin].call
        for other in earlier.setdefault(access.buffer, []):
            if parts[other.begin].call is not mine and access.conflicts(other):
                after[access.begin].add(other.end)
        earlier[access.buffer].append(access)
    return after


def _not_before(parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """What is prepared, and the launches it comes after: there is room for one job of an engine, so that of the last
    kernel that prepares any; and that of the kernel before the last, which bounds what can be prepared at a time.
    """
    launches: dict[str, dict[CallOp, int]] = {}
    prepares: dict[str, CallOp] = {}
    for number, part in enumerate(parts):
        for op in part.ops:
            if not isinstance(op, PrepareOp | LaunchOp):
                continue
            earlier = launches.setdefault(op.engine_name, {})
            if part.prepares:
                before = [*earlier.values()][-2:-1]
                before += [earlier[prepares[op.engine_name]]] if op.engine_name in prepares else []
                yield from ((number, launch) for launch in before)
            if isinstance(op, PrepareOp):
                prepares[op.engine_name] = part.call
            else:
                earlier[part.call] = number


def _accesses(parts: Sequence[Part]) -> Iterator[Access]:
    """The uses of the buffers of ``@main``."""
    started: dict[SSAValue, int] = {}
    for number, part in enumerate(parts):
        if not part.ops:
            yield from _host_accesses(part, number)
        for op in part.ops:
            if isinstance(op, StartOp | LaunchOp):
                started[op.token] = number
            elif isinstance(op, WaitOp | AwaitOp) and isinstance(op.token.owner, StartOp | LaunchOp):
                reads, writes = touched(op.token.owner)
                for value, write in (*((v, False) for v in reads), *((v, True) for v in writes)):
                    argument = root(value)
                    if isinstance(argument, BlockArgument):
                        buffer, box = _place(part.call.arguments[argument.index], value)
                        yield Access(buffer, box, write, started[op.token], number)


def touched(op: StartOp | LaunchOp) -> tuple[Sequence[SSAValue], Sequence[SSAValue]]:
    """What a transfer or job reads and writes."""
    return ([op.source], [op.destination]) if isinstance(op, StartOp) else (op.inputs, [op.output])


def _host_accesses(part: Part, number: int) -> Iterator[Access]:
    """A kernel of the CPU: its dispatch says what it writes; what has none may write everything."""
    outputs = {v for op in part.function.body.block.ops if isinstance(op, DispatchOp) for v in op.outputs}
    for value, argument in zip(part.call.arguments, part.function.args, strict=True):
        if isinstance(value.type, MemRefType):
            buffer, box = _place(value, argument)
            yield Access(buffer, box, not outputs or argument in outputs, number, number)


def _place(operand: SSAValue, view: SSAValue) -> tuple[SSAValue, Box | None]:
    """The buffer of ``@main`` behind a view of a kernel's argument, and which part of it that is."""
    inner = _box(view.owner) if isinstance(view.owner, SubviewOp) else None
    if not isinstance(operand.owner, SubviewOp):
        return root(operand), inner
    outer = _box(operand.owner)
    if outer is None or inner is None or len(outer) != len(inner):
        return root(operand), outer
    return root(operand), tuple((at + low, at + high) for (at, _), (low, high) in zip(outer, inner, strict=True))


def _box(view: SubviewOp) -> Box | None:
    """The part of its source that a view is; None if that is a view itself, or has gaps."""
    if root(view.source) is not view.source or set(view.static_strides.get_values()) != {1}:
        return None
    offsets, sizes = view.static_offsets.get_values(), view.static_sizes.get_values()
    return tuple((int(offset), int(offset) + int(size)) for offset, size in zip(offsets, sizes, strict=True))
