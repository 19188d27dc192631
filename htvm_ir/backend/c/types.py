"""IR types as C types."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import (
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
    MemRefType,
    Signedness,
    StringAttr,
)
from xdsl.ir import Attribute, SSAValue

from htvm_ir.errors import HtvmError

_FLOATS: dict[type[Attribute], tuple[str, int]] = {Float32Type: ("float", 4), Float64Type: ("double", 8)}


def c_type(type_: Attribute) -> str:
    """The C type of a scalar. Signless integers are signed; an index counts elements of small memories.

    Raises:
        HtvmError: C has no such type.
    """
    match type_:
        case IndexType():
            return "int32_t"
        case IntegerType() if type_.width.data == 1:
            return "_Bool"
        case IntegerType() if type_.width.data in (8, 16, 32, 64):
            sign = "u" if type_.signedness.data == Signedness.UNSIGNED else ""
            return f"{sign}int{type_.width.data}_t"
        case Float32Type() | Float64Type():
            return _FLOATS[type(type_)][0]
        case _:
            raise HtvmError(f"the C back end has no C type for {type_}")


def element_bytes(type_: Attribute) -> int:
    """Bytes of a scalar in memory."""
    if isinstance(type_, Float32Type | Float64Type):
        return _FLOATS[type(type_)][1]
    assert isinstance(type_, IntegerType)
    return -(-type_.width.data // 8)


def memref_type(value: SSAValue) -> MemRefType[Attribute]:
    """The type of a buffer.

    Raises:
        HtvmError: the value is none.
    """
    if not isinstance(value.type, MemRefType):
        raise HtvmError(f"the C back end expects a memref here, not {value.type}")
    return value.type


def memory_space(type_: MemRefType[Attribute]) -> str | None:
    """The memory a buffer lies in, None for the caller's."""
    return type_.memory_space.data if isinstance(type_.memory_space, StringAttr) else None


def buffer_bytes(type_: MemRefType[Attribute]) -> int:
    """Bytes of the elements of a buffer without gaps."""
    return prod(type_.get_shape()) * element_bytes(type_.element_type)


def strides_of(type_: MemRefType[Attribute]) -> list[int]:
    """Elements between neighbours of each axis.

    Raises:
        HtvmError: they are not static.
    """
    strides = type_.get_strides()
    if strides is None:
        raise HtvmError(f"the C back end needs static strides, not {type_}")
    known = [stride for stride in strides if stride is not None]
    if len(known) != len(strides):
        raise HtvmError(f"the C back end needs static strides, not {type_}")
    return known


def shape_text(type_: MemRefType[Attribute]) -> str:
    """Extents and element type for a comment: ``1x3x32x32 int8_t``."""
    return f"{'x'.join(str(n) for n in type_.get_shape())} {c_type(type_.element_type)}"
