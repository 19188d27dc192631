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

    def number(self) -> str:
        """The figure with its unit."""
        return f"{_number(self.value)} {self.unit}".rstrip()

    def wanted(self) -> str:
        """The bar in words; '' if there is none."""
        if self.bar is None:
            return ""
        return f"at {'least' if self.at_least else 'most'} {_number(self.bar)}"

    def line(self) -> str:
        """For people."""
        verdict = "" if self.bar is None else "pass" if self.ok else "MISSED"
        return f"{self.name:<72} {self.number():>18}  {self.wanted():<20} {verdict}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """The fields, and the verdict."""
        return asdict(self) | {"ok": self.ok}


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive values."""
    found = list(values)
    return prod(found) ** (1 / len(found))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
