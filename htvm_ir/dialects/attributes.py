"""Assembly-format pieces and attribute helpers the dialects share."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeGuard

from xdsl.dialects.builtin import BytesAttr, DenseArrayBase, IntegerAttr, IntegerType, Signedness, i64
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation
from xdsl.irdl.declarative_assembly_format import (
    AttributeVariable,
    CustomDirective,
    ParsingState,
    PrintingState,
    irdl_custom_directive,
)
from xdsl.parser import Parser
from xdsl.printer import Printer

if TYPE_CHECKING:
    import numpy as np

Integers = DenseArrayBase[IntegerType]

I64 = 64
"""Bits of the elements that :func:`integers` makes."""

REMEMBERED = 4096
"""Attributes of one integer that are made only once: most are small numbers (model choice)."""


def integers(values: Sequence[int]) -> Integers:
    """An ``array<i64: ...>`` attribute."""
    return DenseArrayBase(i64, BytesAttr(struct.pack(f"<{len(values)}q", *values)))


def is_integers(attribute: object) -> TypeGuard[Integers]:
    """Whether an attribute is an integer array."""
    return isinstance(attribute, DenseArrayBase) and isinstance(attribute.elt_type, IntegerType)


def values(attribute: Integers) -> tuple[int, ...]:
    """The Python integers of an integer array attribute."""
    data = attribute.data.data
    if attribute.elt_type.bitwidth == I64:
        return struct.unpack(f"<{len(data) // 8}q", data)
    return attribute.get_values()


@lru_cache(maxsize=REMEMBERED, typed=True)
def integer(value: int) -> IntegerAttr[IntegerType]:
    """An ``i64`` attribute."""
    return IntegerAttr(value, i64)


def integer_dtype(element: Attribute) -> np.dtype[Any]:
    """The numpy type of an integer type of whole bytes; signless is signed."""
    import numpy as np

    assert isinstance(element, IntegerType)
    kind = "u" if element.signedness.data == Signedness.UNSIGNED else "i"
    return np.dtype(f"{kind}{element.width.data // 8}")


@irdl_custom_directive
class IntegerList(CustomDirective):
    """Prints an integer array as ``[1, 2, 3]``."""

    list: AttributeVariable

    def is_anchorable(self) -> bool:
        return self.list.is_anchorable()

    def is_present(self, op: IRDLOperation) -> bool:
        return self.list.is_present(op)

    def parse(self, parser: Parser, state: ParsingState) -> None:
        parsed = parser.parse_comma_separated_list(
            parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)
        )
        self.list.set(state, DenseArrayBase.from_list(i64, parsed))  # says what is out of range

    def print(self, printer: Printer, state: PrintingState, op: IRDLOperation) -> None:
        state.print_whitespace(printer)
        attribute = self.list.get(op)
        assert is_integers(attribute)
        printer.print_string(str(list(values(attribute))))
