"""Gather, which picks elements at constant places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from htvm_ir.dialects.graph import ConcatOp, ReshapeOp, SliceOp
from htvm_ir.frontends.onnx.graph import Node
from htvm_ir.frontends.onnx.integer.net import IntegerNet


def convert_gather(net: IntegerNet, node: Node) -> None:
    """Gather: a ``graph.slice`` for places at equal distances, several of them joined for any others."""
    x = net.integers(node, node.operand(0))
    indices = net.graph.constant(node, 1, "indices")
    rank, axis = len(x.shape), node.integer("axis", 0)
    if not -rank <= axis < rank or indices.dtype.kind not in "iu" or indices.size == 0:
        raise node.error(f"axis {axis} or indices of shape {list(indices.shape)} do not fit rank {rank}")
    axis %= rank
    extent, places = x.shape[axis], indices.reshape(-1).astype(np.int64)
    if places.min() < -extent or places.max() >= extent:
        raise node.error(f"indices must lie within the {extent} elements of the axis")
    parts = []
    for part in _progressions((places % extent).tolist()):
        offsets, sizes, strides = [0] * rank, list(x.shape), [1] * rank
        offsets[axis], sizes[axis], strides[axis] = part.start, len(part), part.step
        parts.append(net.emit.append(node, SliceOp(x.source, offsets, sizes, strides), node.output))
    source = parts[0] if len(parts) == 1 else net.emit.append(node, ConcatOp(parts, axis), node.output)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    net.operation(node, ReshapeOp(source, shape), x.value)


def _progressions(places: Sequence[int]) -> list[range]:
    """``places`` as rising ranges, each as long as it can be."""
    found: list[range] = []
    for place in places:
        last = found.pop() if found else range(0)
        step = place - last[-1] if last else 1
        if (len(last) == 1 and step > 0) or (len(last) > 1 and step == last.step):
            found.append(range(last[0], place + 1, step))
        else:
            found += [*([last] if last else []), range(place, place + 1)]
    return found
