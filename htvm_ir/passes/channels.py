"""Which elements of a block's tensors can only be removed together, and which of them somebody needs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, Operation, SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph.evaluate import evaluate
from htvm_ir.passes.channel_uses import Contraction, Uses, has_constant_parameters, is_grouped
from htvm_ir.passes.narrow import Axes

Array = NDArray[Any]

KEPT = 0
"""The unit of everything that stays as it is: arguments, results, what an unknown op touches."""


class Channels:
    """The elements of a block's tensors, in units that are removed whole or not at all.

    A channel of a convolution's result is a unit at first; ops element by element carry it on, a depthwise convolution
    joins its input's to its output's, a sum joins those of its operands. The units of a tensor are an array of its
    shape, which reshapes, transpositions and slices treat as they treat the data.
    """

    def __init__(self, block: Block):
        self.block = block
        self._parents = [KEPT]
        self._units: dict[SSAValue, Array] = {}
        for value in (*block.args, *(result for op in block.ops for result in op.results)):
            if isinstance(value.type, TensorType) and value.type.has_static_shape():
                self._units[value] = self._of(value)
        for op in block.ops:
            if not op.name.startswith("graph.") and not isinstance(op, ConstantOp):
                for operand in op.operands:
                    self._keep(operand)
        for value in self._units:
            if any(use.operation.parent is not block for use in value.uses):
                self._keep(value)

    def needed(self, uses: dict[Operation, Uses]) -> dict[SSAValue, Axes]:
        """What of each tensor has to be computed, given how the layers in ``uses`` read their inputs.

        A tensor whose needed elements are no rows and columns of it is kept whole.
        """
        while True:
            roots = np.array([self._root(unit) for unit in range(len(self._parents))])
            units = {value: roots[array] for value, array in self._units.items()}
            alive = _reached(units, uses, len(roots))
            axes = {value: _axes(alive[array]) for value, array in units.items()}
            ragged = [value for value, array in units.items() if prod(map(len, axes[value])) != alive[array].sum()]
            if not ragged:
                return axes
            for value in ragged:
                self._keep(value)

    def _of(self, value: SSAValue) -> Array:
        """The units of a tensor from those of the tensors it is computed from."""
        shape, op = graph.shape_of(value), value.owner
        match op:
            case ConstantOp():
                return self._fresh(shape)
            case graph.Conv2dOp() | graph.DenseOp():
                return self._contracted(op)
            case graph.PoolOp() | graph.SpaceToDepthOp():
                channels = self._whole(op.input, (2, 3))[:, :, :1, :1]
                return np.broadcast_to(channels.repeat(shape[1] // channels.shape[1], axis=1), shape)
            case graph.PadOp():
                edges = list(zip(values(op.before), values(op.after), strict=True))
                return np.pad(self._whole(op.input, [a for a, edge in enumerate(edges) if any(edge)]), edges, "edge")
            case graph.SliceOp():
                return evaluate(op, [self._whole(op.input, [a for a, s in enumerate(values(op.strides)) if s > 1])])
            case graph.ReshapeOp() | graph.TransposeOp():
                return evaluate(op, [self._units[op.input]])
            case graph.ConcatOp():
                return evaluate(op, [self._units[operand] for operand in op.inputs])
            case graph.RequantOp() | graph.LookupOp():
                return self._units[op.input]
            case graph.AddOp() | graph.SubOp() | graph.MulOp():
                self._tie(self._units[op.lhs], self._units[op.rhs])
                return self._units[op.lhs]
            case _:
                return np.zeros(shape, np.int64)

    def _contracted(self, op: Contraction) -> Array:
        """Units of their own, except that a group of a grouped convolution goes with its input channels."""
        x, shape = self._whole(op.input, (2, 3)), graph.shape_of(op.result)
        if not has_constant_parameters(op):
            self._keep(op.input)
            return np.zeros(shape, np.int64)
        result = self._fresh(shape)
        if isinstance(op, graph.Conv2dOp) and is_grouped(op):
            before, after = (units[0, :, 0, 0].reshape(op.groups.value.data, -1) for units in (x, result))
            self._tie(before, after[:, :1])
            self._tie(after, after[:, :1])
        return result

    def _fresh(self, shape: Sequence[int]) -> Array:
        """A new unit for each channel, axis 1."""
        if len(shape) < 2:
            return np.zeros(shape, np.int64)
        first = len(self._parents)
        self._parents.extend(range(first, first + shape[1]))
        column = np.arange(first, first + shape[1]).reshape((1, -1) + (1,) * (len(shape) - 2))
        return np.broadcast_to(column, shape)

    def _whole(self, value: SSAValue, axes: Sequence[int]) -> Array:
        """The units of a tensor after joining those that differ along some axes only."""
        units = self._units[value]
        for axis in axes:
            if axis < units.ndim:
                self._tie(units, units.take([0], axis))
        return units

    def _keep(self, value: SSAValue) -> None:
        if value in self._units:
            self._tie(self._units[value], np.array(KEPT))

    def _tie(self, left: Array, right: Array) -> None:
        """Make one unit of those at the same place."""
        count, differ = len(self._parents), left != right
        for pair in sorted({*(left * count + right)[differ].tolist()}):
            a, b = sorted(self._root(unit) for unit in divmod(pair, count))
            self._parents[b] = a

    def _root(self, unit: int) -> int:
        while self._parents[unit] != unit:
            self._parents[unit] = unit = self._parents[self._parents[unit]]
        return unit


def _reached(units: dict[SSAValue, Array], uses: dict[Operation, Uses], count: int) -> Array:
    """Whether each unit is needed: KEPT, and what a layer needs for its needed output channels.

    A layer that needs nothing for them reads one channel all the same, for there are no empty tensors.
    """
    alive, before = np.zeros(count, bool), 0
    alive[KEPT] = True
    while before != (before := int(alive.sum())):
        for op, use in reversed(uses.items()):
            outputs, inputs = (_first_column(units[value]) for value in (op.results[0], op.operands[0]))
            if alive[outputs].any():
                needed = np.logical_or.reduce(use.needed[alive[outputs]])
                needed[0] |= not needed.any()
                alive[inputs[needed]] = True
    return alive


def _first_column(array: Array) -> Array:
    """One element of each channel."""
    return array.reshape(*array.shape[:2], -1)[0, :, 0]


def _axes(mask: Array) -> Axes:
    others = [tuple(a for a in range(mask.ndim) if a != axis) for axis in range(mask.ndim)]
    return tuple(np.flatnonzero(mask.any(axis=rest)) for rest in others)
