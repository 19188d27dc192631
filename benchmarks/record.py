"""``python -m benchmarks.record``: measure everything, write docs/results.md, add a line to the history.

With ``--check`` nothing is written: the built-in networks are measured and compared with the history's newest line, and
the exit code is 1 if a key figure is worse.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.figure import Figure
from benchmarks.groups import GROUPS, measure
from benchmarks.measured import NAMES
from htvm_ir.driver.bench import NETWORKS
from htvm_ir.driver.bench import measure as bench
from htvm_ir.driver.compile import Options
from htvm_ir.report.bench import HEADER, LEGEND, cells
from htvm_ir.report.operators import markdown_table

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
PACKAGES = ("htvm-ir", "xdsl", "onnx", "numpy", "ortools", "ziglang", "unicorn")

_TEXT = """\
# Results

Written by `python -m benchmarks.record` on {date}. {machine}. {versions}.

## Networks

`htvm bench`: CPU only, the baseline (`--tiler=dory`, which decides as HTVM does), and this compiler's own choice.

{table}

{legend}

## What was to be reached

`python -m benchmarks`: *targets* are of {networks}, on the digital array and the CPU;
*peers* are HTVM's own C, whose sources and figures stand in `benchmarks/peers.py` (its ResNet-8 has 12 classes and its
MobileNet 4, the shapes are the same otherwise), and TVM's; *npu* is about double buffering; times are those of whole
processes on this machine.

{figures}
"""


def page(report: Mapping[str, Any], groups: Mapping[str, Sequence[Figure]], facts: Mapping[str, str]) -> str:
    """The page of the documentation, from a report of ``htvm bench`` and the groups' figures."""
    rows = [
        [group, figure.name, figure.number(), figure.wanted(), "yes" if figure.ok else "**no**"]
        for group, figures in groups.items()
        for figure in figures
    ]
    table = markdown_table(["group", "figure", "measured", "wanted", "reached"], rows)
    return _TEXT.format(
        table=markdown_table(HEADER, cells(report)), legend=LEGEND, figures=table, networks=_networks(), **facts
    )


def facts() -> dict[str, str]:
    """Date, versions and machine; nothing that names it."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {system}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _networks() -> str:
    trained = "trained networks in DIANA's format" if os.environ.get("HTVM_MODELS") else "networks of the zoo"
    return f"the {trained} {', '.join(NAMES)}"


def main() -> int:
    """Record or check."""
    parser = argparse.ArgumentParser(prog="benchmarks.record", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with the history")
    checking = parser.parse_args().check
    report = bench(NETWORKS, Options())
    figures, before = history.key_figures(report), history.last()
    worse = [] if before is None else history.regressions(figures, before)
    print("\n".join(worse) or "nothing is worse than in the history's newest line")
    if checking:
        return 1 if worse else 0
    told = facts()
    PAGE.write_text(page(report, {name: measure(name) for name in GROUPS}, told))
    history.append(figures, told["date"], version("htvm-ir"))
    print(f"written: {PAGE.name}, {history.HISTORY.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
