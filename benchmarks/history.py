"""Key figures over time, one JSON object a line in ``history.jsonl``, so that a regression shows.

All are counted, not timed, so another machine has the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).with_name("history.jsonl")
KEYS = ("cycles", "code_bytes", "constant_bytes", "memory_bytes")
TOLERANCE = 0.005
"""By which share a figure may be worse: another release of the packaged clang gives other code."""

Figures = Mapping[str, Mapping[str, int]]


def key_figures(report: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Of each network in a report of ``htvm bench``: what our own configuration takes, and the baseline's cycles."""
    found: dict[str, dict[str, int]] = {}
    for entry in report["models"]:
        rows = entry["configurations"]
        found[entry["model"]] = {key: rows["optimal"][key] for key in KEYS} | {"dory_cycles": rows["dory"]["cycles"]}
    return found


def last(history: Path = HISTORY) -> Figures | None:
    """The figures of the newest line; None if there is none."""
    lines = history.read_text().splitlines() if history.is_file() else []
    return json.loads(lines[-1])["figures"] if lines else None


def append(figures: Figures, date: str, version: str, history: Path = HISTORY) -> None:
    """Add a line, unless the newest says the same."""
    if figures != last(history):
        with history.open("a") as file:
            file.write(json.dumps({"date": date, "version": version, "figures": figures}) + "\n")


def regressions(figures: Figures, before: Figures) -> list[str]:
    """What is worse than it was, one line each; the baseline's cycles are not ours to keep."""
    found: list[str] = []
    for model, old in before.items():
        for key, value in old.items():
            now = figures.get(model, {}).get(key)
            if key in KEYS and (now is None or now > value * (1 + TOLERANCE)):
                found.append(f"{model}: {key} was {value:,}, is {'not measured' if now is None else f'{now:,}'}")
    return found
