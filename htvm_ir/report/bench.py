"""The table of ``htvm bench``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from htvm_ir.report.tables import table

Report = Mapping[str, Any]

HEADER = (
    "network",
    "MACs",
    "CPU only",
    "dory",
    "optimal",
    "vs CPU",
    "vs dory",
    "MAC/cycle",
    "of peak",
    "limit",
    "distance",
    "compile s",
    "arena",
    "bound",
    "code",
    "constants",
    "bit-exact",
)


def cells(report: Report) -> list[list[str]]:
    """One row for each network."""
    return [_cells(entry) for entry in report["models"]]


def bench(report: Report) -> str:
    """The table for a terminal, and what its columns mean."""
    text = table(HEADER, cells(report), right=range(1, len(HEADER) - 1))
    return f"{text}\n\n{LEGEND}"


LEGEND = """\
Cycles of one inference on the virtual SoC, which is a model; distance is cycles / limit, and limit and peak are the
target's. Sizes in bytes: arena and its lower bound in the CPU's memory, program code, weights and other constants.
Bit-exact: the random inputs on which every configuration gave the interpreter's outputs."""


def _cells(entry: Report) -> list[str]:
    rows, best = entry["configurations"], entry["configurations"]["optimal"]
    return [
        entry["model"],
        f"{entry['macs']:,}",
        f"{rows['cpu']['cycles']:,}",
        _optional(rows.get("dory", {}).get("cycles"), ","),
        f"{best['cycles']:,}",
        f"{entry['speedup']['cpu']:.1f}",
        _optional(entry["speedup"].get("dory"), ".2f"),
        f"{best['mac_per_cycle']:.1f}",
        _optional(best["peak_share"], ".1%"),
        _optional(entry["limit"], ","),
        _optional(best["distance"], ".3f"),
        f"{best['compile_seconds']:.2f}",
        f"{best['arena']['bytes']:,}",
        f"{best['arena']['lower_bound']:,}",
        f"{best['code_bytes']:,}",
        f"{best['constant_bytes']:,}",
        _exact(rows),
    ]


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _exact(rows: Report) -> str:
    wrong = [name for name, row in rows.items() if row["check"]["mismatches"]]
    if wrong:
        return f"NO: {', '.join(wrong)}"
    return f"yes, {min(row['check']['samples'] for row in rows.values())}"
