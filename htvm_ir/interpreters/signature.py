"""What ``@main`` takes and gives, on every level: named logical arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, MemRefType, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute
from xdsl.traits import SymbolTable

from htvm_ir.errors import HtvmError
from htvm_ir.interpreters.machine import tensor_names
from htvm_ir.interpreters.numpy_types import Array, dtype_of, static_shape

OUTPUT = "accel.output"
"""Argument attribute: the buffer is a result."""

MEMORY, OFFSET = "accel.memory", "accel.offset"
"""Argument attributes: the buffer may lie here in a memory's arena."""


@dataclass(frozen=True)
class Argument:
    """A tensor or buffer at the boundary; ``names`` has at least one entry, the primary name first.

    place: a memory, and an offset in its arena, where the caller may put the buffer.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_output: bool
    place: tuple[str, int] | None = None

    def check(self, value: Array) -> Array:
        """The value, if it has the shape and element type of the argument."""
        array = np.asarray(value)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise HtvmError(
                f"input '{self.names[0]}' must be {self.dtype} {list(self.shape)}, "
                f"got {array.dtype} {list(array.shape)}"
            )
        return array


def function_named(module: ModuleOp, name: str) -> FuncOp:
    """The function a run enters; HtvmError if there is none with a body."""
    function = SymbolTable.lookup_symbol(module, name)
    if not isinstance(function, FuncOp) or function.is_declaration:
        raise HtvmError(f"the module has no function @{name} with a body")
    return function


def arguments_of(function: FuncOp) -> tuple[Argument, ...]:
    """Inputs, then output buffers, of a function; an argument without ``graph.name`` is called after its number."""
    given = list(function.arg_attrs) if function.arg_attrs is not None else []
    attributes = [dict(a.data) for a in given] or [{} for _ in function.body.block.args]
    types = [argument.type for argument in function.body.block.args]
    return tuple(_argument(i, type_, attrs) for i, (type_, attrs) in enumerate(zip(types, attributes, strict=True)))


def _argument(index: int, type_: Attribute, attributes: dict[str, Attribute]) -> Argument:
    if not isinstance(type_, TensorType | MemRefType):
        raise HtvmError(f"argument {index} of type {type_} is neither a tensor nor a buffer")
    names = tensor_names(attributes) or (f"arg{index}",)
    memory, offset = attributes.get(MEMORY), attributes.get(OFFSET)
    place = None
    if isinstance(memory, StringAttr) and isinstance(offset, IntegerAttr):
        place = memory.data, offset.value.data
    return Argument(names, static_shape(type_), dtype_of(type_.element_type), OUTPUT in attributes, place)


def bind(arguments: Sequence[Argument], inputs: Sequence[Array] | Mapping[str, Array]) -> list[Array]:
    """The input arrays in order of the arguments.

    Raises:
        HtvmError: an input is missing, unknown, or of another shape or element type.
    """
    wanted = [argument for argument in arguments if not argument.is_output]
    if isinstance(inputs, Mapping):
        return _bind_names(wanted, inputs)
    if len(inputs) != len(wanted):
        names = ", ".join(argument.names[0] for argument in wanted)
        raise HtvmError(f"expected {len(wanted)} inputs ({names}), got {len(inputs)}")
    return [argument.check(value) for argument, value in zip(wanted, inputs, strict=True)]


def _bind_names(wanted: Sequence[Argument], inputs: Mapping[str, Array]) -> list[Array]:
    known = {name for argument in wanted for name in argument.names}
    primary = ", ".join(argument.names[0] for argument in wanted)
    unknown = sorted(set(inputs) - known)
    if unknown:
        raise HtvmError(f"unknown input '{unknown[0]}'; the inputs are: {primary}")
    bound: list[Array] = []
    for argument in wanted:
        given = [inputs[name] for name in argument.names if name in inputs]
        if not given:
            raise HtvmError(f"input '{argument.names[0]}' is missing; the inputs are: {primary}")
        bound.append(argument.check(given[0]))
    return bound
