"""Ops that compute each element from the elements at the same place."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, TensorType, i32
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure

from htvm_ir.arithmetic import LARGEST_ADDEND, ROUNDINGS
from htvm_ir.dialects.attributes import IntegerList, Integers, integer, integers, values
from htvm_ir.dialects.graph.checks import (
    AnyTensor,
    element_limits,
    require,
    require_bytes,
    require_integers,
    require_result,
    shape_of,
    tensor_type,
    verify_elementwise,
    verify_input_zero_point,
)


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
        verify_elementwise(self.lhs, self.rhs, self)


@irdl_op_definition
class SubOp(IRDLOperation):
    """Element-wise difference ``lhs - rhs`` of two tensors of one shape, result i32."""

    name = "graph.sub"
    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue):
        super().__init__(operands=[lhs, rhs], result_types=[TensorType(i32, shape_of(lhs))])

    def verify_(self) -> None:
        verify_elementwise(self.lhs, self.rhs, self)


@irdl_op_definition
class MulOp(IRDLOperation):
    """Element-wise product ``(lhs - za) * (rhs - zb)`` with ``zero_points`` = [za, zb], result i32."""

    name = "graph.mul"
    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    zero_points = prop_def(Integers)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$lhs `,` $rhs `zero_points` custom<IntegerList>($zero_points) attr-dict"
        " `:` type($lhs) `,` type($rhs) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(self, lhs: SSAValue, rhs: SSAValue, zero_points: Sequence[int] = (0, 0)):
        super().__init__(
            operands=[lhs, rhs],
            properties={"zero_points": integers(zero_points)},
            result_types=[TensorType(i32, shape_of(lhs))],
        )

    def verify_(self) -> None:
        verify_elementwise(self.lhs, self.rhs, self)
        count = len(values(self.zero_points))
        require(count == 2, f"zero_points must be 2 integers, got {count}")
        for zero_point, operand in zip(values(self.zero_points), self.operands, strict=True):
            verify_input_zero_point(integer(zero_point), operand)


@irdl_op_definition
class LookupOp(IRDLOperation):
    """``table[x - lowest]`` for every element, where ``lowest`` is the smallest number of the input's 8-bit type.

    Any function of one quantised tensor; the table [256] holds i8 or ui8 in the order of the inputs.
    """

    name = "graph.lookup"
    input = operand_def(AnyTensor)
    table = operand_def(AnyTensor)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = "$input `,` $table attr-dict `:` type($input) `,` type($table) `->` type($result)"

    def __init__(self, x: SSAValue, table: SSAValue):
        element = tensor_type(table).element_type
        super().__init__(operands=[x, table], result_types=[TensorType(element, shape_of(x))])

    def verify_(self) -> None:
        require_bytes(self.input, "input")
        require_bytes(self.table, "table")
        require(shape_of(self.table) == (256,), f"table must have shape [256], got {list(shape_of(self.table))}")
        require_result(self, shape_of(self.input))
        require(
            tensor_type(self.result).element_type == tensor_type(self.table).element_type,
            "result and table must have the same element type",
        )


@irdl_op_definition
class RequantOp(IRDLOperation):
    """``clamp(zero_point + R(x * multiplier + addend, shift), lo, hi)``, per tensor or per channel (axis 1).

    ``addend`` is 0 if absent; only ``floor`` takes one. ``rounding`` names R: ::

        floor      (x * m + a) >> s
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
    addend = opt_prop_def(Integers)
    shift = prop_def(Integers)
    zero_point = prop_def(IntegerAttr[I64])
    lo = prop_def(IntegerAttr[I64])
    hi = prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$rounding $input `multiplier` custom<IntegerList>($multiplier)"
        " (`addend` custom<IntegerList>($addend)^)?"
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
        addend: Sequence[int] = (0,),
    ):
        super().__init__(
            operands=[x],
            properties={
                "rounding": StringAttr(rounding),
                "multiplier": integers(multiplier),
                "addend": integers(addend) if any(addend) else None,
                "shift": integers(shift),
                "zero_point": integer(zero_point),
                "lo": integer(lo),
                "hi": integer(hi),
            },
            result_types=[TensorType(element_type, shape_of(x))],
        )

    @property
    def addends(self) -> tuple[int, ...]:
        """``addend`` as numbers."""
        return (0,) if self.addend is None else values(self.addend)

    def verify_(self) -> None:
        shape = shape_of(self.input)
        require_integers(self.input, "input")
        require_result(self, shape)
        rounding = self.rounding.data
        require(rounding in ROUNDINGS, f"rounding '{rounding}' is none of {', '.join(ROUNDINGS)}")
        channels = shape[1] if len(shape) > 1 else 1
        parameters = {"multiplier": values(self.multiplier), "shift": values(self.shift), "addend": self.addends}
        for name, numbers in parameters.items():
            count = len(numbers)
            require(count in (1, channels), f"{name} must have 1 or {channels} values, got {count}")
        low = 31 if rounding == "gemmlowp" else 0
        require(all(low <= s <= 62 for s in values(self.shift)), f"shift must lie in {low} to 62")
        require(
            all(-(2**31) <= m < 2**31 for m in values(self.multiplier)),
            "multiplier must fit 32 bits",
        )
        require(rounding == "floor" or not any(self.addends), f"rounding '{rounding}' takes no addend; use floor")
        require(all(abs(a) <= LARGEST_ADDEND for a in self.addends), f"addend must lie in +-{LARGEST_ADDEND}")
        self._verify_range()

    def _verify_range(self) -> None:
        element = tensor_type(self.result).element_type
        require_integers(self.result, "result")
        low, high = element_limits(element)
        lo, hi = self.lo.value.data, self.hi.value.data
        require(lo <= hi, f"the range {lo} to {hi} is empty")
        require(low <= lo and hi <= high, f"the range {lo} to {hi} does not fit {element}")
