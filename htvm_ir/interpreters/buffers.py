"""Between logical tensors and the buffers that store them."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import MemRefType, TensorType
from xdsl.ir import Attribute
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects.accel import layout_of
from htvm_ir.interpreters.numpy_types import Array
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes


def layout_from(type_: TensorType[Attribute]) -> Layout:
    """The layout a tensor type asks for when it is stored."""
    attribute = layout_of(type_)
    if attribute is None:
        return Layout.row_major(len(type_.get_shape()))
    return Layout(attribute.axes, attribute.multiples, attribute.xor.data)


def read_operand(value: Array, stored_as: Attribute, layout: Layout, shape: tuple[int, ...]) -> Array:
    """The logical array of an operand: a tensor as it is, a buffer unpacked."""
    if not isinstance(stored_as, MemRefType):
        return value
    return layout.unpack(_stored(value, layout, shape), shape)


def write_buffer(buffer: Array, layout: Layout, value: Array) -> None:
    """Store a logical array in a buffer, padding included."""
    stored = _stored(buffer, layout, value.shape)
    stored[...] = layout.pack(value).reshape(stored.shape)


def bytes_of(buffer: Array) -> Bytes:
    """The bytes of a contiguous buffer, as a view."""
    if not buffer.flags.c_contiguous:
        raise InterpretationError(f"an engine needs contiguous operands, not strides {buffer.strides}")
    return buffer.reshape(-1).view(np.uint8)


def _stored(buffer: Array, layout: Layout, shape: tuple[int, ...]) -> Array:
    """The part of a buffer that holds a tensor: all of it, or the first bytes of those an engine wants for its work."""
    wanted = layout.stored_size(shape)
    if buffer.ndim == 1 and buffer.dtype == np.int8 and buffer.size > wanted:
        return buffer[:wanted]
    if buffer.size != wanted:
        raise InterpretationError(f"a tensor of {list(shape)} takes {wanted} elements, its buffer has {buffer.size}")
    return buffer
