"""``pipeline-dma``: double buffering as a software pipeline, where transfers can overlap jobs.

The loads of a job start as soon as the job before it runs and the buffers they fill are free; a store is waited for only
when its buffer or its channel is needed again. So the engine computes one tile while the next comes in and the last goes
out, and whatever is in flight at a wait is what the wait is for: a channel's wait may be for all it was given.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import MemRefType, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp, GetGlobalOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import IsTerminator, is_side_effect_free

from htvm_ir.dialects.accel import AwaitOp, LaunchOp
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.passes.workloads import module_target


@dataclass(frozen=True)
class PipelineDma(ModulePass):
    """Moves starts of loads up and waits for stores down within each kernel, for channels that overlap with compute.

    On a target whose DMA cannot overlap (DIANA's digital core has one trigger for both) nothing changes.
    Buffers that a function takes as different arguments must be different, as ``bufferize`` makes them.
    """

    name = "pipeline-dma"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        channels = {channel.name for channel in module_target(op).channels if channel.overlaps}
        for function in op.ops:
            for block in function.body.blocks if isinstance(function, FuncOp) else ():
                pipeline(block, channels)


def pipeline(block: Block, channels: set[str]) -> None:
    """Reorder the transfers of one block on these channels; each channel keeps its order."""
    for op in list(block.ops):
        if isinstance(op, StartOp) and op.channel.string_value() in channels and _is_load(op):
            _hoist(op, block)
    for op in list(block.ops):
        start = op.token.owner if isinstance(op, WaitOp) else None
        if isinstance(start, StartOp) and start.channel.string_value() in channels and not _is_load(start):
            _sink(op, start, block)


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
        case AllocOp() | GetGlobalOp():
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


def _is_load(start: StartOp) -> bool:
    """Whether the transfer fills a buffer of this function, not one of the caller's."""
    return isinstance(root(start.destination).owner, AllocOp)


def _hoist(start: StartOp, block: Block) -> None:
    """Move a load, with the views it needs, up behind the last op it must follow."""
    views = _views(start)
    needed = {value.owner for op in (start, *views) for value in op.operands}
    moved: list[Operation] = [start]
    last = start.prev_op
    while last is not None:
        if last in views:
            moved.insert(0, last)
        elif last in needed or isinstance(last, LaunchOp) or _ordered(start, last):
            break
        last = last.prev_op
    for op in moved:
        op.detach()
    Rewriter.insert_op(moved, InsertPoint.at_start(block) if last is None else InsertPoint.after(last))


def _views(op: Operation) -> set[Operation]:
    """The views an op's operands come from."""
    owners = {v.owner for v in op.operands if isinstance(v.owner, Operation) and root(v) is not v}
    return owners.union(*map(_views, owners))


def _sink(wait: WaitOp, start: StartOp, block: Block) -> None:
    """Move the wait for a store down to the first op that needs its buffer or its channel."""
    following = wait.next_op
    while following is not None and not following.has_trait(IsTerminator) and not _ordered(start, following):
        following = following.next_op
    wait.detach()
    Rewriter.insert_op(wait, InsertPoint.at_end(block) if following is None else InsertPoint.before(following))


def _ordered(start: StartOp, other: Operation) -> bool:
    """Whether a transfer in flight and another op must keep their order."""
    if isinstance(other, StartOp) and other.channel == start.channel:
        return True
    mine, theirs = effects(start), effects(other)
    return mine is None or theirs is None or mine.conflict(theirs)
