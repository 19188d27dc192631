"""Assembly-format pieces and attribute helpers the dialects share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, IntegerType, Signedness, i64
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


def integers(values: Sequence[int]) -> Integers:
    """An ``array<i64: ...>`` attribute."""
    return DenseArrayBase.from_list(i64, list(values))


def is_integers(attribute: object) -> TypeGuard[Integers]:
    """Whether an attribute is an integer array."""
    return isinstance(attribute, DenseArrayBase) and isinstance(attribute.elt_type, IntegerType)


def values(attribute: Integers) -> tuple[int, ...]:
    """The Python integers of an integer array attribute."""
    return attribute.get_values()


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
        self.list.set(state, integers(parsed))

    def print(self, printer: Printer, state: PrintingState, op: IRDLOperation) -> None:
        state.print_whitespace(printer)
        attribute = self.list.get(op)
        assert is_integers(attribute)
        printer.print_string(str(list(values(attribute))))
