"""``fold-dead-channels``: constant channels become part of the next bias, and what nobody needs is not computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, DictionaryAttr, ModuleOp, StringAttr
from xdsl.ir import Attribute, Block, Operation
from xdsl.passes import ModulePass

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import integers, values
from htvm_ir.passes.bounds import bounds_of
from htvm_ir.passes.channel_uses import Contraction, Uses, has_constant_parameters, is_grouped, uses_of
from htvm_ir.passes.channels import Channels
from htvm_ir.passes.fold_constants import remove_dead
from htvm_ir.passes.narrow import Narrowing, activations, is_whole
from htvm_ir.passes.workloads import blocks_of, workload_of

Array = NDArray[Any]
Lists = list[tuple[int, ...]]

MACS = "graph.macs"
"""Module attribute, if dead channels were removed: multiply-accumulates of the network's layers before and after."""

KEPT = "graph.kept"
"""Module attribute: for each tensor (by ``graph.name``) that lost channels, the indices that stayed along each axis.

An empty list stands for all indices.
"""


@dataclass(frozen=True)
class FoldDeadChannels(ModulePass):
    """Removes channels that are constant or that nobody reads, from the layers that compute them and those that read.

    A channel whose elements are all known adds a known number to the accumulators of the next layer. If that number is
    the same at every position, it goes into the bias. It is not the same where padding replaces a constant other than
    the zero point: then the channel stays, as it does where it is part of the network's result or of a sum with
    something that is not constant. What stays keeps every bit; ``graph.kept`` says what that is.
    """

    name = "fold-dead-channels"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        before = network_macs(op)
        changed = [fold(block, op) for block in blocks_of(op)]
        if any(changed):
            op.attributes[MACS] = integers([before, macs(op)])


def fold(block: Block, module: ModuleOp) -> bool:
    """Remove what can be removed from one block, and tell whether there was anything."""
    remove_dead(block)
    changed = False
    while narrowings := plan(block):
        note_kept(module, narrowings)
        for narrowing in narrowings:
            narrowing.apply()
        remove_dead(block)
        changed = True
    return changed


def plan(block: Block) -> list[Narrowing]:
    """What stays of each op that loses something but not everything, in program order.

    An op that nobody reads any more still ties channels together, so that a plan for what it leaves may find more.
    """
    bounds = bounds_of(block)
    uses: dict[Operation, Uses] = {
        op: uses_of(op, bounds)
        for op in block.ops
        if isinstance(op, Contraction) and has_constant_parameters(op) and not is_grouped(op)
    }
    axes = Channels(block).needed(uses)
    narrowings = (
        Narrowing(op, tuple(axes[value] for value in activations(op)), axes[op.results[0]], uses.get(op))
        for op in block.ops
        if op.name.startswith("graph.") and all(map(len, axes[op.results[0]]))
    )
    return [narrowing for narrowing in narrowings if narrowing.changes]


def macs(module: ModuleOp) -> int:
    """Multiply-accumulates of a network's layers."""
    layers = (op for block in blocks_of(module) for op in block.ops if isinstance(op, Contraction))
    return sum(workload_of(op, None).macs for op in layers)


def network_macs(module: ModuleOp) -> int:
    """The same before dead channels were removed, if they were."""
    attribute = module.attributes.get(MACS)
    return values(attribute)[0] if isinstance(attribute, DenseArrayBase) else macs(module)


def note_kept(module: ModuleOp, narrowings: Sequence[Narrowing]) -> None:
    """Record what stays of each named tensor, in indices of the tensor as the model has it.

    A layer's accumulators may have the name of what becomes of them; the last tensor of a name is the model's.
    """
    earlier, kept = kept_indices(module), kept_indices(module)
    for narrowing in narrowings:
        name, result = narrowing.op.attributes.get(graph.NAME), narrowing.op.results[0]
        if isinstance(name, StringAttr) and not is_whole(narrowing.result, shape := graph.shape_of(result)):
            before = earlier.get(name.data) or [()] * len(shape)
            kept[name.data] = [
                old if len(axis) == size else tuple(np.take(old or range(size), axis).tolist())
                for old, axis, size in zip(before, narrowing.result, shape, strict=True)
            ]
    if kept:
        lists = {name: ArrayAttr[Attribute](integers(list(axis)) for axis in axes) for name, axes in kept.items()}
        module.attributes[KEPT] = DictionaryAttr(lists)


def kept_indices(module: ModuleOp) -> dict[str, Lists]:
    """``graph.kept`` in plain data."""
    attribute = module.attributes.get(KEPT)
    entries = attribute.data.items() if isinstance(attribute, DictionaryAttr) else ()
    return {
        name: [values(axis) for axis in axes if isinstance(axis, DenseArrayBase)]
        for name, axes in entries
        if isinstance(axes, ArrayAttr)
    }


def kept_part(array: Array, axes: Sequence[Sequence[int]] | None) -> Array:
    """What stayed of a whole tensor, by an entry of ``graph.kept``; None, or one for another shape: everything."""
    if axes is None or len(axes) != array.ndim:
        return array
    pairs = list(zip(axes, array.shape, strict=True))
    if any(max(axis, default=0) >= size for axis, size in pairs):
        return array
    return array[np.ix_(*(axis or range(size) for axis, size in pairs))]
