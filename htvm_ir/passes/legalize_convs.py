"""``legalize-convs``: rewrite convolutions no engine takes into equal ones that some engine takes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.passes.choices import refusal
from htvm_ir.passes.conv_rewrites import Rewriting, in_place, on_blocks
from htvm_ir.passes.fold_constants import constant, remove_dead
from htvm_ir.passes.workloads import blocks_of, following_requant, module_target, workload_of
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Workload


@dataclass(frozen=True)
class LegalizeConvs(ModulePass):
    """Grows kernels by zeros and turns strides into channels, where that brings a convolution onto an engine.

    A rewriting that leaves the input as it is goes before one that needs a space-to-depth on the CPU; among equals the
    one with the fewest multiplications is taken. A convolution that stays refused is not touched.
    """

    name = "legalize-convs"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for block in blocks_of(op):
            for conv in list(block.ops):
                if isinstance(conv, graph.Conv2dOp):
                    legalize(conv, target)
            remove_dead(block)


def legalize(conv: graph.Conv2dOp, target: Target) -> None:
    """Rewrite one convolution, if it needs to be and can be."""
    workload = workload_of(conv, following_requant(conv))
    if workload.weights is None or accepted(workload, target):
        return
    candidates = chain(in_place(workload), on_blocks(workload))
    rewriting = next((c for c in candidates if accepted(c.workload, target)), None)
    if rewriting is not None:
        Rewriter.replace_op(conv, rewritten(conv, rewriting))


def accepted(workload: Workload, target: Target) -> bool:
    """Whether ``dispatch`` would find an engine for the workload."""
    return any(refusal(engine, workload, target) is None for engine in target.engines)


def rewritten(conv: graph.Conv2dOp, rewriting: Rewriting) -> list[Operation]:
    """The ops in place of ``conv``; the last of them has its result."""
    workload, blocks = rewriting.workload, rewriting.blocks
    assert workload.weights is not None
    ops: list[Operation] = [constant(workload.weights)]
    source = conv.input
    if blocks is not None:
        ops.append(graph.SpaceToDepthOp(source, blocks.block, blocks.pads))
        source = ops[-1].results[0]
    spatial = (workload.strides, workload.pads, workload.dilations, workload.groups)
    new = graph.Conv2dOp(source, ops[0].results[0], conv.bias, *spatial, workload.zero_point)
    new.attributes |= conv.attributes
    return [*ops, new]
