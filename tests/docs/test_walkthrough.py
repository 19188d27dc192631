"""The walk-through in the documentation: every command runs, and prints what the page says.

`UPDATE_DOCS=1 pytest tests/docs` writes the output into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "walkthrough.md"
BLOCK = re.compile(
    r"^```sh\n(?P<command>.*?)^```\n(?:\n```(?P<language>mlir|c|text)\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
"""A command, and what it prints in the block right below (none: it prints nothing)."""


@dataclass(frozen=True)
class Step:
    command: str
    output: str
    printed: str


def run(page: str, folder: Path) -> list[Step]:
    """Run the commands of a page one after the other in a folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    steps: list[Step] = []
    for block in BLOCK.finditer(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block["command"]],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and not done.stderr, f"{block['command']}{done.stdout}{done.stderr}"
        steps.append(Step(block["command"], block["output"] or "", done.stdout))
    return steps


def updated(page: str, steps: list[Step]) -> str:
    """The page with what the commands print now."""
    remaining = iter(steps)

    def block(found: re.Match[str]) -> str:
        step = next(remaining)
        head = f"```sh\n{step.command}```\n"
        if not step.printed:
            return head
        language = "c" if "network.c" in step.command else "mlir"
        return f"{head}\n```{language}\n{step.printed}```\n"

    return BLOCK.sub(block, page)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    page = PAGE.read_text()
    steps = run(page, tmp_path_factory.mktemp("walkthrough"))
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(updated(page, steps))
        steps = [Step(step.command, step.printed, step.printed) for step in steps]
    return steps


def test_output_is_what_the_page_says(steps: list[Step]) -> None:
    for step in steps:
        assert step.output == step.printed, f"{step.command}\nrun UPDATE_DOCS=1 pytest {Path(__file__).name}"


def test_every_pass_is_shown(steps: list[Step]) -> None:
    from htvm_ir.passes.pipeline import PIPELINE

    commands = "".join(step.command for step in steps)
    assert all(name in commands for name in ("set-target", *PIPELINE, "-t htvm-c", "xdsl-opt"))


def test_updating_keeps_the_text_and_replaces_the_output() -> None:
    page = "a\n\n```sh\necho 1\n```\n\n```mlir\nold\n```\n\nb\n\n```sh\ntrue\n```\n\nc\n"
    steps = [Step("echo 1\n", "old\n", "1\n"), Step("true\n", "", "")]
    assert updated(page, steps) == page.replace("old", "1")
