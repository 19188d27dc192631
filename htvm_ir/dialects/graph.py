"""``graph``: the exact integer meaning of a quantised network, on tensors, without hardware.

Activations are NCHW (or [1, N]) with batch 1; constants are ``arith.constant``. Operators that accumulate give i32;
``graph.requant`` brings them back to 8 bits. The discardable attribute ``graph.name`` carries the ONNX tensor name.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import I64, IntegerAttr, IntegerType, Signedness, StringAttr, TensorType, i32
from xdsl.ir import Attribute, Dialect, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.comparisons import signed_value_range, unsigned_value_range
from xdsl.utils.exceptions import VerifyException

from htvm_ir.arithmetic import ROUNDINGS
from htvm_ir.dialects.attributes import IntegerList, Integers, integer, integers, values

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


def window_extent(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    """Output positions of a sliding window over ``size`` elements and ``pads`` zeros in all."""
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise VerifyException(message)


def _require_rank(value: SSAValue, rank: int, what: str) -> tuple[int, ...]:
    shape = shape_of(value)
    _require(len(shape) == rank, f"{what} must have rank {rank}, got shape {list(shape)}")
    _require_static(value, what)
    _require_integers(value, what)
    return shape


def _require_static(value: SSAValue, what: str = "result") -> None:
    _require(all(n > 0 for n in shape_of(value)), f"{what} must have a static shape, got {value.type}")


def _require_integers(value: SSAValue, what: str) -> None:
    element = tensor_type(value).element_type
    _require(isinstance(element, IntegerType), f"{what} must hold integers, not {element}")


def _require_same_elements(op: Operation) -> None:
    before, after = tensor_type(op.operands[0]).element_type, tensor_type(op.results[0]).element_type
    _require(before == after, "result and input must have the same element type")


def _require_result(op: Operation, expected: Sequence[int]) -> None:
    actual = shape_of(op.results[0])
    _require_static(op.results[0])
    _require(
        actual == tuple(expected),
        f"result shape is {list(actual)}, but the operands give {list(expected)}",
    )


def _verify_bias(bias: SSAValue | None, channels: int) -> None:
    if bias is not None:
        shape = shape_of(bias)
        _require(shape == (channels,), f"bias must have shape [{channels}], got {list(shape)}")
        _require(tensor_type(bias).element_type == i32, "bias must be i32")


def _verify_spatial(pads: Integers, **pairs: Integers) -> None:
    for name, attribute, length, low in (("pads", pads, 4, 0), *((n, p, 2, 1) for n, p in pairs.items())):
        got = values(attribute)
        _require(
            len(got) == length and all(v >= low for v in got),
            f"{name} must be {length} integers of at least {low}, got {list(got)}",
        )


@irdl_op_definition
class Conv2dOp(IRDLOperation):
    """Cross-correlation: input [1, C, H, W], weights [K, C/groups, FY, FX], bias [K] i32, result i32.

    ``pads`` is top, left, bottom, right and pads with zero.
    """

    name = "graph.conv2d"
    input = operand_def(AnyTensor)
    weights = operand_def(AnyTensor)
    bias = opt_operand_def(AnyTensor)
    strides = prop_def(Integers)
    pads = prop_def(Integers)
    dilations = prop_def(Integers)
    groups = prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $weights (`bias` $bias^)? `strides` custom<IntegerList>($strides)"
        " `pads` custom<IntegerList>($pads) `dilations` custom<IntegerList>($dilations)"
        " `groups` $groups attr-dict"
        " `:` type($input) `,` type($weights) (`,` type($bias)^)? `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(
        self,
        x: SSAValue,
        weights: SSAValue,
        bias: SSAValue | None,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int] = (1, 1),
        groups: int = 1,
    ):
        _, _, height, width = shape_of(x)
        channels, _, fy, fx = shape_of(weights)
        top, left, bottom, right = pads
        oy = window_extent(height, fy, strides[0], dilations[0], top + bottom)
        ox = window_extent(width, fx, strides[1], dilations[1], left + right)
        super().__init__(
            operands=[x, weights, bias],
            properties={
                "strides": integers(strides),
                "pads": integers(pads),
                "dilations": integers(dilations),
                "groups": integer(groups),
            },
            result_types=[TensorType(i32, [1, channels, oy, ox])],
        )

    def verify_(self) -> None:
        n, c, height, width = _require_rank(self.input, 4, "input")
        k, per_group, fy, fx = _require_rank(self.weights, 4, "weights")
        _require(n == 1, f"batch must be 1, got {n}")
        _verify_spatial(self.pads, strides=self.strides, dilations=self.dilations)
        groups = self.groups.value.data
        _require(
            groups > 0 and c % groups == 0 and k % groups == 0,
            f"groups {groups} must divide the {c} input and {k} output channels",
        )
        _require(
            per_group == c // groups,
            f"weights take {per_group} channels, the input has {c} in {groups} groups",
        )
        top, left, bottom, right = values(self.pads)
        (sy, sx), (dy, dx) = values(self.strides), values(self.dilations)
        oy = window_extent(height, fy, sy, dy, top + bottom)
        ox = window_extent(width, fx, sx, dx, left + right)
        _require(oy > 0 and ox > 0, f"kernel {fy}x{fx} does not fit the padded input")
        _require_result(self, (1, k, oy, ox))
        _require(tensor_type(self.result).element_type == i32, "result must be i32")
        _verify_bias(self.bias, k)


@irdl_op_definition
class DenseOp(IRDLOperation):
    """Matrix-vector product: input [1, C], weights [K, C], bias [K] i32, result [1, K] i32."""

    name = "graph.dense"
    input = operand_def(AnyTensor)
    weights = operand_def(AnyTensor)
    bias = opt_operand_def(AnyTensor)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $weights (`bias` $bias^)? attr-dict"
        " `:` type($input) `,` type($weights) (`,` type($bias)^)? `->` type($result)"
    )

    def __init__(self, x: SSAValue, weights: SSAValue, bias: SSAValue | None):
        super().__init__(
            operands=[x, weights, bias],
            result_types=[TensorType(i32, [1, shape_of(weights)[0]])],
        )

    def verify_(self) -> None:
        n, c = _require_rank(self.input, 2, "input")
        k, depth = _require_rank(self.weights, 2, "weights")
        _require(n == 1, f"batch must be 1, got {n}")
        _require(depth == c, f"weights take {depth} inputs, the input has {c}")
        _require_result(self, (1, k))
        _require(tensor_type(self.result).element_type == i32, "result must be i32")
        _verify_bias(self.bias, k)


@irdl_op_definition
class AddOp(IRDLOperation):
    """Element-wise sum of two tensors of one shape, result i32."""

    name = "graph.add"
    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue):
        super().__init__(operands=[lhs, rhs], result_types=[TensorType(i32, shape_of(lhs))])

    def verify_(self) -> None:
        left, right = shape_of(self.lhs), shape_of(self.rhs)
        _require(left == right, f"operand shapes differ: {list(left)} and {list(right)}")
        _require_integers(self.lhs, "lhs")
        _require_integers(self.rhs, "rhs")
        _require_result(self, left)
        _require(tensor_type(self.result).element_type == i32, "result must be i32")


@irdl_op_definition
class PoolOp(IRDLOperation):
    """Average or maximum over windows of [1, C, H, W]; padded positions do not count.

    ``kind`` is average or max. ``rounding`` of the average is floor or half_up (``floor(mean + 1/2)``).
    """

    name = "graph.pool"
    input = operand_def(AnyTensor)
    kind = prop_def(StringAttr)
    kernel = prop_def(Integers)
    strides = prop_def(Integers)
    pads = prop_def(Integers)
    rounding = prop_def(StringAttr)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$kind $input `kernel` custom<IntegerList>($kernel) `strides` custom<IntegerList>($strides)"
        " `pads` custom<IntegerList>($pads) `rounding` $rounding attr-dict"
        " `:` type($input) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(
        self,
        kind: str,
        x: SSAValue,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        rounding: str,
    ):
        _, channels, height, width = shape_of(x)
        oy = window_extent(height, kernel[0], strides[0], 1, pads[0] + pads[2])
        ox = window_extent(width, kernel[1], strides[1], 1, pads[1] + pads[3])
        super().__init__(
            operands=[x],
            properties={
                "kind": StringAttr(kind),
                "kernel": integers(kernel),
                "strides": integers(strides),
                "pads": integers(pads),
                "rounding": StringAttr(rounding),
            },
            result_types=[TensorType(tensor_type(x).element_type, [1, channels, oy, ox])],
        )

    def verify_(self) -> None:
        n, channels, height, width = _require_rank(self.input, 4, "input")
        _require(n == 1, f"batch must be 1, got {n}")
        _verify_spatial(self.pads, strides=self.strides, kernel=self.kernel)
        kind, rounding = self.kind.data, self.rounding.data
        _require(kind in ("average", "max"), f"kind must be average or max, got '{kind}'")
        _require(rounding in ("floor", "half_up"), f"rounding must be floor or half_up, got '{rounding}'")
        kernel, strides, pads = values(self.kernel), values(self.strides), values(self.pads)
        _require(
            max(pads[0], pads[2]) < kernel[0] and max(pads[1], pads[3]) < kernel[1],
            "pads must be smaller than the kernel",
        )
        oy = window_extent(height, kernel[0], strides[0], 1, pads[0] + pads[2])
        ox = window_extent(width, kernel[1], strides[1], 1, pads[1] + pads[3])
        _require(oy > 0 and ox > 0, f"kernel {kernel[0]}x{kernel[1]} does not fit the padded input")
        _require_result(self, (n, channels, oy, ox))
        _require_same_elements(self)


@irdl_op_definition
class RequantOp(IRDLOperation):
    """``clamp(zero_point + R(x * multiplier, shift), lo, hi)``, per tensor or per channel (axis 1).

    ``rounding`` names R: ::

        floor      (x * m) >> s
        half_up    (x * m + (1 << s - 1)) >> s
        half_even  nearest, ties to even
        half_away  nearest, ties away from zero
        gemmlowp   rounding doubling high multiply, then rounding right shift by s - 31
        single     as half_up on the 64-bit product
    """

    name = "graph.requant"
    input = operand_def(AnyTensor)
    rounding = prop_def(StringAttr)
    multiplier = prop_def(Integers)
    shift = prop_def(Integers)
    zero_point = prop_def(IntegerAttr[I64])
    lo = prop_def(IntegerAttr[I64])
    hi = prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$rounding $input `multiplier` custom<IntegerList>($multiplier)"
        " `shift` custom<IntegerList>($shift) `zero_point` $zero_point `range` $lo `to` $hi"
        " attr-dict `:` type($input) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(
        self,
        x: SSAValue,
        element_type: Attribute,
        *,
        rounding: str = "floor",
        multiplier: Sequence[int] = (1,),
        shift: Sequence[int] = (0,),
        zero_point: int = 0,
        lo: int = -128,
        hi: int = 127,
    ):
        super().__init__(
            operands=[x],
            properties={
                "rounding": StringAttr(rounding),
                "multiplier": integers(multiplier),
                "shift": integers(shift),
                "zero_point": integer(zero_point),
                "lo": integer(lo),
                "hi": integer(hi),
            },
            result_types=[TensorType(element_type, shape_of(x))],
        )

    def verify_(self) -> None:
        shape = shape_of(self.input)
        _require_integers(self.input, "input")
        _require_result(self, shape)
        rounding = self.rounding.data
        _require(rounding in ROUNDINGS, f"rounding '{rounding}' is none of {', '.join(ROUNDINGS)}")
        channels = shape[1] if len(shape) > 1 else 1
        for name, attribute in (("multiplier", self.multiplier), ("shift", self.shift)):
            count = len(values(attribute))
            _require(count in (1, channels), f"{name} must have 1 or {channels} values, got {count}")
        low = 31 if rounding == "gemmlowp" else 0
        _require(all(low <= s <= 62 for s in values(self.shift)), f"shift must lie in {low} to 62")
        _require(
            all(-(2**31) <= m < 2**31 for m in values(self.multiplier)),
            "multiplier must fit 32 bits",
        )
        self._verify_range()

    def _verify_range(self) -> None:
        element = tensor_type(self.result).element_type
        _require_integers(self.result, "result")
        assert isinstance(element, IntegerType)
        # Signless integers are signed here: `i8` is what C calls int8_t.
        unsigned = element.signedness.data == Signedness.UNSIGNED
        low, high = (unsigned_value_range if unsigned else signed_value_range)(element.width.data)
        lo, hi = self.lo.value.data, self.hi.value.data
        _require(lo <= hi, f"the range {lo} to {hi} is empty")
        _require(low <= lo and hi < high, f"the range {lo} to {hi} does not fit {element}")


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """The same elements in row-major order under another shape."""

    name = "graph.reshape"
    input = operand_def(AnyTensor)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, x: SSAValue, shape: Sequence[int]):
        super().__init__(operands=[x], result_types=[TensorType(tensor_type(x).element_type, shape)])

    def verify_(self) -> None:
        before, after = shape_of(self.input), shape_of(self.result)
        _require(
            prod(before) == prod(after),
            f"{list(before)} has {prod(before)} elements, {list(after)} has {prod(after)}",
        )
        _require_static(self.result)
        _require_same_elements(self)


@irdl_op_definition
class SpaceToDepthOp(IRDLOperation):
    """Moves ``block`` = [by, bx] pixels of the zero-padded input [1, C, H, W] into channels.

    Output channel ``(c * by + i) * bx + j`` at (y, x) is the padded input's channel c at (y * by + i, x * bx + j).
    ``pads`` is top, left, bottom, right; the padded extents are multiples of the block.
    """

    name = "graph.space_to_depth"
    input = operand_def(AnyTensor)
    block = prop_def(Integers)
    pads = prop_def(Integers)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `block` custom<IntegerList>($block) `pads` custom<IntegerList>($pads) attr-dict"
        " `:` type($input) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(self, x: SSAValue, block: Sequence[int], pads: Sequence[int]):
        _, channels, height, width = shape_of(x)
        (by, bx), (top, left, bottom, right) = block, pads
        shape = [1, channels * by * bx, (height + top + bottom) // by, (width + left + right) // bx]
        super().__init__(
            operands=[x],
            properties={"block": integers(block), "pads": integers(pads)},
            result_types=[TensorType(tensor_type(x).element_type, shape)],
        )

    def verify_(self) -> None:
        n, channels, height, width = _require_rank(self.input, 4, "input")
        _require(n == 1, f"batch must be 1, got {n}")
        _verify_spatial(self.pads, block=self.block)
        (by, bx), (top, left, bottom, right) = values(self.block), values(self.pads)
        tall, wide = height + top + bottom, width + left + right
        _require(
            tall % by == 0 and wide % bx == 0,
            f"the padded input {tall}x{wide} is not a multiple of the block {by}x{bx}",
        )
        _require_result(self, (1, channels * by * bx, tall // by, wide // bx))
        _require_same_elements(self)


Graph = Dialect(
    "graph",
    [Conv2dOp, DenseOp, AddOp, PoolOp, RequantOp, ReshapeOp, SpaceToDepthOp],
)
