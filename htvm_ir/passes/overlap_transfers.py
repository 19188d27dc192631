"""``overlap-transfers``: the first loads of a kernel begin beside the last jobs of the one before it.

``pipeline-dma`` moves transfers inside of a kernel. Here the kernels of ``@main`` are cut wherever the first loads of
the next one can begin, and where the last stores of the one before have to be waited for; the pieces become functions
that hand over the tokens of what is in flight, as ``overlap-kernels`` makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import AwaitOp, DispatchOp, LaunchOp, PrepareOp
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer
from htvm_ir.passes.host_prices import host_cycles
from htvm_ir.passes.memory_fit import bytes_of, in_memory
from htvm_ir.passes.overlap_kernels import Rewriting, add_hidden
from htvm_ir.passes.pipeline_dma import effects, is_load, root
from htvm_ir.passes.steps import Part, dependences, transfer_cycles
from htvm_ir.passes.workloads import KERNEL, kernel_name, main_function, module_target
from htvm_ir.schedule.overlap import Step
from htvm_ir.schedule.transfers import Event, overlap, simulate
from htvm_ir.targets.target import Job, Memory, Target


@dataclass(frozen=True)
class OverlapTransfers(ModulePass):
    """Orders the transfers and jobs of neighbouring kernels, where their channels have queues and memory allows.

    Nothing passes the pieces of kernels that ``overlap-kernels`` has cut. ``seconds`` limits each search for a place of
    all buffers.
    """

    name = "overlap-transfers"
    seconds: float = 2.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target, main = module_target(op), main_function(op)
        functions = {f.sym_name.data: f for f in op.ops if isinstance(f, FuncOp) and f.body.blocks}
        queued = {channel.name for channel in target.channels if channel.overlaps and channel.queue > 1}
        if not (target.prefetches and queued):
            return
        parts = list(_parts(main, functions, queued))
        events = _events(parts, target)
        room = _Room(parts, [memory for memory in target.memories if not memory.host], self.seconds)
        order = overlap(events, target.host.call, room.fits)
        before, after = (simulate(events, o, target.host.call) for o in (range(len(events)), order))
        if after.total() >= before.total() or not room.fits(order):
            return
        for number, name in {
            event.kernel: kernel_name(part.function) for event, part in zip(events, parts, strict=True)
        }.items():
            add_hidden(op, name, before[number] - after[number])
        Rewriting(parts, [Step(event.kernel, event.cpu) for event in events], main).run(order)


def _parts(main: FuncOp, functions: Mapping[str, FuncOp], queued: Set[str]) -> Iterator[Part]:
    """A part for each event; kernels of the CPU, of channels without a queue, and those that are cut, are one."""
    for call in [op for op in main.body.block.ops if isinstance(op, CallOp)]:
        function = functions[call.callee.string_value()]
        ops = [op for op in function.body.block.ops if isinstance(op, StartOp | WaitOp | LaunchOp | AwaitOp)]
        channels = {op.channel.string_value() for op in ops if isinstance(op, StartOp)}
        prepares = any(isinstance(op, PrepareOp) for op in function.body.block.ops)
        if ops and channels <= queued and not prepares and KERNEL not in function.attributes:
            yield from (Part(call, function, [op]) for op in ops)
        else:
            yield Part(call, function)


def _events(parts: Sequence[Part], target: Target) -> list[Event]:
    """The parts with what they cost and what must come before them."""
    kernels = {call: number for number, call in enumerate(dict.fromkeys(part.call for part in parts))}
    started: dict[SSAValue, int] = {}
    events: list[Event] = []
    for number, (part, after) in enumerate(zip(parts, dependences(parts), strict=True)):
        (op,) = part.ops or (None,)
        if isinstance(op, StartOp | LaunchOp):
            started[op.token] = number
        event = _event(op, part.function, started, target)
        events.append(replace(event, kernel=kernels[part.call], after=frozenset(after)))
    return events


def _event(op: Operation | None, function: FuncOp, started: Mapping[SSAValue, int], target: Target) -> Event:
    """What an op costs; none = a whole kernel of the CPU."""
    match op:
        case StartOp():
            channel = target.channel(op.channel.string_value())
            work = transfer_cycles(op, target) - channel.software
            return Event(0, channel.software, work, channel.name, channel.queue, is_load(op), channel.port)
        case LaunchOp():
            engine, job = target.engine(op.engine_name), Job(op.kernel.data, op.fields)
            detached = engine.detached(job)
            return Event(0, engine.cycles(job) - detached, detached, engine.name)
        case WaitOp() | AwaitOp():
            return Event(0, 0, waits_for=started[op.token])
        case _:
            return Event(0, _host_cycles(function, target), barrier=KERNEL in function.attributes)


def _host_cycles(function: FuncOp, target: Target) -> int:
    return sum(host_cycles(op, target) for op in function.body.block.ops if isinstance(op, DispatchOp))


class _Room:
    """Whether local buffers have a place in some order of their events."""

    def __init__(self, parts: Sequence[Part], memories: Sequence[Memory], seconds: float):
        self.memories, self.seconds = memories, seconds
        self.used = [list(_allocations(part)) for part in parts]
        cut: dict[str, list[AllocOp]] = {}
        for part in (part for part in parts if KERNEL in part.function.attributes):
            cut.setdefault(kernel_name(part.function), []).extend(_passed(part))
        self.used = [cut.get(kernel_name(part.function), used) for part, used in zip(parts, self.used, strict=True)]
        self.users: dict[AllocOp, list[int]] = {}
        for number, used in enumerate(self.used):
            for alloc in used:
                self.users.setdefault(alloc, []).append(number)

    def fits(self, order: Sequence[int]) -> bool:
        """Whether all that is alive during some consecutive events, up to the last of a kernel, fits each memory.

        Waits for a transfer use its buffer. A kernel that is cut already has all that it is passed from its first
        piece to its last.
        """
        places = {number: place for place, number in enumerate(order)}
        spans = {alloc: span for alloc, users in self.users.items() if (span := _span(users, places))}
        return all(self._fits(memory, spans) for memory in self.memories)

    def _fits(self, memory: Memory, spans: Mapping[AllocOp, tuple[int, int]]) -> bool:
        buffers = [
            Buffer(str(n), bytes_of(alloc.memref.type), *span, memory.alignment)
            for n, (alloc, span) in enumerate(spans.items())
            if in_memory(alloc.memref.type, memory)
        ]
        return plan(buffers, seconds=self.seconds).bytes <= memory.size


def _span(users: Sequence[int], places: Mapping[int, int]) -> tuple[int, int] | None:
    """The places at which a buffer is alive, for its users in rising order; None: at none.

    Users without a place come before them all, or behind if they are of later kernels, whose numbers are higher.
    """
    inside = [places[user] for user in users if user in places]
    last = max(places)
    before, behind = any(user < last and user not in places for user in users), users[-1] > last
    if not inside and not (before and behind):
        return None
    return 0 if before else min(inside), len(places) if behind else max(inside) + 1


def _allocations(part: Part) -> Iterator[AllocOp]:
    """The allocations that a part uses, in its kernel or in ``@main``."""
    for op in part.ops:
        for value in _values(op):
            buffer = root(value)
            if isinstance(buffer, BlockArgument):
                buffer = root(part.call.arguments[buffer.index])
            if isinstance(buffer.owner, AllocOp):
                yield buffer.owner


def _passed(part: Part) -> list[AllocOp]:
    """The allocations that a whole function is passed."""
    owners = [root(value).owner for value in part.call.arguments]
    return [owner for owner in owners if isinstance(owner, AllocOp)]


def _values(op: Operation) -> Sequence[SSAValue]:
    """The buffers of a transfer or job, or of what is waited for."""
    start = op.operands[0].owner if isinstance(op, WaitOp | AwaitOp) else op
    if not isinstance(start, StartOp | LaunchOp):
        return ()
    found = effects(start)
    return () if found is None else (*found.reads, *found.writes)
