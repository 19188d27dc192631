"""What an element of a tensor is: every lowering computes one element from elements of its operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerType, i32
from xdsl.ir import Attribute, Operation, SSAValue

from htvm_ir.dialects.graph import tensor_type
from htvm_ir.errors import HtvmError
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer, Constants
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.workloads import layout_of

ROLES = {
    "weight": "weights",
    "bias": "bias",
    "multiplier": "multipliers",
    "addend": "addends",
    "shift": "shifts",
    "table": "table",
}
"""Name of a constant by the name of its elements."""

Index = tuple[Value, ...]
"""A logical index."""

Lowering = Callable[["Kernel", Operation, Index], SSAValue]
"""Emits code that computes the element of the op's result at an index."""


def integer_type(element: Attribute) -> IntegerType:
    """The element type of tensors that host loops can compute with.

    Raises:
        HtvmError: not an integer of 8, 16, 32 or 64 bits.
    """
    if not (isinstance(element, IntegerType) and element.width.data in (8, 16, 32, 64)):
        raise HtvmError(f"host loops compute with integers, not with {element}; quantise this part of the network")
    return element


@dataclass
class Kernel:
    """A kernel on its way to loops: where its operands are, and how its ops are computed.

    buffers: the memory behind each argument of the region. lowerings: by op class.
    """

    name: str
    emit: Emitter
    buffers: Mapping[SSAValue, Buffer]
    constants: Constants
    lowerings: Mapping[type[Operation], Lowering]

    def element(self, value: SSAValue, index: Index, hint: str = "value") -> SSAValue:
        """The element of a tensor at a logical index, of the tensor's element type.

        Raises:
            HtvmError: an op has no lowering.
        """
        if value in self.buffers:
            return self.buffers[value].load(self.emit, index, hint)
        op = value.owner
        if isinstance(op, arith.ConstantOp):
            return self._constant(value, index, hint)
        if not isinstance(op, Operation) or type(op) not in self.lowerings:
            what = op.name if isinstance(op, Operation) else "a value from outside the region"
            raise HtvmError(f"kernel '{self.name}': the host has no loops for {what}")
        return self.lowerings[type(op)](self, op, index)

    def wide(self, value: SSAValue, index: Index, hint: str = "value") -> SSAValue:
        """The element, extended to at least 32 bits."""
        element = self.element(value, index, hint)
        type_ = integer_type(element.type)
        return element if type_.width.data >= 32 else self.emit.cast(element, i32, hint)

    def array(self, elements: DenseIntOrFPElementsAttr, index: Index, hint: str) -> SSAValue:
        """An element of a constant."""
        place = self.constants.place(self.emit, elements, ROLES.get(hint, "constant"))
        return self.emit.load(place, index, hint, constant=True)

    def _constant(self, value: SSAValue, index: Index, hint: str) -> SSAValue:
        array = constant_array(value)
        assert array is not None and isinstance(value.owner, arith.ConstantOp)
        if (array == array.flat[0]).all():
            return self.emit.constant(int(array.flat[0]), integer_type(tensor_type(value).element_type))
        if not layout_of(value.type).is_row_major:
            raise HtvmError(f"kernel '{self.name}': a constant must be row-major, not {value.type}")
        assert isinstance(value.owner.value, DenseIntOrFPElementsAttr)
        return self.array(value.owner.value, index, hint)
