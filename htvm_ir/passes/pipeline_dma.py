"""``pipeline-dma``: double buffering as a software pipeline, where transfers can overlap jobs.

Loads start as soon as the buffer they fill is free, and stores are waited for only when their buffer is needed again,
so that the engine computes one tile while the next comes in and the last goes out.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp, GetGlobalOp, SubviewOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import AwaitOp, LaunchOp
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.passes.workloads import module_target


@dataclass(frozen=True)
class PipelineDma(ModulePass):
    """Moves starts up and waits down within each kernel, for channels that overlap with compute.

    On a target whose DMA cannot overlap (DIANA's digital core has one trigger for both) nothing changes.
    """

    name = "pipeline-dma"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        overlapping = {channel.name for channel in module_target(op).channels if channel.overlaps}
        for function in [f for f in op.ops if isinstance(f, FuncOp) and overlapping]:
            pipeline(function, overlapping)


def pipeline(function: FuncOp, channels: set[str]) -> None:
    """Reorder one function's ops; the order of starts on each channel stays."""
    if not function.body.blocks:
        return
    block = function.body.block
    starts = [op for op in block.ops if isinstance(op, StartOp) and op.channel.string_value() in channels]
    for start in starts:
        if _fills_local(start):
            _raise_start(start)
    for start in reversed(starts):
        wait = start.token.get_user_of_unique_use()
        if isinstance(wait, WaitOp) and not _fills_local(start):
            _lower_wait(start, wait)


def _root(value: SSAValue) -> SSAValue:
    """The buffer a view is part of."""
    while isinstance(value.owner, SubviewOp):
        value = value.owner.source
    return value


def _fills_local(start: StartOp) -> bool:
    """Whether the transfer writes a buffer of this function (and not one of the caller's)."""
    return isinstance(_root(start.destination).owner, AllocOp)


def buffers(op: Operation) -> set[SSAValue]:
    """The buffers an op reads or writes; for a wait or await those of what it waits for."""
    if isinstance(op, WaitOp | AwaitOp):
        owner = op.token.owner
        return buffers(owner) if isinstance(owner, Operation) else set()
    if isinstance(op, StartOp):
        return {_root(op.source), _root(op.destination)}
    if isinstance(op, LaunchOp):
        return {_root(value) for value in op.operands}
    return set()


def _same_channel(a: Operation, b: Operation) -> bool:
    return isinstance(a, StartOp) and isinstance(b, StartOp) and a.channel == b.channel


def _raise_start(start: StartOp) -> None:
    """Move a load, and the views it needs, up to just after the last op it must follow."""
    views = [v.owner for v in (start.source, start.destination) if isinstance(v.owner, SubviewOp)]
    target = start.prev_op
    local = _root(start.destination)
    while target is not None and not _pins(target, start, local):
        target = target.prev_op
    block = start.parent
    if target is None or block is None or target is start.prev_op:
        return
    after = target
    for op in (*views, start):
        if op is not after and not _precedes(op, after):
            op.detach()
            block.insert_op_after(op, after)
            after = op


def _pins(op: Operation, start: StartOp, local: SSAValue) -> bool:
    """Whether a load has to stay behind an op."""
    if isinstance(op, AllocOp | GetGlobalOp):
        return True
    return local in buffers(op) or _same_channel(op, start)


def _precedes(a: Operation, b: Operation) -> bool:
    return a.is_before_in_block(b)


def _lower_wait(start: StartOp, wait: WaitOp) -> None:
    """Move the wait of a store down to just before the next op that touches its local buffer."""
    local = _root(start.source)
    following = wait.next_op
    while following is not None and following.next_op is not None and local not in buffers(following):
        following = following.next_op
    block = wait.parent
    if following is None or block is None or following is wait.next_op:
        return
    wait.detach()
    block.insert_op_before(wait, following)
