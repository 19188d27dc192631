"""What ``htvm bench --figures`` does."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from htvm_ir.driver import sweeps
from htvm_ir.driver.compile import Options
from htvm_ir.driver.files import file_errors
from htvm_ir.report.figures import budget, overhead, timeline
from htvm_ir.report.figures.style import check_matplotlib, save, styled

TIMELINES = ("zoo:resnet8", "zoo:resnet8-mixed")
"""The networks whose time diagrams are drawn if the user names none; the second uses the CPU and both arrays."""


def figures(arguments: argparse.Namespace) -> int:
    """Measure, draw, name the files."""
    check_matplotlib()
    folder = Path(arguments.figures)
    with file_errors(folder, "the figures", "folder"):
        folder.mkdir(parents=True, exist_ok=True)
    options, watch = Options(target=arguments.target), _watch()
    data: dict[str, Any] = {
        "budget": sweeps.budgets(options, watch=watch),
        "overhead": sweeps.overheads(options, watch=watch),
    }
    for model in arguments.models or TIMELINES:
        both = [replace(options, tiler=tiler) for tiler in ("dory", "optimal")]
        data[f"timeline-{_slug(model)}"] = [sweeps.timeline(model, each, watch) for each in both]
    files = [str(path) for path in write(data, folder)]
    if arguments.json:
        print(json.dumps({"schema": 1, "target": arguments.target, "files": files, "data": data}))
    else:
        print("\n".join(f"written to {name}" for name in files))
    return 0


def write(data: dict[str, Any], folder: Path) -> list[Path]:
    """Draw each measurement; the file has its name."""
    paths: list[Path] = []
    for name, measured in data.items():
        draw = {"budget": budget.draw, "overhead": overhead.draw}.get(name, timeline.draw)
        paths.append(folder / f"{name}.svg")
        with styled():
            save(draw(measured), paths[-1])
    return paths


def _slug(model: str) -> str:
    """Part of a file name: the network's name, without folders."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(model.removeprefix("zoo:")).stem)


def _watch() -> Callable[[str], None] | None:
    """What is being measured, on a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda what: print(f"{what} ...", file=sys.stderr)
