"""Execution of ``memref`` on numpy arrays: a view shares the memory of what it views.

Upstream's own functions copy on a view and read past an extent; these do neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects import memref
from xdsl.dialects.builtin import DYNAMIC_INDEX, IntegerAttr, MemRefType, StringAttr, UnitAttr
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.interpreters.machine import POISON, Machine
from htvm_ir.interpreters.numpy_types import Array, constant_array, dtype_of, static_shape
from htvm_ir.targets.target import Bytes

OFFSET = "accel.offset"
"""Attribute of an allocation after memory planning: bytes from the start of its memory's arena."""


def _type_of(value: SSAValue) -> MemRefType[Attribute]:
    assert isinstance(value.type, MemRefType)
    return value.type


def _typed(raw: Bytes, type_: MemRefType[Attribute]) -> Array:
    """Bytes as a buffer of the given type."""
    return raw.view(dtype_of(type_.element_type)).reshape(static_shape(type_))


def _bytes_in(type_: MemRefType[Attribute]) -> int:
    return prod(static_shape(type_)) * dtype_of(type_.element_type).itemsize


def _reshaped(buffer: Array, shape: tuple[int, ...]) -> Array:
    """A view of other extents; InterpretationError if there is none."""
    view = buffer.reshape(shape)
    if not np.may_share_memory(view, buffer):
        raise InterpretationError(f"no view of a buffer {list(buffer.shape)} has the extents {list(shape)}")
    return view


def _spanned(buffer: Array) -> Array:
    """A buffer from its first element to its last, with what lies between, as one row."""
    if buffer.flags.c_contiguous:
        return buffer.reshape(-1)
    steps = [stride // buffer.itemsize for stride in buffer.strides]
    size = 1 + sum((extent - 1) * step for extent, step in zip(buffer.shape, steps, strict=True))
    return np.lib.stride_tricks.as_strided(buffer, (size,), (buffer.itemsize,))


def _mixed(static: Sequence[int], dynamic: Sequence[int]) -> list[int]:
    """Numbers of which some are operands."""
    rest = iter(dynamic)
    return [next(rest) if number == DYNAMIC_INDEX else number for number in static]


def _element(buffer: Array, indices: tuple[int, ...]) -> tuple[int, ...]:
    """The indices, if they lie inside: numpy counts negative ones from the end."""
    if not all(0 <= index < extent for index, extent in zip(indices, buffer.shape, strict=True)):
        raise InterpretationError(f"index {list(indices)} is outside {list(buffer.shape)}")
    return indices


@register_impls
class MemRefFunctions(InterpreterFunctions):
    """A buffer is an array of its physical shape; fresh ones hold POISON."""

    def __init__(self, machine: Machine):
        self.machine = machine

    @impl(memref.AllocOp)
    def run_alloc(self, interpreter: Interpreter, op: memref.AllocOp, args: tuple[Any, ...]) -> PythonValues:
        type_ = _type_of(op.memref)
        if self.machine.overlay:
            return (self._planned(type_, op.attributes.get(OFFSET)),)
        return (_typed(np.full(_bytes_in(type_), POISON, np.uint8), type_),)

    def _planned(self, type_: MemRefType[Attribute], offset: Attribute | None) -> Array:
        """A buffer at its place in the arena. What was there stays: a life begins with the first write."""
        if not isinstance(type_.memory_space, StringAttr) or not isinstance(offset, IntegerAttr):
            raise InterpretationError(f"a buffer {type_} without memory or {OFFSET}; plan the memory first")
        return _typed(self.machine.place(type_.memory_space.data, offset.value.data, _bytes_in(type_)), type_)

    @impl(memref.DeallocOp)
    def run_dealloc(self, interpreter: Interpreter, op: memref.DeallocOp, args: tuple[Any, ...]) -> PythonValues:
        return ()

    @impl(memref.GetGlobalOp)
    def run_get_global(self, interpreter: Interpreter, op: memref.GetGlobalOp, args: tuple[Any, ...]) -> PythonValues:
        name = op.name_.string_value()
        if name not in self.machine.globals:
            declared = interpreter.get_op_for_symbol(name)
            if not isinstance(declared, memref.GlobalOp):
                raise InterpretationError(f"@{name} is not a memref.global")
            self.machine.globals[name] = self._initial(declared)
        return (self.machine.globals[name],)

    def _initial(self, op: memref.GlobalOp) -> Array:
        if isinstance(op.initial_value, UnitAttr):
            return _typed(np.full(_bytes_in(op.type), POISON, np.uint8), op.type)
        array = constant_array(op.initial_value)
        return np.ascontiguousarray(array) if op.constant is not None else array.copy()

    @impl(memref.LoadOp)
    def run_load(self, interpreter: Interpreter, op: memref.LoadOp, args: tuple[Any, ...]) -> PythonValues:
        buffer, *indices = args
        return (buffer.item(_element(buffer, tuple(indices))),)

    @impl(memref.StoreOp)
    def run_store(self, interpreter: Interpreter, op: memref.StoreOp, args: tuple[Any, ...]) -> PythonValues:
        value, buffer, *indices = args
        # Scalars are kept signed, whatever the buffer holds.
        bits = value & np.iinfo(buffer.dtype).max if buffer.dtype.kind == "u" else value
        buffer[_element(buffer, tuple(indices))] = bits
        return ()

    @impl(memref.CopyOp)
    def run_copy(self, interpreter: Interpreter, op: memref.CopyOp, args: tuple[Any, ...]) -> PythonValues:
        source, destination = args
        destination[...] = source
        return ()

    @impl(memref.SubviewOp)
    def run_subview(self, interpreter: Interpreter, op: memref.SubviewOp, args: tuple[Any, ...]) -> PythonValues:
        source, *dynamic = args
        first, second = len(op.offsets), len(op.offsets) + len(op.sizes)
        offsets = _mixed(op.static_offsets.get_values(), dynamic[:first])
        sizes = _mixed(op.static_sizes.get_values(), dynamic[first:second])
        strides = _mixed(op.static_strides.get_values(), dynamic[second:])
        axes = list(zip(offsets, sizes, strides, strict=True))
        for (offset, size, stride), extent in zip(axes, source.shape, strict=True):
            if offset < 0 or offset + (size - 1) * stride >= extent:
                raise InterpretationError(f"the view {offsets} {sizes} {strides} leaves {list(source.shape)}")
        view = source[tuple(slice(o, o + (n - 1) * s + 1, s) for o, n, s in axes)]
        return (_reshaped(view, static_shape(_type_of(op.result))),)

    @impl(memref.CollapseShapeOp)
    def run_collapse(self, interpreter: Interpreter, op: memref.CollapseShapeOp, args: tuple[Any, ...]) -> PythonValues:
        return (_reshaped(args[0], static_shape(_type_of(op.result))),)

    @impl(memref.ExpandShapeOp)
    def run_expand(self, interpreter: Interpreter, op: memref.ExpandShapeOp, args: tuple[Any, ...]) -> PythonValues:
        return (_reshaped(args[0], static_shape(_type_of(op.result))),)

    @impl(memref.CastOp)
    def run_cast(self, interpreter: Interpreter, op: memref.CastOp, args: tuple[Any, ...]) -> PythonValues:
        return args

    @impl(memref.ViewOp)
    def run_view(self, interpreter: Interpreter, op: memref.ViewOp, args: tuple[Any, ...]) -> PythonValues:
        source, shift, *_ = args
        type_ = _type_of(op.result)
        size = _bytes_in(type_)
        if shift < 0 or shift + size > source.size:
            raise InterpretationError(f"bytes {shift} to {shift + size} are outside the buffer's {source.size}")
        return (_typed(source.view(np.uint8)[shift : shift + size], type_),)

    @impl(memref.ReinterpretCastOp)
    def run_reinterpret_cast(
        self, interpreter: Interpreter, op: memref.ReinterpretCastOp, args: tuple[Any, ...]
    ) -> PythonValues:
        source, *dynamic = args
        first, second = len(op.offsets), len(op.offsets) + len(op.sizes)
        (offset,) = _mixed(op.static_offsets.get_values(), dynamic[:first])
        sizes = _mixed(op.static_sizes.get_values(), dynamic[first:second])
        strides = _mixed(op.static_strides.get_values(), dynamic[second:])
        flat = _spanned(source)
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if min(offset, *strides) < 0 or last >= flat.size:
            raise InterpretationError(f"elements {offset} to {last} are outside the buffer's {flat.size}")
        steps = [stride * flat.itemsize for stride in strides]
        return (np.lib.stride_tricks.as_strided(flat[offset:], sizes, steps),)
