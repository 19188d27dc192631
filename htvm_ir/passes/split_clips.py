"""``split-clips``: where only the clip of a requantisation keeps an op off every engine, clip in an op of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.graph import NAME
from htvm_ir.passes.conv_rewrites import in_place, on_blocks
from htvm_ir.passes.intervals import type_interval
from htvm_ir.passes.legalize_convs import accepted
from htvm_ir.passes.workloads import ANCHORS, blocks_of, following_requant, module_target, workload_of
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Requant, Workload


@dataclass(frozen=True)
class SplitClips(ModulePass):
    """Turns ``requant range lo to hi`` into one that clips to what the type holds, and a clip to lo to hi after it.

    The engine then computes the first, the CPU clips: in the kernel that converts the layout anyway, or that computes
    all of the op if it stays on the CPU.
    """

    name = "split-clips"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for block in blocks_of(op):
            for anchor in list(block.ops):
                requant = following_requant(anchor) if isinstance(anchor, ANCHORS) else None
                if requant is not None:
                    split(anchor, requant, target)


def split(anchor: Operation, requant: graph.RequantOp, target: Target) -> None:
    """Split one requantisation, if that brings its op onto an engine."""
    workload = workload_of(anchor, requant)
    if workload.requant is None or _reachable(workload, target):
        return
    limits = type_interval(requant.result)
    for wide in widened(workload.requant, limits):
        if _reachable(replace(workload, requant=wide), target):
            _rewrite(requant, wide)
            return


def widened(requant: Requant, limits: tuple[int, int]) -> Iterator[Requant]:
    """Requantisations that clip less: none of them changes the result of the clip to follow."""
    low, high = limits
    if requant.hi < high:
        yield replace(requant, hi=high)
    if requant.lo > low:
        yield replace(requant, lo=low, hi=high)


def _reachable(workload: Workload, target: Target) -> bool:
    """Whether an engine takes the workload, as it is or after ``legalize-convs``."""
    rewritten: Iterator[Workload] = iter(())
    if workload.kind == "conv2d" and workload.weights is not None:
        rewritten = (c.workload for c in chain(in_place(workload), on_blocks(workload)))
    return any(accepted(w, target) for w in chain([workload], rewritten))


def _rewrite(requant: graph.RequantOp, wide: Requant) -> None:
    """The wide requantisation and its clip in place of one; the clip has its name."""
    element = graph.tensor_type(requant.result).element_type
    first = graph.RequantOp(requant.input, element, **asdict(wide))
    clip = graph.RequantOp(first.result, element, lo=requant.lo.value.data, hi=requant.hi.value.data)
    clip.attributes |= requant.attributes
    name = requant.attributes.get(NAME)
    if isinstance(name, StringAttr):
        first.attributes[NAME] = StringAttr(f"{name.data}.unclipped")
    Rewriter.replace_op(requant, [first, clip])
