"""What the ops of ``graph`` share: shapes, ranges and the conditions their verifiers check."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import Float32Type, IntegerAttr, IntegerType, Signedness, TensorType, i32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.comparisons import signed_value_range, unsigned_value_range
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.attributes import Integers, values

NAME = "graph.name"
"""Discardable attribute: the ONNX name of the tensor an op produces."""

AnyTensor = TensorType[Attribute]


def tensor_type(value: SSAValue) -> AnyTensor:
    """The type of a tensor value."""
    assert isinstance(value.type, TensorType)
    return value.type


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The static shape of a tensor value."""
    return tensor_type(value).get_shape()


LARGEST_FLOAT = (2**24 - 1) << 104
"""The largest finite float32."""


def element_limits(element: Attribute) -> tuple[int, int]:
    """The smallest and the largest number of a type, float32 or integers; signless is signed, as in C's ``int8_t``."""
    if isinstance(element, Float32Type):
        return -LARGEST_FLOAT, LARGEST_FLOAT
    assert isinstance(element, IntegerType)
    is_unsigned = element.signedness.data == Signedness.UNSIGNED
    low, end = (unsigned_value_range if is_unsigned else signed_value_range)(element.width.data)
    return low, end - 1


def number(attribute: IntegerAttr | None, default: int = 0) -> int:
    """The number in an optional property."""
    return default if attribute is None else attribute.value.data


def window_extent(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    """Output positions of a sliding window over ``size`` elements and ``pads`` zeros in all."""
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


def require(condition: bool, message: str) -> None:
    """Raise VerifyException(message) unless the condition holds."""
    if not condition:
        raise VerifyException(message)


def require_rank(value: SSAValue, rank: int, what: str) -> tuple[int, ...]:
    """The shape of a static integer tensor of a rank."""
    shape = shape_of(value)
    require(len(shape) == rank, f"{what} must have rank {rank}, got shape {list(shape)}")
    require_static(value, what)
    require_integers(value, what)
    return shape


def require_static(value: SSAValue, what: str = "result") -> None:
    """Every extent is known and positive."""
    if any(n <= 0 for n in shape_of(value)):
        raise VerifyException(f"{what} must have a static shape, got {value.type}")


def require_integers(value: SSAValue, what: str) -> None:
    """The elements are integers."""
    element = tensor_type(value).element_type
    if not isinstance(element, IntegerType):
        raise VerifyException(f"{what} must hold integers, not {element}")


def require_bytes(value: SSAValue, what: str) -> None:
    """The elements are i8 or ui8."""
    element = tensor_type(value).element_type
    if not isinstance(element, IntegerType) or element.width.data != 8:
        raise VerifyException(f"{what} must hold i8 or ui8, not {element}")


def require_same_elements(op: Operation) -> None:
    """The result has the element type of the first operand."""
    before, after = tensor_type(op.operands[0]).element_type, tensor_type(op.results[0]).element_type
    require(before == after, "result and input must have the same element type")


def require_result(op: Operation, expected: Sequence[int]) -> None:
    """The result has the expected static shape."""
    actual = shape_of(op.results[0])
    require_static(op.results[0])
    require(
        actual == tuple(expected),
        f"result shape is {list(actual)}, but the operands give {list(expected)}",
    )


def verify_bias(bias: SSAValue | None, channels: int) -> None:
    """An i32 for every output channel."""
    if bias is not None:
        shape = shape_of(bias)
        require(shape == (channels,), f"bias must have shape [{channels}], got {list(shape)}")
        require(tensor_type(bias).element_type == i32, "bias must be i32")


def verify_spatial(pads: Integers, **pairs: Integers) -> None:
    """Four pads of at least 0 and pairs of at least 1."""
    for name, attribute, length, low in (("pads", pads, 4, 0), *((n, p, 2, 1) for n, p in pairs.items())):
        got = values(attribute)
        require(
            len(got) == length and all(v >= low for v in got),
            f"{name} must be {length} integers of at least {low}, got {list(got)}",
        )


def verify_input_zero_point(attribute: IntegerAttr | None, x: SSAValue) -> None:
    """A zero point is a number the input can hold: padding is made of it."""
    low, high = element_limits(tensor_type(x).element_type)
    zero_point = number(attribute)
    require(low <= zero_point <= high, f"zero_point {zero_point} does not fit {tensor_type(x).element_type}")


def verify_elementwise(lhs: SSAValue, rhs: SSAValue, op: Operation) -> None:
    """Two integer tensors of one shape, and an i32 result of that shape."""
    left, right = shape_of(lhs), shape_of(rhs)
    require(left == right, f"operand shapes differ: {list(left)} and {list(right)}")
    require_integers(lhs, "lhs")
    require_integers(rhs, "rhs")
    require_result(op, left)
    require(tensor_type(op.results[0]).element_type == i32, "result must be i32")
