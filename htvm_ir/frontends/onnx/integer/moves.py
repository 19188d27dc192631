"""Gather, which picks elements at constant places."""

from __future__ import annotations

import numpy as np

from htvm_ir.dialects.graph import ReshapeOp, SliceOp
from htvm_ir.frontends.onnx.graph import Array, Node
from htvm_ir.frontends.onnx.integer.net import IntegerNet


def convert_gather(net: IntegerNet, node: Node) -> None:
    """Gather of one element of an axis, or of several at equal distances: ``graph.slice``."""
    x = net.integers(node, node.operand(0))
    indices = net.graph.constant(node, 1, "indices")
    rank, axis = len(x.shape), node.integer("axis", 0)
    if not -rank <= axis < rank or indices.ndim > 1 or indices.dtype.kind not in "iu" or indices.size == 0:
        raise node.error(f"axis {axis} and indices of shape {list(indices.shape)} do not fit rank {rank}")
    axis %= rank
    first, step = _progression(node, indices, x.shape[axis])
    offsets, sizes, strides = [0] * rank, list(x.shape), [1] * rank
    offsets[axis], sizes[axis], strides[axis] = first, indices.size, step
    source = x.source
    if tuple(sizes) != x.shape:
        source = net.emit.append(node, SliceOp(source, offsets, sizes, strides), node.output)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    net.operation(node, ReshapeOp(source, shape), x.value)


def _progression(node: Node, indices: Array, extent: int) -> tuple[int, int]:
    """The first of the indices, and the distance between them."""
    places = indices.reshape(-1).astype(np.int64)
    if places.min() < -extent or places.max() >= extent:
        raise node.error(f"indices must lie within the {extent} elements of the axis")
    places = places % extent
    steps = set(np.diff(places).tolist()) or {1}
    step = steps.pop()
    if steps or step < 1:
        raise node.error("indices must rise at equal distances")
    return int(places[0]), step
