"""The ONNX operators there are, with their conditions and the engines that can take them, as data and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from htvm_ir.frontends.onnx.operators import Convention, Operator
from htvm_ir.frontends.onnx.supported import CONVENTIONS, oldest_opset
from htvm_ir.report.tables import table
from htvm_ir.targets.target import Target

Rows = list[dict[str, Any]]

_COLUMNS = {
    "operator": "operator",
    "since": "since opset",
    "types": "types",
    "computed": "computed operands",
    "becomes": "graph ops",
    "engines": "engines",
    "limits": "conditions",
}
"""Field of the JSON -> heading."""

_INTRODUCTION = """\
# Supported ONNX operators

Printed by `htvm ops --markdown` from the tables the importer looks operators up in; `UPDATE_DOCS=1 pytest tests/docs`
writes this page.

*Types* are those of the operands a network may compute. *Computed operands* counts from 0; all others are constants of
the file. *Graph ops* are what an operator becomes ([architecture.md](architecture.md)); one with none computes nothing.
*Engines* are those of {target} that compute such ops; whether they take one of them, and why not, `htvm explain` says.
A node that does not meet its conditions is an error that names it.

What the test cases of the `onnx` package say: [onnx-node-tests.md](onnx-node-tests.md).
"""


def rows(convention: Convention, target: Target) -> Rows:
    """The operators of a convention in alphabetical order, as plain data."""
    return [_row(name, entry, convention.domain, target) for name, entry in sorted(convention.operators.items())]


def _row(name: str, entry: Operator[Any], domain: str, target: Target) -> dict[str, Any]:
    kinds = () if entry.host_only else entry.becomes
    accelerators = [e.name for e in target.engines if any(kind in e.kinds for kind in kinds)]
    return {
        "operator": name,
        "since": oldest_opset(name, domain, entry.since),
        "types": list(entry.types),
        "computed": "all" if entry.computed is None else list(entry.computed),
        "becomes": list(entry.becomes),
        "engines": [*accelerators, target.host.name] if entry.becomes else [],
        "limits": entry.limits,
    }


def facts(target: Target) -> list[dict[str, Any]]:
    """All operators as plain data."""
    return [
        {"convention": c.name, "domain": c.domain, "summary": c.summary, "operators": rows(c, target)}
        for c in CONVENTIONS
    ]


def text(target: Target) -> str:
    """All operators for a terminal."""
    parts: list[str] = []
    for convention in facts(target):
        parts += [_title(convention), "", table(list(_COLUMNS.values()), _cells(convention)), ""]
    return "\n".join(parts).rstrip()


def markdown(target: Target) -> str:
    """All operators as a page of the documentation."""
    parts = [_INTRODUCTION.format(target=target.name)]
    for convention in facts(target):
        parts += [f"## {_title(convention)}", "", markdown_table(list(_COLUMNS.values()), _cells(convention)), ""]
    return "\n".join(parts).rstrip()


def markdown_table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table of a Markdown page."""
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _title(convention: dict[str, Any]) -> str:
    domain = f" (domain {convention['domain']})" if convention["domain"] else ""
    return f"{convention['convention']}{domain}: {convention['summary']}"


def _cells(convention: dict[str, Any]) -> list[list[str]]:
    return [[_cell(row[field]) for field in _COLUMNS] for row in convention["operators"]]


def _cell(value: str | int | list[Any]) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
