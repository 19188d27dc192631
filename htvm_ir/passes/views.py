"""Parts of tensors as views of the buffers that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import MemRefType, NoneAttr, StridedLayoutAttr, TensorType
from xdsl.dialects.memref import SubviewOp
from xdsl.ir import Attribute, SSAValue

from htvm_ir.errors import HtvmError
from htvm_ir.passes.workloads import layout_of
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.workload import Range

Box = tuple[Range, ...]
"""Offset and size along each stored axis."""


def stored_box(layout: Layout, shape: Sequence[int], spans: Sequence[Range]) -> Box:
    """The stored part that holds a range of each logical axis; whole axes bring their padding along.

    Raises:
        HtvmError: the range cuts a group of permuted or padded elements.
    """
    box: list[Range] = []
    stored = layout.stored_shape(shape)
    for position, axis in enumerate(layout.order):
        (start, size), multiple = spans[axis], layout.multiple[axis]
        if (start, size) == (0, shape[axis]):
            box.append((0, stored[position]))
            continue
        last = start + size == shape[axis]
        group = max(multiple, layout.xor + 1 if position == len(stored) - 1 else 1)
        if start % group or (size % group and not last):
            raise HtvmError(f"a tile cuts axis {axis} at {start}, inside a group of {group} elements")
        box.append((start, min(-(-size // multiple) * multiple, stored[position] - start)))
    return tuple(box)


def span_of(shape: Sequence[int], axis: int, span: Range) -> list[Range]:
    """A range of one axis, and all of the others."""
    return [span if n == axis else (0, extent) for n, extent in enumerate(shape)]


def part_of(buffer: SSAValue, type_: TensorType[Attribute], spans: Sequence[Range]) -> SubviewOp:
    """The view of a range of each axis of a tensor; its type says neither where it begins nor strides without gaps."""
    source = buffer.type
    assert isinstance(source, MemRefType)
    box = stored_box(layout_of(type_), type_.get_shape(), spans)
    offsets, sizes = [offset for offset, _ in box], [size for _, size in box]
    strides = [stride or 0 for stride in source.get_strides() or ()]
    has_gaps = 1 + sum((n - 1) * stride for n, stride in zip(sizes, strides, strict=True)) != prod(sizes)
    layout = StridedLayoutAttr(strides, None) if has_gaps else NoneAttr()
    result = MemRefType(source.element_type, sizes, layout, source.memory_space)
    return SubviewOp.get(buffer, offsets, sizes, [1] * len(sizes), result)
