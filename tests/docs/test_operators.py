"""The pages of supported operators are what the front ends' tables say.

`UPDATE_DOCS=1 pytest tests/docs` writes the page.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from htvm_ir.frontends.onnx.supported import CONVENTIONS
from htvm_ir.passes.workloads import ANCHORS
from htvm_ir.targets.registry import load_target
from htvm_ir.tools.htvm import main

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["ops", *options]) == 0
    return capsys.readouterr().out


def test_the_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "--markdown")
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, f"run UPDATE_DOCS=1 pytest {Path(__file__).name}"


def test_every_entry_is_listed_once_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    expected = [(c.name, c.domain, sorted(c.operators)) for c in CONVENTIONS]
    facts = json.loads(printed(capsys, "--json"))["conventions"]
    assert [(c["convention"], c["domain"], [row["operator"] for row in c["operators"]]) for c in facts] == expected
    text = printed(capsys).splitlines()
    for _, _, names in expected:
        assert all(sum(line.startswith(f"{name} ") for line in text) >= 1 for name in names)


def test_entries_name_ops_that_exist() -> None:
    known = {op.name.removeprefix("graph.") for op in ANCHORS} | {"requant", "reshape"}
    for convention in CONVENTIONS:
        for name, entry in convention.operators.items():
            assert set(entry.becomes) <= known, f"{convention.name}: {name}"


@pytest.mark.parametrize(
    ("operator", "engines"),
    [("Conv", ["digital", "analog", "cpu"]), ("Gemm", ["digital", "cpu"]), ("Floor", ["cpu"]), ("Shape", [])],
)
def test_engines_of_integer_nets(capsys: pytest.CaptureFixture[str], operator: str, engines: list[str]) -> None:
    conventions = json.loads(printed(capsys, "--json"))["conventions"]
    rows = [row for c in conventions if c["convention"] == "integer nets" for row in c["operators"]]
    assert [row["engines"] for row in rows if row["operator"] == operator] == [engines]


def test_engines_name_the_kinds_they_match() -> None:
    from htvm_ir.targets.workload import Tensor, Workload

    tensor = Tensor((1, 4, 8, 8), "i8")
    for engine in load_target("diana").engines:
        reason = engine.match(Workload("pool", (tensor,), tensor))
        assert reason is not None and all(kind in reason for kind in engine.kinds)
