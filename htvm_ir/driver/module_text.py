"""A module as text, as the generic printer writes it, in about half the time."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr
from xdsl.ir import Attribute, TypeAttribute
from xdsl.printer import Printer

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

HEXADECIMAL = 100
"""xDSL prints constants of more elements as one hexadecimal number, unless all are equal."""


def module_text(module: ModuleOp) -> str:
    """The text of a module."""
    text = StringIO()
    _ModulePrinter(text).print_op(module)
    return text.getvalue() + "\n"


class _ModulePrinter(Printer):
    """Spells each type once, strings in one piece, and large constants without looking at each element."""

    def __init__(self, stream: StringIO):
        super().__init__(stream)
        self._write = stream.write
        self._texts: dict[int, tuple[Attribute, str]] = {}

    def print_string(self, text: str, *, indent: int | None = None) -> None:
        """Columns are not counted: only diagnostics ask for them."""
        if "\n" in text:
            super().print_string(text, indent=indent)
        else:
            self._write(text)

    def print_string_literal(self, string: str) -> None:
        if string.isascii() and string.isprintable() and '"' not in string and "\\" not in string:
            self._write(f'"{string}"')
        else:
            super().print_string_literal(string)

    def print_attribute(self, attribute: Attribute) -> None:
        if isinstance(attribute, TypeAttribute):
            known = self._texts.get(id(attribute))
            if known is None:
                # kept, so that its identity stays its own
                known = self._texts[id(attribute)] = attribute, str(attribute)
            self._write(known[1])
        elif isinstance(attribute, DenseIntOrFPElementsAttr) and _is_hexadecimal(attribute):
            self._write(f'dense<"0x{attribute.data.data.hex().upper()}"> : ')
            self.print_attribute(attribute.get_type())
        else:
            super().print_attribute(attribute)


def _is_hexadecimal(attribute: DenseIntOrFPElementsAttr) -> bool:
    data, count = attribute.data.data, len(attribute)
    return count > HEXADECIMAL and data != data[: len(data) // count] * count
