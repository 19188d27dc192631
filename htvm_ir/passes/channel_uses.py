"""What each input channel of a convolution or dense layer adds to each of its output channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.graph.evaluate import evaluate
from htvm_ir.passes.bounds import Bounds
from htvm_ir.passes.constants import constant_array

Array = NDArray[Any]
Contraction = graph.Conv2dOp | graph.DenseOp


@dataclass(frozen=True, eq=False)
class Uses:
    """How a layer of one group reads its input's channels.

    needed [K, C]: output channel k cannot do without input channel c. offsets [K, C]: what c adds to k if it can.
    """

    needed: Array
    offsets: Array


def has_constant_parameters(op: Contraction) -> bool:
    """Whether weights and bias are known."""
    parameters = (op.weights,) if op.bias is None else (op.weights, op.bias)
    return all(constant_array(value) is not None for value in parameters)


def is_grouped(op: Contraction) -> bool:
    """Whether input and output channels fall into groups, as in a depthwise convolution."""
    return isinstance(op, graph.Conv2dOp) and op.groups.value.data > 1


def uses_of(op: Contraction, bounds: dict[SSAValue, Bounds]) -> Uses:
    """The uses of a layer of one group with constant parameters.

    A channel is not needed where its weights are zero, nor where all its elements are known and what they add is the
    same at every position. Convolving the channel alone tells: padding that replaces a constant other than the zero
    point makes a difference at the border, unless the taps that reach into it are zero.
    """
    weights = constant_array(op.weights)
    assert weights is not None
    needed = (weights != 0).any(axis=tuple(range(2, weights.ndim)))
    offsets = np.zeros(needed.shape, np.int64)
    x = bounds.get(op.input)
    if x is None:
        return Uses(needed, offsets)
    known = np.asarray(x.known).reshape(needed.shape[1], -1).all(axis=1)
    for c in np.flatnonzero(known & needed.any(axis=0)):
        alone = evaluate(op, [x.lo[:, [c]], weights[:, [c]]]).reshape(len(weights), -1)
        needed[:, c] = (alone != alone[:, :1]).any(axis=1)
        offsets[:, c] = alone[:, 0]
    return Uses(needed, offsets)
