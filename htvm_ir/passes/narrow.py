"""Narrow an op: the same result with fewer rows and columns, from operands that have lost some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import integer, integers, is_integers, values
from htvm_ir.passes.channel_uses import Contraction, Uses, is_grouped
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.fold_constants import constant

Array = NDArray[Any]

Axes = tuple[Array, ...]
"""For each axis of a tensor the indices that stay, in order."""


def is_whole(axes: Axes, shape: Sequence[int]) -> bool:
    """Whether everything stays."""
    return tuple(map(len, axes)) == tuple(shape)


@dataclass(frozen=True, eq=False)
class Narrowing:
    """What stays of an op's activations and of its result; ``uses`` for layers of one group.

    Made before any op is changed: shapes in it are those of the network as it was.
    """

    op: Operation
    activations: tuple[Axes, ...]
    result: Axes
    uses: Uses | None

    @property
    def changes(self) -> bool:
        """Whether anything is removed."""
        tensors = zip(activations(self.op), self.activations, strict=True)
        inputs = all(is_whole(axes, graph.shape_of(value)) for value, axes in tensors)
        return not (inputs and is_whole(self.result, graph.shape_of(self.op.results[0])))

    def apply(self) -> None:
        """Change the op in place; its computed operands have been narrowed already."""
        op = self.op
        for index, axes in enumerate(self.activations):
            array = constant_array(op.operands[index])
            if array is not None and not is_whole(axes, array.shape):
                op.operands[index] = _constant(array[np.ix_(*axes)], op)
        match op:
            case graph.Conv2dOp() | graph.DenseOp():
                self._contraction(op)
            case graph.RequantOp():
                for name in ("multiplier", "addend", "shift"):
                    _narrow_parameter(op, name, self.result[1])
            case graph.SliceOp():
                self._slice(op)
            case graph.ConcatOp():
                op.operands = [v for v, axes in zip(op.inputs, self.activations, strict=True) if all(map(len, axes))]
            case _:
                pass
        _retype(op.results[0], [len(indices) for indices in self.result])

    def _contraction(self, op: Contraction) -> None:
        """Fewer weights; what the missing channels added goes into the bias."""
        weights, bias = constant_array(op.weights), None if op.bias is None else constant_array(op.bias)
        assert weights is not None
        inputs, outputs = self.activations[0][1], self.result[1]
        if isinstance(op, graph.Conv2dOp) and is_grouped(op):
            op.properties["groups"] = integer(len(inputs) // weights.shape[1])
        else:
            assert self.uses is not None
            added = np.delete(self.uses.offsets, inputs, axis=1).sum(axis=1)
            if added.any():
                bias = (added if bias is None else bias + added).astype(np.int32)
            weights = weights[:, inputs]
        parameters = [weights] if bias is None else [weights, bias]
        op.operands = [op.input, *(_constant(array[outputs], op) for array in parameters)]

    def _slice(self, op: graph.SliceOp) -> None:
        """The first element of the result, where it lies now; what is between lost as much as the result."""
        starts = [indices[0] * step for indices, step in zip(self.result, values(op.strides), strict=True)]
        first = [start + offset for start, offset in zip(starts, values(op.offsets), strict=True)]
        where = [np.searchsorted(axis, index) for axis, index in zip(self.activations[0], first, strict=True)]
        op.offsets, op.sizes = integers([int(w) for w in where]), integers([len(axis) for axis in self.result])


def _narrow_parameter(op: graph.RequantOp, name: str, channels: Array) -> None:
    """Keep the numbers of ``channels``, where a requantisation has one for each."""
    numbers = op.properties.get(name)
    if is_integers(numbers) and len(values(numbers)) > 1:
        op.properties[name] = integers(np.take(values(numbers), channels).tolist())


def activations(op: Operation) -> Sequence[SSAValue]:
    """The operands that lose channels with the result: not weights, biases and tables."""
    has_parameters = isinstance(op, Contraction | graph.LookupOp)
    return op.operands[:1] if has_parameters else op.operands


def _constant(array: Array, user: Operation) -> SSAValue:
    op = constant(array)
    Rewriter.insert_op(op, InsertPoint.before(user))
    return op.result


def _retype(value: SSAValue, shape: Sequence[int]) -> None:
    type_ = graph.tensor_type(value)
    Rewriter.replace_value_with_new_type(value, TensorType(type_.element_type, shape, type_.encoding))
