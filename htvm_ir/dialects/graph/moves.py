"""Ops that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import I64, IntegerAttr, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure

from htvm_ir.dialects.attributes import IntegerList, Integers, integer, integers, values
from htvm_ir.dialects.graph.checks import (
    AnyTensor,
    element_limits,
    require,
    require_integers,
    require_rank,
    require_result,
    require_same_elements,
    require_static,
    shape_of,
    tensor_type,
    verify_spatial,
)


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
        require(
            prod(before) == prod(after),
            f"{list(before)} has {prod(before)} elements, {list(after)} has {prod(after)}",
        )
        require_static(self.result)
        require_same_elements(self)


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
        n, channels, height, width = require_rank(self.input, 4, "input")
        require(n == 1, f"batch must be 1, got {n}")
        verify_spatial(self.pads, block=self.block)
        (by, bx), (top, left, bottom, right) = values(self.block), values(self.pads)
        tall, wide = height + top + bottom, width + left + right
        require(
            tall % by == 0 and wide % bx == 0,
            f"the padded input {tall}x{wide} is not a multiple of the block {by}x{bx}",
        )
        require_result(self, (1, channels * by * bx, tall // by, wide // bx))
        require_same_elements(self)


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Tensors of one element type, one after the other along ``axis``; all other extents agree."""

    name = "graph.concat"
    inputs = var_operand_def(AnyTensor)
    axis = prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = "$inputs `axis` $axis attr-dict `:` type($inputs) `->` type($result)"

    def __init__(self, inputs: Sequence[SSAValue], axis: int):
        shape = list(shape_of(inputs[0]))
        shape[axis] = sum(shape_of(value)[axis] for value in inputs)
        super().__init__(
            operands=[inputs],
            properties={"axis": integer(axis)},
            result_types=[TensorType(tensor_type(inputs[0]).element_type, shape)],
        )

    def verify_(self) -> None:
        require(len(self.inputs) > 0, "there must be an operand")
        shapes = [shape_of(value) for value in self.inputs]
        axis, expected = self.axis.value.data, list(shapes[0])
        require(0 <= axis < len(expected), f"axis {axis} is none of a tensor of rank {len(expected)}")
        for value, shape in zip(self.inputs, shapes, strict=True):
            require_static(value, "operand")
            others = [*shape[:axis], expected[axis], *shape[axis + 1 :]]
            require(others == expected, f"operand shapes {expected} and {list(shape)} differ beside axis {axis}")
            require(
                tensor_type(value).element_type == tensor_type(self.inputs[0]).element_type,
                "operands must have the same element type",
            )
        expected[axis] = sum(shape[axis] for shape in shapes)
        require_result(self, expected)
        require_same_elements(self)


@irdl_op_definition
class SliceOp(IRDLOperation):
    """``sizes`` elements along each axis, from ``offsets`` on, ``strides`` apart."""

    name = "graph.slice"
    input = operand_def(AnyTensor)
    offsets = prop_def(Integers)
    sizes = prop_def(Integers)
    strides = prop_def(Integers)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `offsets` custom<IntegerList>($offsets) `sizes` custom<IntegerList>($sizes)"
        " `strides` custom<IntegerList>($strides) attr-dict `:` type($input) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(self, x: SSAValue, offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int]):
        super().__init__(
            operands=[x],
            properties={"offsets": integers(offsets), "sizes": integers(sizes), "strides": integers(strides)},
            result_types=[TensorType(tensor_type(x).element_type, sizes)],
        )

    def verify_(self) -> None:
        require_static(self.input, "input")
        shape = shape_of(self.input)
        offsets, sizes, strides = (values(a) for a in (self.offsets, self.sizes, self.strides))
        require(
            len(offsets) == len(sizes) == len(strides) == len(shape),
            f"offsets, sizes and strides must be {len(shape)} integers each",
        )
        for axis, (offset, size, stride, extent) in enumerate(zip(offsets, sizes, strides, shape, strict=True)):
            last = offset + (size - 1) * stride
            require(
                offset >= 0 and size > 0 and stride > 0 and last < extent,
                f"axis {axis}: {size} elements from {offset} by {stride} do not lie in an extent of {extent}",
            )
        require_result(self, sizes)
        require_same_elements(self)


@irdl_op_definition
class PadOp(IRDLOperation):
    """The input with ``before`` and ``after`` elements of ``value`` added at the ends of each axis."""

    name = "graph.pad"
    input = operand_def(AnyTensor)
    before = prop_def(Integers)
    after = prop_def(Integers)
    value = prop_def(IntegerAttr[I64])
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `before` custom<IntegerList>($before) `after` custom<IntegerList>($after) `value` $value attr-dict"
        " `:` type($input) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(self, x: SSAValue, before: Sequence[int], after: Sequence[int], value: int):
        shape = [low + n + high for low, n, high in zip(before, shape_of(x), after, strict=True)]
        super().__init__(
            operands=[x],
            properties={"before": integers(before), "after": integers(after), "value": integer(value)},
            result_types=[TensorType(tensor_type(x).element_type, shape)],
        )

    def verify_(self) -> None:
        require_static(self.input, "input")
        require_integers(self.input, "input")
        shape, before, after = shape_of(self.input), values(self.before), values(self.after)
        require(
            len(before) == len(after) == len(shape) and min(*before, *after) >= 0,
            f"before and after must be {len(shape)} integers of at least 0 each",
        )
        element, value = tensor_type(self.input).element_type, self.value.value.data
        low, high = element_limits(element)
        require(low <= value <= high, f"value {value} does not fit {element}")
        require_result(self, [a + n + b for a, n, b in zip(before, shape, after, strict=True)])
        require_same_elements(self)


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """Axis i of the result is axis ``permutation[i]`` of the input."""

    name = "graph.transpose"
    input = operand_def(AnyTensor)
    permutation = prop_def(Integers)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `permutation` custom<IntegerList>($permutation) attr-dict `:` type($input) `->` type($result)"
    )
    custom_directives = (IntegerList,)

    def __init__(self, x: SSAValue, permutation: Sequence[int]):
        shape = [shape_of(x)[axis] for axis in permutation]
        super().__init__(
            operands=[x],
            properties={"permutation": integers(permutation)},
            result_types=[TensorType(tensor_type(x).element_type, shape)],
        )

    def verify_(self) -> None:
        require_static(self.input, "input")
        shape, permutation = shape_of(self.input), values(self.permutation)
        require(
            sorted(permutation) == list(range(len(shape))),
            f"{list(permutation)} is no permutation of {len(shape)} axes",
        )
        require_result(self, [shape[axis] for axis in permutation])
        require_same_elements(self)


@irdl_op_definition
class ReverseOp(IRDLOperation):
    """The elements in reverse order along each of ``axes``."""

    name = "graph.reverse"
    input = operand_def(AnyTensor)
    axes = prop_def(Integers)
    result = result_def(AnyTensor)
    traits = traits_def(Pure())
    assembly_format = "$input `axes` custom<IntegerList>($axes) attr-dict `:` type($input) `->` type($result)"
    custom_directives = (IntegerList,)

    def __init__(self, x: SSAValue, axes: Sequence[int]):
        super().__init__(
            operands=[x],
            properties={"axes": integers(axes)},
            result_types=[TensorType(tensor_type(x).element_type, shape_of(x))],
        )

    def verify_(self) -> None:
        require_static(self.input, "input")
        shape, axes = shape_of(self.input), values(self.axes)
        require(
            len(set(axes)) == len(axes) and all(0 <= axis < len(shape) for axis in axes),
            f"{list(axes)} are no axes, each once, of a tensor of rank {len(shape)}",
        )
        require_result(self, shape)
        require_same_elements(self)
