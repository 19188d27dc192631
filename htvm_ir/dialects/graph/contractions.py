"""Ops that multiply activations with weights and accumulate."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, IntegerAttr, TensorType, i32
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure

from htvm_ir.dialects.attributes import IntegerList, Integers, integer, integers, values
from htvm_ir.dialects.graph.checks import (
    AnyTensor,
    require,
    require_rank,
    require_result,
    shape_of,
    tensor_type,
    verify_bias,
    verify_input_zero_point,
    verify_spatial,
    window_extent,
)


@irdl_op_definition
class Conv2dOp(IRDLOperation):
    """Cross-correlation: input [1, C, H, W], weights [K, C/groups, FY, FX], bias [K] i32, result i32.

    ``pads`` is top, left, bottom, right. The sum is over ``weights * (input - zero_point)``, and padded positions add
    nothing: they hold the input's zero point. Absent, it is 0.
    """

    name = "graph.conv2d"
    input = operand_def(AnyTensor)
    weights = operand_def(AnyTensor)
    bias = opt_operand_def(AnyTensor)
    strides = prop_def(Integers)
    pads = prop_def(Integers)
    dilations = prop_def(Integers)
    groups = prop_def(IntegerAttr[I64])
    zero_point = opt_prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $weights (`bias` $bias^)? `strides` custom<IntegerList>($strides)"
        " `pads` custom<IntegerList>($pads) `dilations` custom<IntegerList>($dilations)"
        " `groups` $groups (`zero_point` $zero_point^)? attr-dict"
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
        zero_point: int = 0,
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
                "zero_point": integer(zero_point) if zero_point else None,
            },
            result_types=[TensorType(i32, [1, channels, oy, ox])],
        )

    def verify_(self) -> None:
        n, c, height, width = require_rank(self.input, 4, "input")
        k, per_group, fy, fx = require_rank(self.weights, 4, "weights")
        require(n == 1, f"batch must be 1, got {n}")
        verify_spatial(self.pads, strides=self.strides, dilations=self.dilations)
        groups = self.groups.value.data
        require(
            groups > 0 and c % groups == 0 and k % groups == 0,
            f"groups {groups} must divide the {c} input and {k} output channels",
        )
        require(
            per_group == c // groups,
            f"weights take {per_group} channels, the input has {c} in {groups} groups",
        )
        top, left, bottom, right = values(self.pads)
        (sy, sx), (dy, dx) = values(self.strides), values(self.dilations)
        oy = window_extent(height, fy, sy, dy, top + bottom)
        ox = window_extent(width, fx, sx, dx, left + right)
        require(oy > 0 and ox > 0, f"kernel {fy}x{fx} does not fit the padded input")
        require_result(self, (1, k, oy, ox))
        require(tensor_type(self.result).element_type == i32, "result must be i32")
        verify_bias(self.bias, k)
        verify_input_zero_point(self.zero_point, self.input)


@irdl_op_definition
class DenseOp(IRDLOperation):
    """Matrix-vector product: input [1, C], weights [K, C], bias [K] i32, result [1, K] i32.

    The sum is over ``weights * (input - zero_point)``; absent, the zero point is 0.
    """

    name = "graph.dense"
    input = operand_def(AnyTensor)
    weights = operand_def(AnyTensor)
    bias = opt_operand_def(AnyTensor)
    zero_point = opt_prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $weights (`bias` $bias^)? (`zero_point` $zero_point^)? attr-dict"
        " `:` type($input) `,` type($weights) (`,` type($bias)^)? `->` type($result)"
    )

    def __init__(self, x: SSAValue, weights: SSAValue, bias: SSAValue | None, zero_point: int = 0):
        super().__init__(
            operands=[x, weights, bias],
            properties={"zero_point": integer(zero_point) if zero_point else None},
            result_types=[TensorType(i32, [1, shape_of(weights)[0]])],
        )

    def verify_(self) -> None:
        n, c = require_rank(self.input, 2, "input")
        k, depth = require_rank(self.weights, 2, "weights")
        require(n == 1, f"batch must be 1, got {n}")
        require(depth == c, f"weights take {depth} inputs, the input has {c}")
        require_result(self, (1, k))
        require(tensor_type(self.result).element_type == i32, "result must be i32")
        verify_bias(self.bias, k)
        verify_input_zero_point(self.zero_point, self.input)
