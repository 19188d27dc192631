"""Random kernels of the host core: a region, its inputs, and what ``htvm_ir.arithmetic`` says comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    ArrayAttr,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    IntegerType,
    ModuleOp,
    Signedness,
    TensorType,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from htvm_ir.dialects import accel
from htvm_ir.dialects.attributes import integers
from htvm_ir.passes.intervals import RANGE
from htvm_ir.passes.workloads import layout_attr, stored_type
from htvm_ir.targets.layout import Layout

Array = NDArray[Any]


class Case:
    """A kernel with logical inputs and output. Not a dataclass, so that hypothesis does not print the whole IR."""

    def __init__(
        self,
        function: FuncOp,
        inputs: list[Array],
        input_layouts: list[Layout],
        expected: Array,
        output_layout: Layout,
    ):
        self.function, self.name = function, function.sym_name.data
        self.inputs, self.input_layouts = inputs, input_layouts
        self.expected, self.output_layout = expected, output_layout

    def __repr__(self) -> str:
        return f"Case({self.function.sym_name.data})"


@dataclass
class Traced:
    """A value of the region and its numbers."""

    value: SSAValue
    array: Array


class Builder:
    """A region under construction, in which every op is computed as it is added."""

    def __init__(self, inputs: Sequence[Array], layouts: Sequence[Layout], range_: tuple[int, int] | None = None):
        """``range_`` is what the kernel may rely on of all inputs; none: what their types hold."""
        self.inputs, self.layouts, self.range = list(inputs), list(layouts), range_
        types = [tensor(a, layout) for a, layout in zip(inputs, layouts, strict=True)]
        self.block = Block(arg_types=types)
        self.arguments = [Traced(v, a) for v, a in zip(self.block.args, inputs, strict=True)]

    def add(self, op: Operation, array: Array) -> Traced:
        """Append an op whose result is ``array``."""
        self.block.add_op(op)
        return Traced(op.results[0], array)

    def constant(self, array: Array) -> Traced:
        """Append a constant."""
        elements = DenseIntOrFPElementsAttr(plain_type(array), BytesAttr(array.tobytes()))
        return self.add(ConstantOp(elements), array)

    def finish(self, name: str, result: Traced, layout: Layout) -> Case:
        """The function with the dispatch, in the form ``bufferize`` leaves."""
        type_ = accel.with_layout(plain_type(result.array), layout_attr(layout))
        if result.value.type != type_:
            result = self.add(accel.ConvertLayoutOp(result.value, type_), result.array)
        self.block.add_op(accel.YieldOp(result.value))
        types = [stored_type(t, "L2") for t in (*self.block.arg_types, type_)]
        body = Block(arg_types=types)
        *sources, destination = body.args
        body.add_op(accel.DispatchOp(accel.CPU, "test", sources, self.block, (), [destination]))
        body.add_op(ReturnOp())
        function = FuncOp(name, (types, []), Region(body))
        if self.range is not None:
            promised = DictionaryAttr({RANGE: integers(self.range)})
            function.arg_attrs = ArrayAttr([*(promised for _ in sources), DictionaryAttr({})])
        return Case(function, self.inputs, self.layouts, result.array, layout)


def plain_type(array: Array) -> TensorType[IntegerType]:
    """The row-major tensor type of an array."""
    signedness = Signedness.UNSIGNED if array.dtype.kind == "u" else Signedness.SIGNLESS
    return TensorType(IntegerType(8 * array.dtype.itemsize, signedness), array.shape)


def tensor(array: Array, layout: Layout) -> TensorType[Attribute]:
    """The type of an array stored in a layout."""
    return accel.with_layout(plain_type(array), layout_attr(layout))


def module_of(cases: Sequence[Case]) -> ModuleOp:
    """All kernels in one module for the built-in target."""
    return ModuleOp([case.function for case in cases], {accel.TARGET: accel.TargetAttr("diana", ())})
