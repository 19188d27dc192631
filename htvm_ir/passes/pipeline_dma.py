"""``pipeline-dma``: double buffering as a software pipeline, where transfers can overlap jobs.

The loads of a tile start beside the first job after the loads before them, and are waited for right before the job that
reads them; a store is waited for when its buffer or its channel is needed again. So the engine computes one tile while
the next comes in and the last goes out, and a wait may well be for all that was given to its channel.

A channel with a queue takes a transfer while others are in flight, and is waited for transfer by transfer. There a load
starts as soon as its buffer is free, any number of tiles ahead, and a store of three buffers starts behind the start of
the next job, which has nothing to wait for then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import MemRefType, ModuleOp
from xdsl.dialects.memref import AllocOp, GetGlobalOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import IsTerminator, is_side_effect_free

from htvm_ir.dialects.accel import AwaitOp, LaunchOp, PrepareOp
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.passes.workloads import blocks_of, module_target


@dataclass(frozen=True)
class PipelineDma(ModulePass):
    """Moves starts of loads up and waits for stores down within each kernel, for channels that overlap with compute.

    On a target whose DMA cannot overlap (DIANA's digital core has one trigger for both) nothing changes.
    Buffers that a function takes as different arguments must be different, as ``bufferize`` makes them.
    """

    name = "pipeline-dma"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        channels = {channel.name: channel.queue > 1 for channel in module_target(op).channels if channel.overlaps}
        for block in blocks_of(op):
            pipeline(block, channels)


def pipeline(block: Block, channels: Mapping[str, bool]) -> None:
    """Reorder the transfers of one block on these channels; each channel keeps its order.

    channels: whether they have a queue, by name.
    """
    transfers = [
        (op, channels[op.channel.string_value()])
        for op in block.ops
        if isinstance(op, StartOp) and op.channel.string_value() in channels
    ]
    for start, queued in reversed(transfers):
        if isinstance(wait := start.token.get_user_of_unique_use(), WaitOp):
            _sink(wait, start, queued)
    for start, queued in transfers:
        if is_load(start):
            _hoist(start, queued)
    for start, queued in reversed(transfers):
        if queued and not is_load(start):
            _defer(start)


@dataclass(frozen=True)
class Effects:
    """The buffers an op reads and writes."""

    reads: frozenset[SSAValue] = frozenset()
    writes: frozenset[SSAValue] = frozenset()

    def conflict(self, other: Effects) -> bool:
        """Whether the order of the two matters."""
        return bool(self.writes & (other.reads | other.writes) or self.reads & other.writes)


def effects(op: Operation) -> Effects | None:
    """What an op touches, for a wait or await what it waits for; None if anything."""
    match op:
        case StartOp():
            return Effects(frozenset({root(op.source)}), frozenset({root(op.destination)}))
        case LaunchOp():
            read = [*op.inputs, *([] if op.constants is None else [op.constants])]
            return Effects(frozenset(map(root, read)), frozenset({root(op.output)}))
        case WaitOp() | AwaitOp():
            return effects(op.token.owner) if isinstance(op.token.owner, Operation) else None
        case AllocOp() | GetGlobalOp() | PrepareOp():
            return Effects()
        case _:
            return Effects() if is_side_effect_free(op) else None


def root(buffer: SSAValue) -> SSAValue:
    """The buffer a view is part of."""
    while isinstance(buffer.owner, Operation) and buffer.owner.operands:
        source = buffer.owner.operands[0]
        if not isinstance(source.type, MemRefType):
            break
        buffer = source
    return buffer


def is_load(start: StartOp) -> bool:
    """Whether the transfer fills a buffer of this function, not one of the caller's."""
    return isinstance(root(start.destination).owner, AllocOp)


def _sink(wait: WaitOp, start: StartOp, queued: bool) -> None:
    """Move a wait down to the first op that needs what it is for; that for a store, to the channel's next start."""
    last: Operation = wait
    while (following := last.next_op) is not None:
        taken = isinstance(following, StartOp) and _same_channel(start, following)
        next_transfer = taken and not queued and not is_load(start)
        in_order = taken and queued  # a queue does one after the other, so the two may use one buffer
        needs = following.has_trait(IsTerminator) or (_depends(start, following) and not in_order)
        if next_transfer or needs:
            break
        last = following
    if last is not wait:
        wait.detach()
        Rewriter.insert_op(wait, InsertPoint.after(last))


def _defer(start: StartOp) -> None:
    """Move a store down behind the next job, if that leaves alone what it moves and need not wait for the store before.

    If it must, its channel would stand still in the meantime.
    """
    before = next((op for op in _above(start) if isinstance(op, StartOp) and _same_channel(start, op)), None)
    job = start.next_op
    while job is not None and not isinstance(job, LaunchOp):
        older = isinstance(job, WaitOp) and _is_older(job, start) and job.token.owner is not before
        if not older and _depends(start, job):
            return
        job = job.next_op
    if job is not None and not _conflict(start, job):
        start.detach()
        Rewriter.insert_op(start, InsertPoint.after(job))


def _hoist(start: StartOp, queued: bool) -> None:
    """Move a load, with its views, up behind the last op it must follow, and behind the first job it passes there.

    A queue takes it at once where an engine is at work or has nothing to do yet: there it passes no job.
    """
    views = _views(start)
    needed = {value.owner for op in (start, *views) for value in op.operands}
    job: Operation | None = None
    last = start.prev_op
    while last is not None and (last in views or not (last in needed or _stays_above(start, last, queued))):
        job = last if isinstance(last, LaunchOp) else job
        last = last.prev_op
    if queued and not _is_idle_after(last):
        job = None
    if (place := job or last) is not None:
        place = _after_starts(place, start) if queued else place
        moved = [op for op in _between(place, start) if op in views]
        for op in (*moved, start):
            op.detach()
        Rewriter.insert_op([*moved, start], InsertPoint.after(place))


def _after_starts(op: Operation, end: Operation) -> Operation:
    """The last of the transfers started in a row behind an op and above another: what is needed first stays first."""
    last = following = op
    while (following := following.next_op) is not None and following is not end:
        if isinstance(following, LaunchOp | WaitOp | AwaitOp):
            break
        last = following if isinstance(following, StartOp) else last
    return last


def _is_idle_after(op: Operation | None) -> bool:
    """Whether the last job started before or at an op has been waited for there."""
    while op is not None and not isinstance(op, LaunchOp | AwaitOp):
        op = op.prev_op
    return isinstance(op, AwaitOp)


def _is_older(wait: WaitOp, start: StartOp) -> bool:
    """Whether a wait is for another transfer of the same channel."""
    awaited = wait.token.owner
    return isinstance(awaited, StartOp) and _same_channel(start, awaited) and awaited is not start


def _above(op: Operation) -> Iterator[Operation]:
    """The ops above one, the nearest first."""
    while (above := op.prev_op) is not None:
        yield above
        op = above


def _between(first: Operation, last: Operation) -> Iterator[Operation]:
    """The ops that stand between two of one block."""
    op = first.next_op
    while op is not None and op is not last:
        yield op
        op = op.next_op


def _stays_above(start: StartOp, other: Operation, queued: bool) -> bool:
    """Whether a load may not start before an op that stands above it."""
    if queued and isinstance(other, WaitOp):
        return _conflict(start, other)
    declares = isinstance(other, AllocOp | GetGlobalOp)
    return declares or _depends(start, other) or (isinstance(other, StartOp) and _same_channel(start, other))


def _depends(start: StartOp, other: Operation) -> bool:
    """Whether a transfer in flight and another op must keep their order; the waits of a channel do."""
    awaited = other.token.owner if isinstance(other, WaitOp) else None
    if isinstance(awaited, StartOp) and _same_channel(start, awaited):
        return True
    return _conflict(start, other)


def _conflict(start: StartOp, other: Operation) -> bool:
    """Whether two ops use the same buffer, and one of them writes it."""
    mine, theirs = effects(start), effects(other)
    return mine is None or theirs is None or mine.conflict(theirs)


def _same_channel(a: StartOp, b: StartOp) -> bool:
    return a.channel == b.channel


def _views(op: Operation) -> set[Operation]:
    """The views an op's operands come from."""
    owners = {v.owner for v in op.operands if isinstance(v.owner, Operation) and root(v) is not v}
    return owners.union(*map(_views, owners))
