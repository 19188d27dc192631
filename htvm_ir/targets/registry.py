"""Targets by name: those of this package and those other packages register."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from htvm_ir.errors import HtvmError
from htvm_ir.settings import read_settings, split_settings

if TYPE_CHECKING:
    from htvm_ir.targets.target import Target

GROUP = "htvm_ir.targets"
"""The entry-point group. Each entry is a function that returns a Target; it takes what the target lists as its
``parameters`` as keyword arguments, all with defaults."""


def target_names() -> tuple[str, ...]:
    """All registered names, sorted; nothing is loaded."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def is_builtin(name: str) -> bool:
    """Whether a target, perhaps with settings, is one of this package's own."""
    name = split_settings(name)[0]
    return any(entry.name == name and entry.module.startswith("htvm_ir.") for entry in entry_points(group=GROUP))


@cache
def load_target(name: str) -> Target:
    """The target registered as ``name``, or ``NAME,PARAMETER=VALUE,...``: with other numbers than its own.

    Raises:
        HtvmError: no such target, or parameter; the message lists those there are.
    """
    name, settings = split_settings(name)
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        known = ", ".join(target_names())
        raise HtvmError(f"unknown target '{name}'; known targets: {known}")
    make = found[0].load()
    target: Target = make()
    if not settings:
        return target
    changes = read_settings(f"target '{name}'", settings, target.parameters)
    changed = ",".join(f"{key}={str(value).lower()}" for key, value in changes.items())
    return replace(make(**changes), name=f"{name},{changed}")


def target_with_engines(name: str, engines: tuple[str, ...] | None) -> Target:
    """The target restricted to some of its engines (None = all of them).

    Raises:
        HtvmError: unknown target or engine.
    """
    target = load_target(name)
    if engines is None:
        return target
    known = [engine.name for engine in target.engines]
    for engine in engines:
        if engine not in known:
            choice = ", ".join([*known, "none"])
            raise HtvmError(f"target '{name}' has no engine '{engine}'; choose from {choice}")
    return replace(target, engines=tuple(e for e in target.engines if e.name in engines))
