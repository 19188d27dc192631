"""Connected parts of a network that can be turned, and the rewriting that turns one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import UnitAttr
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import integers
from htvm_ir.passes.assign_layouts import tensor_name
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.turns import COLUMNS, Turn, commutes, maps_of, turned
from htvm_ir.passes.workloads import MIRRORED, TURNED

Region = list[Operation]
"""Ops that have a turned form and are connected by maps, in program order."""


def regions(block: Block, turn: Turn) -> list[Region]:
    """The largest such parts of a network; a map that looks the same turned connects nothing."""
    roots: dict[SSAValue, SSAValue] = {}

    def root(value: SSAValue) -> SSAValue:
        while (above := roots.setdefault(value, value)) is not value:
            roots[value] = roots[above]
            value = above
        return value

    found: dict[Operation, SSAValue] = {}
    for op in block.ops:
        maps = [v for v in (*maps_of(op), op.results[0]) if _connects(v, turn)] if commutes(op, turn) else []
        for value in maps:
            roots[root(value)] = root(maps[0])
            found[op] = maps[0]
    members: dict[SSAValue, Region] = {}
    for op, value in found.items():
        members.setdefault(root(value), []).append(op)
    return list(members.values())


def _connects(value: SSAValue, turn: Turn) -> bool:
    return not isinstance(value.owner, ConstantOp) and not turn.keeps(graph.shape_of(value))


def turns_inputs_only(region: Region, turn: Turn) -> bool:
    """Whether no other maps than inputs of the network would have to be turned at a region's border."""
    inside = set(region)
    for op in region:
        entering = [v.owner for v in maps_of(op) if _connects(v, turn)]
        if any(isinstance(owner, Operation) and owner not in inside for owner in entering):
            return False
        result = op.results[0]
        free = inside | set(_flattened(result))
        if not turn.keeps(graph.shape_of(result)) and any(use.operation not in free for use in result.uses):
            return False
    return True


def turn_region(region: Region, turn: Turn) -> None:
    """Replace a region's ops by turned ones, with transpositions where maps enter and leave it."""
    turning = _Turning(set(region), turn)
    for op in region:
        turning.replace(op)
    for op in reversed(region):
        op.detach()
        op.erase()


@dataclass
class _Turning:
    """The rewriting of one region; ``maps`` holds the turned form of every value it has met."""

    region: set[Operation]
    turn: Turn
    maps: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])

    def replace(self, op: Operation) -> None:
        """Put the turned ops before an op and give readers outside the region what they expect."""
        result, shape = op.results[0], graph.shape_of(op.results[0])
        ops = turned(op, [self._turned(value) for value in maps_of(op)], self.turn)
        ops[-1].attributes |= op.attributes
        Rewriter.insert_op(ops, InsertPoint.before(op))
        self.maps[result] = new = ops[-1].results[0]
        if self.turn.keeps(shape):
            result.replace_uses_with_if(new, lambda use: use.operation not in self.region)
            return
        self._mark(ops[-1])
        for reshape in list(_flattened(result)):
            self._permute_readers(reshape, new)
        if any(use.operation not in self.region for use in result.uses):
            back = self._turned_back(new)
            if graph.NAME in op.attributes:
                back[-1].attributes[graph.NAME] = op.attributes[graph.NAME]
            Rewriter.insert_op(back, InsertPoint.before(op))
            result.replace_uses_with_if(back[-1].results[0], lambda use: use.operation not in self.region)

    def _turned(self, value: SSAValue) -> SSAValue:
        """The turned form of an operand, which is made where the region has none."""
        if value not in self.maps:
            self.maps[value] = value if self.turn.keeps(graph.shape_of(value)) else self._entering(value)
        return self.maps[value]

    def _entering(self, value: SSAValue) -> SSAValue:
        array, owner = constant_array(value), value.owner
        ops = self._moves(value) if array is None else [constant(self.turn.array(array))]
        if array is None:
            if (name := _name(value)) is not None:
                ops[-1].attributes[graph.NAME] = name
            self._mark(ops[-1])
        point = InsertPoint.at_start(owner) if isinstance(owner, Block) else InsertPoint.after(owner)
        Rewriter.insert_op(ops, point)
        return ops[-1].results[0]

    def _moves(self, value: SSAValue) -> list[Operation]:
        ops: list[Operation] = []
        if self.turn.swap:
            ops.append(graph.TransposeOp(value, self.turn.permutation))
        if self.turn.mirror:
            ops.append(graph.ReverseOp(ops[-1].results[0] if ops else value, (COLUMNS,)))
        return ops

    def _turned_back(self, value: SSAValue) -> list[Operation]:
        ops: list[Operation] = []
        if self.turn.mirror:
            ops.append(graph.ReverseOp(value, (COLUMNS,)))
        if self.turn.swap:
            ops.append(graph.TransposeOp(ops[-1].results[0] if ops else value, self.turn.permutation))
        return ops

    def _mark(self, op: Operation) -> None:
        """What has a name is turned against what the model calls so."""
        if self.turn.swap:
            op.attributes[TURNED] = integers(self.turn.permutation)
        if self.turn.mirror:
            op.attributes[MIRRORED] = UnitAttr()

    def _permute_readers(self, reshape: graph.ReshapeOp, new: SSAValue) -> None:
        """The flattened turned map, read by dense layers whose weights are permuted like it."""
        shape = graph.shape_of(reshape.input)
        order = self.turn.array(np.arange(np.prod(shape)).reshape(shape)).reshape(-1)
        for dense in [use.operation for use in reshape.result.uses]:
            weights = constant_array(dense.operands[1])
            assert weights is not None
            Rewriter.insert_op(permuted := constant(weights[:, order]), InsertPoint.before(dense))
            dense.operands[1] = permuted.result
        flat = graph.ReshapeOp(new, graph.shape_of(reshape.result))
        Rewriter.replace_op(reshape, flat)


def _flattened(value: SSAValue) -> Iterator[graph.ReshapeOp]:
    """The vectors made of a map that only dense layers with constant weights read."""
    for use in value.uses:
        op = use.operation
        if isinstance(op, graph.ReshapeOp) and op.result.uses and all(_permutable(u.operation) for u in op.result.uses):
            yield op


def _permutable(reader: Operation) -> bool:
    return isinstance(reader, graph.DenseOp) and constant_array(reader.weights) is not None


def _name(value: SSAValue) -> Attribute | None:
    owner = value.owner
    return owner.attributes.get(graph.NAME) if isinstance(owner, Operation) else tensor_name(value)
