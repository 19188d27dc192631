"""Execution of the ``tiled`` dialect: a nest, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.dialects.builtin import MemRefType, TensorType
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects import tiled
from htvm_ir.dialects.graph import tensor_type
from htvm_ir.interpreters.buffers import layout_from, read_operand, write_buffer
from htvm_ir.interpreters.machine import Machine
from htvm_ir.interpreters.numpy_types import Array, dtype_of
from htvm_ir.targets.workload import Tile, Window, tiles

Windows = tuple[Window, ...]


def windows_of(attribute: tiled.WindowAttr) -> Windows:
    """The window of each axis."""
    return tuple(Window(*axis) for axis in attribute.axes)


def cut(operand: Array, windows: Windows, tile: Tile) -> Array:
    """The part of an operand a tile touches, zero outside the operand."""
    spans = [window.span(tile, size) for window, size in zip(windows, operand.shape, strict=True)]
    inner = operand[tuple(slice(start, start + size) for start, size, _, _ in spans)]
    outside = [(before, after) for _, _, before, after in spans]
    return np.pad(inner, outside) if any(map(any, outside)) else inner


def logical_shape(
    stored_as: Attribute, tile_type: TensorType[Attribute], windows: Windows, grid: tiled.GridAttr
) -> tuple[int, ...]:
    """The shape of the whole operand of which ``tile_type`` is one tile.

    Raises:
        InterpretationError: it is a buffer of bytes, or with a rounded-up axis, along which the windows overlap, so
            that the axis' own extent is written nowhere.
    """
    if isinstance(stored_as, TensorType):
        return stored_as.get_shape()
    assert isinstance(stored_as, MemRefType)
    layout, tile_shape = layout_from(tile_type), tile_type.get_shape()
    stored = dict(zip(layout.order, stored_as.get_shape(), strict=False))
    shape: list[int] = []
    for axis, window in enumerate(windows):
        if window.dimension is None:
            shape.append(tile_shape[axis])
        elif window == Window(window.dimension):
            shape.append(grid.extent[window.dimension])
        elif layout.multiple[axis] == 1 and len(stored) == len(windows):
            shape.append(stored[axis])
        else:
            raise InterpretationError(f"axis {axis} is rounded up in memory and tiled with a halo")
    return tuple(shape)


class Output:
    """The result of a nest: every element must be written exactly once."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], windows: Windows):
        self.values = np.empty(shape, dtype)
        self._writes = np.zeros(shape, np.uint8)
        self._windows = windows

    def write(self, tile: Tile, value: Array) -> None:
        """Put a tile in its place; InterpretationError if its shape is not the window's."""
        spans = [w.span(tile, size) for w, size in zip(self._windows, self.values.shape, strict=True)]
        wanted = tuple(before + size + after for _, size, before, after in spans)
        if value.shape != wanted:
            raise InterpretationError(f"tile {dict(tile)} is {list(wanted)}, the body gives {list(value.shape)}")
        if any(before or after for _, _, before, after in spans):
            raise InterpretationError(f"tile {dict(tile)} lies partly outside the output {list(self.values.shape)}")
        place = tuple(slice(start, start + size) for start, size, _, _ in spans)
        self.values[place] = value
        self._writes[place] += 1

    def complete(self) -> Array:
        """The whole output; InterpretationError if some element was not written exactly once."""
        wrong = np.argwhere(self._writes != 1)
        if wrong.size:
            where = wrong[0].tolist()
            raise InterpretationError(f"output element {where} is written {self._writes[tuple(where)]} times, not once")
        return self.values


@register_impls
class TiledFunctions(InterpreterFunctions):
    """Tiles run one after another in the order of the grid."""

    def __init__(self, machine: Machine):
        self.machine = machine

    @impl(tiled.NestOp)
    def run_nest(self, interpreter: Interpreter, op: tiled.NestOp, args: tuple[Any, ...]) -> PythonValues:
        windows = [windows_of(attribute) for attribute in op.windows]
        operands = self._operands(op, args, windows)
        (target,) = op.outputs or op.results_
        (yielded,) = op.yielded
        type_ = tensor_type(yielded)
        shape = logical_shape(target.type, type_, windows[-1], op.grid)
        output = Output(shape, dtype_of(type_.element_type), windows[-1])
        with self.machine.unwatched():
            for tile in tiles(op.grid.extent, op.grid.size, op.grid.dimensions):
                inputs = tuple(cut(x, axes, tile) for x, axes in zip(operands, windows, strict=False))
                (value,) = interpreter.run_ssacfg_region(op.body, inputs, "tile")
                output.write(tile, value)
        result = output.complete()
        self._record(op, yielded, result)
        if not op.outputs:
            return (result,)
        write_buffer(args[-1], layout_from(type_), result)
        return ()

    def _operands(self, op: tiled.NestOp, args: tuple[Any, ...], windows: list[Windows]) -> list[Array]:
        operands: list[Array] = []
        for value, operand, argument, axes in zip(args, op.inputs, op.body.block.args, windows, strict=False):
            type_ = tensor_type(argument)
            shape = logical_shape(operand.type, type_, axes, op.grid)
            operands.append(read_operand(value, operand.type, layout_from(type_), shape))
        return operands

    def _record(self, op: tiled.NestOp, yielded: SSAValue, result: Array) -> None:
        """The nest's result is the tensor the body's last op names: only tiles of it exist inside."""
        self.machine.record(op, result)
        if isinstance(yielded.owner, Operation):
            self.machine.record(yielded.owner, result)

    @impl_terminator(tiled.YieldOp)
    def run_yield(
        self, interpreter: Interpreter, op: tiled.YieldOp, args: tuple[Any, ...]
    ) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(args), ()
