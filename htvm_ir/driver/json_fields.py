"""Values of a JSON text that somebody else wrote, taken by type; what does not fit is an error that names the place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from htvm_ir.errors import HtvmError

T = TypeVar("T")

NAMES: dict[type[Any], str] = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


@dataclass(frozen=True)
class Fields:
    """A JSON object; ``where`` it stands, for messages."""

    values: dict[str, Any]
    where: str

    @staticmethod
    def parse(text: bytes, where: str) -> Fields:
        """The object of a JSON text.

        Raises:
            HtvmError: it is not JSON, or no object.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HtvmError(f"{where} is not JSON ({error})") from error
        return Fields(typed(values, dict, where), where)

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        """The value of a field.

        Raises:
            HtvmError: it is missing and has no default, or is of another type.
        """
        if name not in self.values and default is not None:
            return default
        if name not in self.values:
            raise HtvmError(f"{self.where} has no '{name}'")
        return typed(self.values[name], kind, f"{self.where}: '{name}'")

    def inside(self, name: str) -> Fields:
        """The object in a field, an empty one if there is none."""
        return Fields(self.get(name, dict, {}), f"{self.where}: '{name}'")

    def each(self, name: str) -> list[Fields]:
        """The objects of a list in a field, none if there is none."""
        places = ((f"{self.where}: '{name}'[{i}]", value) for i, value in enumerate(self.get(name, list, [])))
        return [Fields(typed(value, dict, where), where) for where, value in places]

    def texts(self, name: str) -> list[str]:
        """The texts of a list in a field, none if there is none."""
        where = f"{self.where}: '{name}'"
        return [typed(value, str, f"{where}[{i}]") for i, value in enumerate(self.get(name, list, []))]


def typed(value: Any, kind: type[T], where: str) -> T:
    """A value of a type; true and false are no numbers.

    Raises:
        HtvmError: it is of another type.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise HtvmError(f"{where} is not {NAMES[kind]}")
    return cast("T", value)
