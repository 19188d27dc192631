"""A measured figure and what it should be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured figure; ``bar`` is the most it should be, or the least; None = it is only told."""

    name: str
    value: float
    unit: str = ""
    bar: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the figure is where it should be."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def line(self) -> str:
        """For people."""
        text = f"{self.name:<72} {_number(self.value):>12} {self.unit:<6}"
        if self.bar is None:
            return text.rstrip()
        verdict = "pass" if self.ok else "MISSED"
        return f"{text} {'at least' if self.at_least else 'at most'} {_number(self.bar):<10} {verdict}"

    def as_json(self) -> dict[str, Any]:
        """The fields, and the verdict."""
        return asdict(self) | {"ok": self.ok}


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive values."""
    found = list(values)
    return prod(found) ** (1 / len(found))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
