"""Names with settings, ``NAME,KEY=VALUE,...``: how the user asks for a variant of a target or of a built-in network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from htvm_ir.errors import HtvmError

Setting: TypeAlias = int | float | bool | str | tuple[int, ...]
"""What can be set; tuples are there to be read only."""

_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}
_SWITCHES = {"true": True, "on": True, "false": False, "off": False}


def split_settings(text: str) -> tuple[str, dict[str, str]]:
    """The name and the texts of the settings.

    Raises:
        HtvmError: a part is not ``KEY=VALUE``, or a key is there twice.
    """
    name, *parts = text.split(",")
    values: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not (key and equals and value) or key in values:
            raise HtvmError(f"'{text}': expected NAME,KEY=VALUE,... with each key once, not '{part}'")
        values[key] = value
    return name, values


def read_settings(owner: str, values: Mapping[str, str], defaults: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings as values of their defaults' types; whole numbers may end in k (1024) or m (1048576).

    owner: what has the settings, for messages.

    Raises:
        HtvmError: an unknown key, or a value of another type.
    """
    for key in values:
        if key not in defaults:
            known = f"its settings are {', '.join(defaults)}" if defaults else "it has no settings"
            raise HtvmError(f"{owner} has no setting '{key}'; {known}")
    return {key: _read(owner, key, value, defaults[key]) for key, value in values.items()}


def _read(owner: str, key: str, text: str, default: Setting) -> Setting:
    if isinstance(default, bool):
        if text in _SWITCHES:
            return _SWITCHES[text]
        raise HtvmError(f"{owner}: {key}={text} is neither true nor false")
    if isinstance(default, int):
        number = re.fullmatch(r"(\d{1,12})([km]?)", text)
        if number is not None:
            return int(number[1]) * _UNITS[number[2]]
        raise HtvmError(f"{owner}: {key}={text} is not a whole number such as 4096 or 4k")
    if isinstance(default, float):
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
            return float(text)
        raise HtvmError(f"{owner}: {key}={text} is not a number such as 0.5")
    if isinstance(default, str):
        return text
    raise HtvmError(f"{owner}: {key} cannot be set")
