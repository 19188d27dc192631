"""Parameters of C functions, and the tensors at the boundary of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, IntegerAttr, MemRefType, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from htvm_ir.backend.c.names import Names
from htvm_ir.backend.c.tokens import is_token
from htvm_ir.backend.c.types import buffer_bytes, c_type, memref_type
from htvm_ir.dialects.graph import NAME

OUTPUT = "accel.output"
"""Unit attribute of arguments of ``@main`` that the network writes."""

OVERWRITES = "accel.overwrites"
"""Unit attribute of a kernel that writes its result over one of its operands."""

MEMORY, OFFSET = "accel.memory", "accel.offset"
"""Attributes of arguments of ``@main`` that have a place in the arena of a memory."""


LINE = 116
"""Columns up to which the head of a function is one line."""


@dataclass(frozen=True)
class Parameter:
    """A pointer parameter; ``alone``: what is written through it is read through no other."""

    name: str
    element: str
    is_output: bool
    alone: bool = True

    @property
    def declaration(self) -> str:
        """Inputs are read-only."""
        if not self.is_output:
            return f"const {self.element} *{self.name}"
        return f"{self.element} *{'restrict ' if self.alone else ''}{self.name}"


Parameters = Sequence[Parameter | None]
"""Of a function; None for a token, and for a buffer with a fixed place in a memory that the CPU cannot address."""


def parameters(function: FuncOp, written: set[int]) -> Parameters:
    """The parameters of a kernel, named by their role where the IR gives no name."""
    names = Names()
    return [
        Parameter(
            names.unique(argument.name_hint or ("output" if index in written else "input")),
            c_type(memref_type(argument).element_type),
            index in written,
            OVERWRITES not in function.attributes,
        )
        if local_offset(function, index) is None and not is_token(argument)
        else None
        for index, argument in enumerate(function.body.block.args)
    ]


def function_head(name: str, declarations: Sequence[str]) -> str:
    """The head of a function that returns 0 when done; over several lines if it is long."""
    start = f"int32_t {name}("
    text = f"{start}{', '.join(declarations) or 'void'})"
    return text if len(text) <= LINE else f"{start}\n    {f',{chr(10)}    '.join(declarations)})"


def local_offset(function: FuncOp, index: int) -> int | None:
    """Where a kernel's argument lies in a memory that the CPU cannot address; None if it is a pointer of the CPU's."""
    if function.arg_attrs is None:
        return None
    offset = function.arg_attrs.data[index].data.get(OFFSET)
    return offset.value.data if isinstance(offset, IntegerAttr) else None


@dataclass(frozen=True)
class Tensor:
    """An input or output of the network: C name, ONNX name ('' = none), buffer, scale and zero point if known.

    place: memory, and offset in its arena, that the caller may use for the buffer; None = the arena has no room.
    """

    name: str
    onnx_name: str
    aliases: tuple[str, ...]
    type: MemRefType[Attribute]
    is_output: bool
    scale: float | None
    zero_point: int
    place: tuple[str, int] | None = None

    @property
    def element(self) -> str:
        """C type of the elements."""
        return c_type(self.type.element_type)

    @property
    def bytes(self) -> int:
        """Bytes of the caller's buffer."""
        return buffer_bytes(self.type)


@dataclass(frozen=True)
class Boundary:
    """All inputs, then all outputs."""

    tensors: tuple[Tensor, ...]

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors the caller gives."""
        return [t for t in self.tensors if not t.is_output]

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors the caller gets."""
        return [t for t in self.tensors if t.is_output]

    @property
    def has_places(self) -> bool:
        """Whether the arena has room for the caller's buffers."""
        return bool(self.tensors) and all(t.place is not None for t in self.tensors)

    def parameters(self, names: Names) -> list[Parameter]:
        """Parameters of the entry function; ``names`` holds those that are taken."""
        return [Parameter(names.unique(t.name), t.element, t.is_output) for t in self.tensors]

    @staticmethod
    def of(main: FuncOp) -> Boundary:
        """The boundary that the argument attributes of ``@main`` describe.

        Members are called as TVM does: the ONNX name in lower case with ``_`` for what C does not allow, else
        ``input`` or ``output``, numbered if there are several.
        """
        arguments = main.body.block.args
        given = list(main.arg_attrs or [DictionaryAttr({})] * len(arguments))
        outputs = [OUTPUT in attributes.data for attributes in given]
        # Inputs and outputs share one namespace: the size macros do not say which of them they mean.
        names = Names()
        tensors: list[Tensor] = []
        for index, (argument, attributes) in enumerate(zip(arguments, given, strict=True)):
            onnx_name = _text(attributes.data.get(NAME))
            wanted = onnx_name.lower() or _default_name(outputs, index)
            tensors.append(
                Tensor(
                    name=names.unique(wanted),
                    onnx_name=onnx_name,
                    aliases=_texts(attributes.data.get("graph.aliases")),
                    type=memref_type(argument),
                    is_output=outputs[index],
                    scale=_number(attributes.data.get("graph.scale")),
                    zero_point=int(_number(attributes.data.get("graph.zero_point")) or 0),
                    place=_place(attributes),
                )
            )
        return Boundary(tuple(tensors))


def _default_name(outputs: Sequence[bool], index: int) -> str:
    kind = outputs[index]
    word = "output" if kind else "input"
    return word if outputs.count(kind) == 1 else f"{word}{outputs[:index].count(kind)}"


def _place(attributes: DictionaryAttr) -> tuple[str, int] | None:
    memory, offset = attributes.data.get(MEMORY), attributes.data.get(OFFSET)
    if not isinstance(memory, StringAttr) or not isinstance(offset, IntegerAttr):
        return None
    return memory.data, offset.value.data


def _text(attribute: Attribute | None) -> str:
    return attribute.data if isinstance(attribute, StringAttr) else ""


def _texts(attribute: Attribute | None) -> tuple[str, ...]:
    return tuple(_text(a) for a in attribute) if isinstance(attribute, ArrayAttr) else ()


def _number(attribute: Attribute | None) -> float | int | None:
    return attribute.value.data if isinstance(attribute, FloatAttr | IntegerAttr) else None
