"""What ``htvm bench`` does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from htvm_ir.driver.bench import NETWORKS, measure, mismatches
from htvm_ir.driver.compile import Options
from htvm_ir.report.bench import bench as table


def bench(arguments: argparse.Namespace) -> int:
    """Measure, print, and fail if anything was not bit-exact."""
    report = measure(arguments.models or NETWORKS, Options(target=arguments.target), arguments.samples, _watch())
    print(json.dumps(report, indent=2) if arguments.json else table(report))
    wrong = mismatches(report)
    if wrong:
        print(f"htvm: the check failed: {', '.join(wrong)} does not compute what the interpreter does", file=sys.stderr)
    return 1 if wrong else 0


def _watch() -> Callable[[str, str], None] | None:
    """What is being measured, on a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda model, configuration: print(f"{model}: {configuration} ...", file=sys.stderr)
