"""Sliding windows without weights."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import StringAttr, TensorType, i32
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure

from htvm_ir.arithmetic import MEAN_ROUNDINGS, POOLS
from htvm_ir.dialects.attributes import IntegerList, Integers, integers, values
from htvm_ir.dialects.graph.checks import (
    AnyTensor,
    require,
    require_rank,
    require_result,
    require_same_elements,
    shape_of,
    tensor_type,
    verify_spatial,
    window_extent,
)


@irdl_op_definition
class PoolOp(IRDLOperation):
    """Average, maximum or sum over windows of [1, C, H, W]; padded positions do not count.

    ``kind`` is average, max or sum. Averages and maxima have the input's type, sums are i32. ``rounding`` matters for
    averages: floor, half_up (``floor(mean + 1/2)``), half_away (ties away from zero) or half_even (ties to even).
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
        rounding: str = "floor",
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
            result_types=[TensorType(i32 if kind == "sum" else tensor_type(x).element_type, [1, channels, oy, ox])],
        )

    def verify_(self) -> None:
        n, channels, height, width = require_rank(self.input, 4, "input")
        require(n == 1, f"batch must be 1, got {n}")
        verify_spatial(self.pads, strides=self.strides, kernel=self.kernel)
        kind, rounding = self.kind.data, self.rounding.data
        require(kind in POOLS, f"kind must be one of {', '.join(POOLS)}, got '{kind}'")
        require(rounding in MEAN_ROUNDINGS, f"rounding must be one of {', '.join(MEAN_ROUNDINGS)}, got '{rounding}'")
        kernel, strides, pads = values(self.kernel), values(self.strides), values(self.pads)
        require(
            max(pads[0], pads[2]) < kernel[0] and max(pads[1], pads[3]) < kernel[1],
            "pads must be smaller than the kernel",
        )
        oy = window_extent(height, kernel[0], strides[0], 1, pads[0] + pads[2])
        ox = window_extent(width, kernel[1], strides[1], 1, pads[1] + pads[3])
        require(oy > 0 and ox > 0, f"kernel {kernel[0]}x{kernel[1]} does not fit the padded input")
        require_result(self, (n, channels, oy, ox))
        if kind == "sum":
            require(tensor_type(self.result).element_type == i32, "a sum must be i32")
        else:
            require_same_elements(self)
