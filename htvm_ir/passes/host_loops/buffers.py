"""Elements of stored tensors: logical indices become addresses, constants become ``memref.global``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from xdsl.dialects import memref
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    UnitAttr,
    i8,
    i32,
    i64,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.errors import HtvmError
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.symbols import Symbols
from htvm_ir.targets.layout import WORD, Layout


def linear(emit: Emitter, index: Sequence[Value], extents: Sequence[int], hint: str = "offset") -> tuple[Value, int]:
    """The row-major position of ``index`` in an array of ``extents``, in two parts as in :meth:`Emitter.split`."""
    position: Value = 0
    distance = 0
    for i, extent in zip(index, extents, strict=True):
        base, step = emit.split(0 if extent == 1 else i)
        position = emit.add(emit.mul(position, extent, hint), base, hint)
        distance = distance * extent + step
    return position, distance


@dataclass(frozen=True)
class Buffer:
    """A memref that holds a tensor of ``shape`` in ``layout``; its axes may be split further than the tensor's.

    Raises:
        HtvmError: the memref has not as many elements as the layout stores.
    """

    memref: SSAValue
    shape: tuple[int, ...]
    layout: Layout

    def __post_init__(self) -> None:
        assert isinstance(self.memref.type, MemRefType)
        stored = self.layout.stored_shape(self.shape)
        if prod(self.memref.type.get_shape()) != prod(stored):
            raise HtvmError(f"a tensor of {list(self.shape)} is stored as {list(stored)}, not as {self.memref.type}")

    @property
    def has_gaps(self) -> bool:
        """Whether the memref is a part of a larger one with something else between its rows."""
        assert isinstance(self.memref.type, MemRefType)
        shape = self.memref.type.get_shape()
        last = sum((n - 1) * stride for n, stride in zip(shape, self._strides, strict=True))
        return last + 1 != prod(shape)

    @property
    def pitches(self) -> tuple[int, ...]:
        """The extents of the stored axes in memory, where those of a view are not its own."""
        stored = self.layout.stored_shape(self.shape)
        if not self.has_gaps:
            return stored
        return (stored[0], *(outer // inner for outer, inner in pairwise(self._strides)))

    @property
    def strides(self) -> tuple[int, ...] | None:
        """Elements between neighbours along each stored axis of a buffer with gaps; None: it has no gaps."""
        return tuple(self._strides) if self.has_gaps else None

    @property
    def _strides(self) -> list[int]:
        assert isinstance(self.memref.type, MemRefType)
        return [stride or 0 for stride in self.memref.type.get_strides() or ()]

    @property
    def is_dense(self) -> bool:
        """Whether linear positions are row-major logical positions."""
        return not self.has_gaps and self.layout.is_dense(self.shape)

    def flat(self, emit: Emitter) -> SSAValue:
        """The same memory as a memref of rank 1."""
        source = self.memref.type
        assert isinstance(source, MemRefType)
        rank = len(source.get_shape())
        if self.has_gaps:
            size = 1 + sum((n - 1) * stride for n, stride in zip(source.get_shape(), self._strides, strict=True))
            whole = MemRefType(source.element_type, [size], memory_space=source.memory_space)
            return emit.pure("whole", (self.memref,), lambda: self._whole(size, whole), self.memref.name_hint)
        if rank == 1:
            return self.memref
        flat = MemRefType(source.element_type, [prod(source.get_shape())], memory_space=source.memory_space)
        axes = ArrayAttr([ArrayAttr([IntegerAttr(axis, i64) for axis in range(rank)])])

        def collapse() -> Operation:
            return memref.CollapseShapeOp(
                operands=[self.memref], properties={"reassociation": axes}, result_types=[flat]
            )

        return emit.pure("collapse", (self.memref,), collapse, self.memref.name_hint)

    def _whole(self, size: int, type_: MemRefType[Attribute]) -> Operation:
        """A view and what lies between its rows."""
        return memref.ReinterpretCastOp.from_dynamic(self.memref, [0], [size], [1], type_)

    @property
    def has_words(self) -> bool:
        """Whether rows along the innermost axis consist of whole words of signed bytes, and begin with one."""
        assert isinstance(self.memref.type, MemRefType)
        distances = (self.layout.stored_shape(self.shape)[-1], *(self.strides or ())[:-1])
        return self.memref.type.element_type == i8 and not any(distance % WORD for distance in distances)

    def words(self, emit: Emitter) -> SSAValue:
        """The same memory as a memref of 32-bit words, the first byte of each in its lowest bits."""
        flat = self.flat(emit)
        assert isinstance(flat.type, MemRefType)
        type_ = MemRefType(i32, [prod(flat.type.get_shape()) // WORD], memory_space=flat.type.memory_space)
        start = emit.constant(0)
        return emit.pure("words", (flat,), lambda: memref.ViewOp(flat, start, [], type_), "words")

    def word(self, emit: Emitter, stored: Sequence[Value]) -> Value:
        """The index of a word; ``stored`` is an index in stored order with the word of the row last."""
        *outer, row = self.pitches
        return emit.add(*linear(emit, stored, (*outer, row // WORD)), "at")

    def address(self, emit: Emitter, stored: Sequence[Value]) -> tuple[SSAValue, list[Value]]:
        """The memref and its indices for an index in stored order."""
        shape = self.layout.stored_shape(self.shape)
        assert isinstance(self.memref.type, MemRefType)
        if not self.layout.xor and self.memref.type.get_shape() == shape:
            return self.memref, list(stored)
        position, distance = linear(emit, stored, self.pitches)
        return self.flat(emit), [emit.xor(position, distance, self.layout.xor, "at")]

    def load(self, emit: Emitter, index: Sequence[Value], hint: str) -> SSAValue:
        """The element at a logical index."""
        source, at = self.address(emit, [index[axis] for axis in self.layout.order])
        return emit.load(source, at, hint)


class Constants:
    """Constant tensors of one kernel, as globals before its function in ``memory``."""

    def __init__(self, symbols: Symbols, function: FuncOp, memory: str):
        self._symbols, self._function, self._memory = symbols, function, memory
        self._names: dict[DenseIntOrFPElementsAttr, str] = {}

    def place(self, emit: Emitter, elements: DenseIntOrFPElementsAttr, role: str) -> SSAValue:
        """The address of a global ``<kernel>_<role>``; equal constants of a kernel share one."""
        element, shape = elements.get_element_type(), elements.get_shape()
        type_ = MemRefType(element, shape, memory_space=StringAttr(self._memory))
        if elements not in self._names:
            name = self._symbols.unused(f"{self._function.sym_name.data}_{role}")
            op = memref.GlobalOp.get(StringAttr(name), type_, elements, constant=UnitAttr())
            Rewriter.insert_op(op, InsertPoint.before(self._function))
            self._names[elements] = name
        return emit.global_(self._names[elements], type_, role)
