"""Elements of stored tensors: logical indices become addresses, constants become ``memref.global``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects import memref
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    StridedLayoutAttr,
    StringAttr,
    UnitAttr,
    i64,
)
from xdsl.ir import Operation, SSAValue
from xdsl.traits import SymbolOpInterface

from htvm_ir.errors import HtvmError
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.targets.layout import Layout


def linear(emit: Emitter, index: Sequence[Value], extents: Sequence[int]) -> tuple[Value, int]:
    """The row-major position of ``index`` in an array of ``extents``, in two parts as in :meth:`Emitter.split`."""
    position: Value = 0
    distance = 0
    for i, extent in zip(index, extents, strict=True):
        base, step = emit.split(0 if extent == 1 else i)
        position = emit.add(emit.mul(position, extent, "offset"), base, "offset")
        distance = distance * extent + step
    return position, distance


@dataclass(frozen=True)
class Buffer:
    """A memref that holds a tensor of ``shape`` in ``layout``.

    Raises:
        HtvmError: the memref's shape is not the layout's stored shape.
    """

    memref: SSAValue
    shape: tuple[int, ...]
    layout: Layout

    def __post_init__(self) -> None:
        assert isinstance(self.memref.type, MemRefType)
        stored = self.layout.stored_shape(self.shape)
        if self.memref.type.get_shape() != stored:
            raise HtvmError(f"a tensor of {list(self.shape)} is stored as {list(stored)}, not as {self.memref.type}")

    @property
    def is_view(self) -> bool:
        """Whether the memref is a part of a larger one, with gaps between its rows."""
        assert isinstance(self.memref.type, MemRefType)
        return isinstance(self.memref.type.layout, StridedLayoutAttr)

    @property
    def is_dense(self) -> bool:
        """Whether linear positions are row-major logical positions."""
        return (
            not self.is_view
            and self.layout.stored_shape(self.shape) == self.shape
            and self.layout.xor == 0
            and self._in_order
        )

    @property
    def _in_order(self) -> bool:
        moving = [axis for axis in self.layout.order if self.shape[axis] > 1]
        return moving == sorted(moving)

    def flat(self, emit: Emitter) -> SSAValue:
        """The same memory as a memref of rank 1."""
        source = self.memref.type
        assert isinstance(source, MemRefType)
        rank = len(source.get_shape())
        if rank == 1:
            return self.memref
        flat = MemRefType(source.element_type, [prod(source.get_shape())], memory_space=source.memory_space)
        axes = ArrayAttr([ArrayAttr([IntegerAttr(axis, i64) for axis in range(rank)])])

        def collapse() -> Operation:
            return memref.CollapseShapeOp(
                operands=[self.memref], properties={"reassociation": axes}, result_types=[flat]
            )

        return emit.pure("collapse", (self.memref,), collapse, self.memref.name_hint)

    def address(self, emit: Emitter, stored: Sequence[Value]) -> tuple[SSAValue, list[Value]]:
        """The memref and its indices for an index in stored order."""
        if not self.layout.xor:
            return self.memref, list(stored)
        if self.is_view:  # the permutation stays in the innermost row
            base, step = emit.split(stored[-1])
            return self.memref, [*stored[:-1], emit.xor(base, step, self.layout.xor, "at")]
        position, distance = linear(emit, stored, self.layout.stored_shape(self.shape))
        return self.flat(emit), [emit.xor(position, distance, self.layout.xor, "at")]

    def load(self, emit: Emitter, index: Sequence[Value], hint: str) -> SSAValue:
        """The element at a logical index."""
        source, at = self.address(emit, [index[axis] for axis in self.layout.order])
        return emit.load(source, at, hint)


class Constants:
    """Constant tensors of one kernel, as globals beside its function in ``memory``."""

    def __init__(self, module: ModuleOp, function: Operation, kernel: str, memory: str):
        self._module, self._function = module, function
        self._kernel, self._memory = kernel, memory
        self._names: dict[DenseIntOrFPElementsAttr, str] = {}

    def place(self, emit: Emitter, elements: DenseIntOrFPElementsAttr, role: str) -> SSAValue:
        """The address of a global ``<kernel>_<role>``; equal constants of a kernel share one."""
        element, shape = elements.get_element_type(), elements.get_shape()
        type_ = MemRefType(element, shape, memory_space=StringAttr(self._memory))
        if elements not in self._names:
            name = self._unused(f"{self._kernel}_{role}")
            op = memref.GlobalOp.get(StringAttr(name), type_, elements, constant=UnitAttr())
            self._module.body.block.insert_op_before(op, self._function)
            self._names[elements] = name
        return emit.global_(self._names[elements], type_, role)

    def _unused(self, wanted: str) -> str:
        taken = {
            name.data
            for op in self._module.body.ops
            if (symbol := op.get_trait(SymbolOpInterface)) and (name := symbol.get_sym_attr_name(op))
        }
        name, count = wanted, 1
        while name in taken:
            name, count = f"{wanted}_{count}", count + 1
        return name
