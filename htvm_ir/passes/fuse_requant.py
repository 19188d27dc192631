"""``fuse-requant``: one requantisation where the model has several in a row, wherever that is provably exact."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.fold_constants import named_as
from htvm_ir.passes.intervals import interval
from htvm_ir.passes.workloads import blocks_of


@dataclass(frozen=True)
class FuseRequant(ModulePass):
    """Merges a clip into the requantisation before it and drops requantisations that change nothing.

    Two that both shift stay two: the first may clip, and then one shift by the sum is something else.
    What remains carries the ``graph.name`` of the last of the ops it stands for.
    """

    name = "fuse-requant"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for block in blocks_of(op):
            for requant in list(block.ops):
                if isinstance(requant, graph.RequantOp):
                    fuse(requant)


def fuse(op: graph.RequantOp) -> None:
    """Simplify one requantisation together with those before it, which are simplified already."""
    if is_identity(op) and op.input.type == op.result.type:
        if isinstance(op.input.owner, Operation):
            named_as(op.input.owner, op)
        Rewriter.replace_op(op, [], [op.input])
        return
    first = op.input.owner
    if not isinstance(first, graph.RequantOp) or not first.result.has_one_use():
        return
    if is_identity(first):
        op.operands[0] = first.input
        Rewriter.erase_op(first)
        fuse(op)
    elif only_clips(op):
        Rewriter.replace_op(op, merge_clip(first, op))
        Rewriter.erase_op(first)


def only_clips(op: graph.RequantOp) -> bool:
    """Whether ``op`` neither multiplies nor shifts, so that its rounding has nothing to round."""
    return set(values(op.multiplier)) == {1} and set(values(op.shift)) == {0} and not any(op.addends)


def is_identity(op: graph.RequantOp) -> bool:
    """Whether ``op`` gives back every integer its input can hold."""
    if not only_clips(op) or op.zero_point.value.data != 0:
        return False
    lo, hi = interval(op.input)
    return op.lo.value.data <= lo and hi <= op.hi.value.data


def merge_clip(first: graph.RequantOp, clip: graph.RequantOp) -> graph.RequantOp:
    """One op for ``clip`` after ``first``.

    With z the clip's zero point, clamp(z + clamp(v, a, b), lo, hi) = clamp(z + v, clamp(z + a, lo, hi),
    clamp(z + b, lo, hi)): both sides are monotone, have slope 0 or 1 and agree at the ends.
    """
    z, lo, hi = clip.zero_point.value.data, clip.lo.value.data, clip.hi.value.data
    merged = graph.RequantOp(
        first.input,
        graph.tensor_type(clip.result).element_type,
        rounding=first.rounding.data,
        multiplier=values(first.multiplier),
        shift=values(first.shift),
        zero_point=first.zero_point.value.data + z,
        lo=min(max(first.lo.value.data + z, lo), hi),
        hi=min(max(first.hi.value.data + z, lo), hi),
        addend=first.addends,
    )
    named_as(merged, clip)
    return merged
