"""``python -m benchmarks.record [GROUP ...]``: measure, write docs/results.md, add a line to the history.

The page says with which command it was written, which groups were not measured, and how busy the machine was.
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

Written by `{command}` on {date}. {machine}; load average {load} at the start{busy}.
{versions}.

## Networks

`htvm bench`: CPU only, the baseline (`--tiler=dory`, which decides as HTVM does), and this compiler's own choice.

{table}

{legend}

## What was to be reached

{missing}*targets* are of {networks}, on the digital array and the CPU;
*predictions* compare predicted cycles with those of the virtual SoC;
*peers* are HTVM's own C, whose sources and figures stand in `benchmarks/peers.py` (its ResNet-8 has 12 classes and its
MobileNet 4, the shapes are the same otherwise), and TVM's; *copy-engine* is about an option of DIANA that is off
otherwise; *npu* is about double buffering; times are those of whole processes on this machine.

{figures}
"""


def page(report: Mapping[str, Any], groups: Mapping[str, Sequence[Figure]], facts: Mapping[str, str]) -> str:
    """The page of the documentation, from a report of ``htvm bench`` and the groups' figures."""
    rows = [
        [group, figure.name, figure.number(), figure.wanted(), _verdict(figure)]
        for group, figures in groups.items()
        for figure in figures
    ]
    table = markdown_table(["group", "figure", "measured", "wanted", "reached"], rows)
    absent = [name for name in GROUPS if name not in groups]
    missing = f"Not measured here: {', '.join(absent)}. " if absent else ""
    command = " ".join(["python -m benchmarks.record", *(groups if absent else ())])
    networks, overview = _networks(), markdown_table(HEADER, cells(report))
    return _TEXT.format(
        table=overview, legend=LEGEND, figures=table, networks=networks, missing=missing, command=command, **facts
    )


def _verdict(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    return "yes" if figure.ok else "**no**"


def facts() -> dict[str, str]:
    """Date, versions and machine, with what else ran on it; nothing that names it."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return {
        "date": datetime.date.today().isoformat(),
        "load": f"{load:.1f}",
        "busy": ", so times are those of a busy machine" if load > cores else "",
        "machine": f"{cores} cores ({platform.machine()}), {system}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _networks() -> str:
    trained = "trained networks in DIANA's format" if os.environ.get("HTVM_MODELS") else "networks of the zoo"
    return f"the {trained} {', '.join(NAMES)}"


def main() -> int:
    """Record or check."""
    parser = argparse.ArgumentParser(prog="benchmarks.record", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with the history")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)} (default: all)")
    options = parser.parse_args()
    unknown = [name for name in options.groups if name not in GROUPS]
    if unknown:
        parser.error(f"no group {unknown[0]}; there are {', '.join(GROUPS)}")
    told = facts()
    report = bench(NETWORKS, Options())
    figures, before = history.key_figures(report), history.last()
    worse = [] if before is None else history.regressions(figures, before)
    same = (
        "nothing is worse than in the history's newest line"
        if before
        else "the history is empty: nothing to compare with"
    )
    print("\n".join(worse) or same)
    if options.check:
        return 1 if worse else 0
    PAGE.write_text(page(report, {name: measure(name) for name in options.groups or GROUPS}, told))
    history.append(figures, told["date"], version("htvm-ir"))
    print(f"written: {PAGE.name}, {history.HISTORY.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
