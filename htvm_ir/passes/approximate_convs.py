"""``approximate-convs``: put into the network what an engine makes of convolutions that it cannot compute exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr, UnitAttr, i8
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU
from htvm_ir.dialects.graph import NAME
from htvm_ir.passes.choices import prices
from htvm_ir.passes.fold_constants import constant, remove_dead
from htvm_ir.passes.fuse_requant import only_clips
from htvm_ir.passes.workloads import blocks_of, following_requant, module_target, workload_of
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Approximation, Requant, Tensor, Workload, as_array, converted_part

APPROXIMATED = "graph.approximated"
"""Discardable attribute of the op that stands for an approximated convolution."""

BYTE_SHIFT = 7
"""From this shift on, a scale does not fit a weight of 8 bits."""


@dataclass(frozen=True)
class ApproximateConvs(ModulePass):
    """Rewrites a convolution as an engine's converters give it, where that saves predicted time.

    The sums over each group of input channels are shifted and clipped, and the converted sums are scaled back, with
    half a step added for what rounding down took. The meaning of the network changes here and nowhere else: every
    later level computes the approximation bit-exactly. ``seconds`` limits each solver run.
    """

    name = "approximate-convs"
    seconds: float = 5.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for block in blocks_of(op):
            for conv in list(block.ops):
                if isinstance(conv, graph.Conv2dOp):
                    self._rewrite(conv, target)
            remove_dead(block)

    def _rewrite(self, conv: graph.Conv2dOp, target: Target) -> None:
        requant = following_requant(conv)
        workload = workload_of(conv, requant)
        if workload.weights is None:
            return
        bounded = replace(workload, requant=_clipped(workload.requant, requant))
        exact, _ = prices(workload, target, self.seconds)
        for engine in target.engines:
            found = engine.approximate(bounded)
            if engine.name in exact or isinstance(found, str):
                continue
            cycles = self._approximated_cycles(workload, found, engine, target)
            best = min(exact, key=exact.__getitem__)
            if cycles is not None and cycles + _conversions(workload, engine, best, target) < exact[best]:
                Rewriter.replace_op(conv, rewritten(conv, workload, found))
                return

    def _approximated_cycles(
        self, workload: Workload, found: Approximation, engine: Engine, target: Target
    ) -> int | None:
        """Predicted cycles of the jobs and of what scales their results; None if the engine cannot do them."""
        total = min(prices(_scaling(workload, found), target, self.seconds)[0].values())
        for where in found.parts:
            cycles, _ = prices(converted_part(workload, where, found.requant), target, self.seconds)
            if engine.name not in cycles:
                return None
            total += cycles[engine.name]
        return total


def _conversions(workload: Workload, engine: Engine, other: str, target: Target) -> int:
    """Predicted cycles of converting input and result where the neighbours of an engine want another's layouts."""
    if other == CPU:
        return 0
    changes = zip(target.engine(other).layouts(workload), engine.layouts(workload), strict=True)
    return sum(
        target.host.cycles(Workload("convert_layout", (tensor,), tensor), change)
        for tensor, change in zip((*workload.inputs, workload.output), changes, strict=True)
        if change[0] != change[1]
    )


def _clipped(requant: Requant | None, op: graph.RequantOp | None) -> Requant | None:
    """A requantisation together with a clip that alone reads its result."""
    clip = None if op is None else following_requant(op)
    if requant is None or clip is None or not only_clips(clip) or clip.zero_point.value.data:
        return requant
    lo, hi = clip.lo.value.data, clip.hi.value.data
    return replace(requant, lo=max(requant.lo, lo), hi=min(requant.hi, hi))


def _scaling(workload: Workload, found: Approximation) -> Workload:
    """What turns converted sums into accumulators again, and the requantisation after it."""
    channels = workload.output.shape[1]
    source = Tensor(workload.output.shape)
    weights = np.full((channels, 1, 1, 1), 1 << found.shift, np.int8 if found.shift < BYTE_SHIFT else np.int32)
    offset = len(found.parts) << found.shift >> 1 if found.shift else 0
    bias = np.full(channels, offset, np.int32) + (0 if workload.bias is None else as_array(workload.bias))
    return replace(
        Workload("conv2d", (source,), workload.output, requant=workload.requant, ranges=((-128, 127),)),
        weights=weights,
        bias=bias.astype(np.int32),
        groups=channels,
    )


def rewritten(conv: graph.Conv2dOp, workload: Workload, found: Approximation) -> list[Operation]:
    """The ops in place of ``conv``; the last of them has its result."""
    ops: list[Operation] = []

    def emit(op: Operation, name: str = "") -> SSAValue:
        base = conv.attributes.get(NAME)
        if name and isinstance(base, StringAttr):
            op.attributes[NAME] = StringAttr(f"{base.data}.{name}")
        ops.append(op)
        return op.results[0]

    sums = [_converted(conv, workload, found, index, emit) for index in range(len(found.parts))]
    limit = abs(found.requant.lo)
    while len(sums) > 1:
        limit *= 2
        pairs = [emit(graph.AddOp(*sums[n : n + 2])) for n in range(0, len(sums) - 1, 2)]
        narrow = [emit(graph.RequantOp(p, i8), f"sum{limit}.{n}") if limit <= 128 else p for n, p in enumerate(pairs)]
        sums = [*narrow, *sums[2 * len(pairs) :]]
    scaling = _scaling(workload, found)
    weights, bias = (emit(constant(as_array(a))) for a in (scaling.weights, scaling.bias))
    result = graph.Conv2dOp(sums[0], weights, bias, (1, 1), (0, 0, 0, 0), (1, 1), scaling.groups)
    result.attributes |= conv.attributes
    result.attributes[APPROXIMATED] = UnitAttr()
    return [*ops, result]


def _converted(
    conv: graph.Conv2dOp, workload: Workload, found: Approximation, index: int, emit: Callable[..., SSAValue]
) -> SSAValue:
    """The converted sums over one group of input channels."""
    start, size = found.parts[index]
    source, weights, requant = conv.input, as_array(workload.weights), found.requant
    if len(found.parts) > 1:
        n, _, height, width = graph.shape_of(source)
        source = emit(graph.SliceOp(source, (0, start, 0, 0), (n, size, height, width), (1,) * 4), f"part{index}")
        weights = weights[:, start : start + size]
    kernel = emit(constant(weights))
    acc = emit(graph.Conv2dOp(source, kernel, None, workload.strides, workload.pads, workload.dilations))
    return emit(graph.RequantOp(acc, i8, shift=requant.shift, lo=requant.lo, hi=requant.hi), f"converted{index}")


def approximated(module: ModuleOp) -> list[str]:
    """The names of the convolutions that were rewritten, in order."""
    names = [op.attributes.get(NAME) for op in module.walk() if APPROXIMATED in op.attributes]
    return [name.data if isinstance(name, StringAttr) else "" for name in names]
