"""The numbers in constants of the IR."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerType
from xdsl.ir import SSAValue

from htvm_ir.dialects.attributes import integer_dtype


def constant_array(value: SSAValue) -> NDArray[Any] | None:
    """The numpy array of a constant tensor, None if the value is computed."""
    op = value.owner
    if not isinstance(op, ConstantOp) or not isinstance(op.value, DenseIntOrFPElementsAttr):
        return None
    return _elements(op.value)


def _elements(attribute: DenseIntOrFPElementsAttr) -> NDArray[Any]:
    """The integer elements of a dense attribute, read-only."""
    type_ = attribute.type
    assert isinstance(type_.element_type, IntegerType)
    data = np.frombuffer(attribute.data.data, integer_dtype(type_.element_type))
    shape = tuple(type_.get_shape())
    return np.broadcast_to(data, shape) if data.size == 1 else data.reshape(shape)
