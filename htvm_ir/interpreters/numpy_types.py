"""IR types and constants as numpy dtypes and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
    MemRefType,
    Signedness,
    TensorType,
)
from xdsl.ir import Attribute
from xdsl.utils.exceptions import InterpretationError

Array = NDArray[Any]


def dtype_of(element: Attribute) -> np.dtype[Any]:
    """The numpy type of one element; ``index`` has 64 bits.

    Raises:
        InterpretationError: an element type without a numpy counterpart.
    """
    match element:
        case IntegerType() if element.width.data == 1:
            return np.dtype(np.bool_)
        case IntegerType() if element.width.data in (8, 16, 32, 64):
            kind = "u" if element.signedness.data == Signedness.UNSIGNED else "i"
            return np.dtype(f"{kind}{element.width.data // 8}")
        case IndexType():
            return np.dtype(np.int64)
        case Float32Type():
            return np.dtype(np.float32)
        case Float64Type():
            return np.dtype(np.float64)
        case _:
            raise InterpretationError(f"no array can hold elements of type {element}")


def static_shape(type_: TensorType[Attribute] | MemRefType[Attribute]) -> tuple[int, ...]:
    """The shape of a tensor or buffer; InterpretationError if an extent is dynamic."""
    shape = type_.get_shape()
    if any(extent < 0 for extent in shape):
        raise InterpretationError(f"{type_} has no static shape")
    return shape


def constant_array(attribute: Attribute) -> Array:
    """A dense constant as a read-only array on the attribute's own bytes: nothing is decoded, so nothing is cached."""
    if not isinstance(attribute, DenseIntOrFPElementsAttr):
        raise InterpretationError(f"{attribute.name} is not a dense constant")
    elements = np.frombuffer(attribute.data.data, dtype_of(attribute.get_element_type()))
    shape = attribute.get_shape()
    return np.broadcast_to(elements, shape) if elements.size == 1 else elements.reshape(shape)
