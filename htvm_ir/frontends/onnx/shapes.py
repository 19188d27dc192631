"""Shapes of ONNX operators: windows with their padding, and the reshaping family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from htvm_ir.frontends.onnx.graph import Array, Graph, Node, Shape


@dataclass(frozen=True)
class Window:
    """A sliding window; ``pads`` is top, left, bottom, right."""

    kernel: Shape
    strides: Shape
    pads: Shape
    dilations: Shape = (1, 1)

    def outputs(self, size: Shape) -> Shape:
        """Positions of the window on a map of ``size`` (height, width)."""
        return tuple(
            (size[i] + self.pads[i] + self.pads[i + 2] - extent) // self.strides[i] + 1
            for i, extent in enumerate(self._extents())
        )

    def _extents(self) -> Shape:
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True))


def window(node: Node, shape: Shape, kernel: Shape | None) -> Window:
    """The window of a Conv or pool node on an input [1, C, H, W].

    ``kernel`` is what the weights say (Conv) or ``None``. Raises HtvmError for anything but two
    dimensions and for a window that fits nowhere.
    """
    if len(shape) != 4 or (kernel is not None and len(kernel) != 2):
        raise node.error(f"input of shape {list(shape)}; only 2-D operators on N, C, H, W are supported")
    stated = node.integers("kernel_shape", kernel or (), 2)
    if kernel is not None and stated != kernel:
        raise node.error(f"kernel_shape is {list(stated)}, the weights have {list(kernel)}")
    strides = node.integers("strides", (1, 1), 2)
    dilations = node.integers("dilations", (1, 1), 2)
    if min(*stated, *strides, *dilations) < 1:
        raise node.error("kernel_shape, strides and dilations must be at least 1")
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, stated, strict=True)]
    pads = _pads(node, shape[2:], extents, strides)
    result = Window(stated, strides, pads, dilations)
    if min(pads) < 0 or min(result.outputs(shape[2:])) < 1:
        raise node.error(
            f"a window of {list(stated)} with pads {list(pads)} does not fit an input of {list(shape[2:])}"
        )
    return result


def lifted(node: Node) -> Node:
    """A Conv or pool node of one dimension as that of two with height 1."""
    singles = {"kernel_shape": (1,), "strides": (1,), "dilations": (1,)}
    attributes = dict(node.attributes)
    for name, height in singles.items():
        if name in attributes:
            attributes[name] = height + node.integers(name, (), 1)
    if "pads" in attributes:
        before, after = node.integers("pads", (), 2)
        attributes["pads"] = (0, before, 0, after)
    return replace(node, attributes=attributes)


def _pads(node: Node, size: Shape, extents: Sequence[int], strides: Shape) -> Shape:
    match node.text("auto_pad", "NOTSET"):
        case "NOTSET" | "":
            return node.integers("pads", (0, 0, 0, 0), 4)
        case "VALID":
            return (0, 0, 0, 0)
        case "SAME_UPPER" | "SAME_LOWER" as kind:
            total = [max((-(-n // s) - 1) * s + e - n, 0) for n, s, e in zip(size, strides, extents, strict=True)]
            less, more = [t // 2 for t in total], [t - t // 2 for t in total]
            return tuple(less + more if kind == "SAME_UPPER" else more + less)
        case other:
            raise node.error(f"unknown auto_pad '{other}'")


def global_window(shape: Shape) -> Window:
    """The window that covers the whole map of [1, C, H, W]."""
    return Window(shape[2:], (1, 1), (0, 0, 0, 0))


def pool_window(node: Node, shape: Shape) -> Window:
    """The window of MaxPool, AveragePool or a global pool; rejects what ``graph.pool`` cannot say."""
    if node.op.startswith("Global"):
        if len(shape) != 4:
            raise node.error(f"input of shape {list(shape)}; only N, C, H, W is supported")
        return global_window(shape)
    result = window(node, shape, None)
    if result.dilations != (1, 1):
        raise node.error("dilated pooling is not supported")
    if node.integer("ceil_mode", 0):
        result = _with_partial_windows(result, shape[2:])
    if any(max(result.pads[i], result.pads[i + 2]) >= result.kernel[i] for i in (0, 1)):
        raise node.error(f"pads {list(result.pads)} must be smaller than kernel {list(result.kernel)}")
    if node.integer("count_include_pad", 0) and any(result.pads):
        raise node.error("count_include_pad is not supported; the mean must leave the padding out")
    return result


def _with_partial_windows(win: Window, size: Shape) -> Window:
    """``win`` with the windows that ceil_mode adds: padding at the ends, unless one would begin there."""
    ends: list[int] = []
    for before, after, n, kernel, stride in zip(win.pads[:2], win.pads[2:], size, win.kernel, win.strides, strict=True):
        last = -(-(n + before + after - kernel) // stride) * stride
        if last >= n + before:
            last -= stride
        ends.append(max(after, last + kernel - n - before))
    return replace(win, pads=(*win.pads[:2], *ends))


def _integers(node: Node, array: Array) -> list[int]:
    if array.ndim > 1 or not np.issubdtype(array.dtype, np.integer):
        raise node.error("shape and axes must be 1-D integers")
    return [int(v) for v in array.reshape(-1)]


def _axes(node: Node, rank: int, operands: Sequence[Array]) -> set[int] | None:
    if operands:
        axes = _integers(node, operands[0])
    elif "axes" in node.attributes:
        axes = list(node.integers("axes", ()))
    else:
        return None
    if any(not -rank <= axis < rank for axis in axes):
        raise node.error(f"axes {axes} do not fit rank {rank}")
    return {axis % rank for axis in axes}


def new_shape(node: Node, shape: Shape, operands: Sequence[Array]) -> Shape:
    """The result shape of Reshape, Squeeze, Unsqueeze or Flatten; ``operands`` are those behind the tensor."""
    match node.op:
        case "Reshape":
            return _reshaped(node, shape, operands)
        case "Squeeze":
            return _squeezed(node, shape, operands)
        case "Unsqueeze":
            return _unsqueezed(node, shape, operands)
        case _:
            return _flattened(node, shape)


def new_shape_in(graph: Graph, node: Node, shape: Shape) -> Shape:
    """The same for a node of a graph, whose constants say how."""
    return new_shape(node, shape, [graph.constant(node, 1, "shape or axes")] if node.operand(1) else [])


def _reshaped(node: Node, shape: Shape, operands: Sequence[Array]) -> Shape:
    """0 keeps an extent, -1 is what remains."""
    target = _integers(node, operands[0]) if operands else list(node.integers("shape", ()))
    if not node.integer("allowzero", 0):
        target = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target)]
    known = prod(n for n in target if n != -1)
    if target.count(-1) == 1 and known > 0:
        target[target.index(-1)] = prod(shape) // known
    if any(n < 0 for n in target) or prod(target) != prod(shape):
        raise node.error(f"cannot reshape {list(shape)} to {target}")
    return tuple(target)


def _flattened(node: Node, shape: Shape) -> Shape:
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise node.error(f"axis {axis} does not fit rank {len(shape)}")
    axis = axis + len(shape) if axis < 0 else axis
    return (prod(shape[:axis]), prod(shape[axis:]))


def _squeezed(node: Node, shape: Shape, operands: Sequence[Array]) -> Shape:
    axes = _axes(node, len(shape), operands)
    if axes is None:
        axes = {i for i, n in enumerate(shape) if n == 1}
    if any(shape[axis] != 1 for axis in axes):
        raise node.error(f"cannot squeeze axes {sorted(axes)} of shape {list(shape)}")
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _unsqueezed(node: Node, shape: Shape, operands: Sequence[Array]) -> Shape:
    count = len(_integers(node, operands[0]) if operands else node.integers("axes", ()))
    rank = len(shape) + count
    axes = _axes(node, rank, operands) or set()
    if len(axes) != count:
        raise node.error("axes must be distinct")
    rest = iter(shape)
    return tuple(1 if i in axes else next(rest) for i in range(rank))
