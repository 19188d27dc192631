"""``python -m benchmarks [GROUP ...]``: what is measured and what it should be; exit code 1 if a bar is missed.

Cycles come from the virtual SoC and are a model's; times are wall times on this machine. With ``$HTVM_MODELS`` the
trained networks in its folder ``diana`` are measured, else the zoo's.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.figure import Figure
from benchmarks.groups import GROUPS, lines, measure


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    unknown = [name for name in options.groups if name not in GROUPS]
    if unknown:
        parser.error(f"no group {unknown[0]}; there are {', '.join(GROUPS)}")
    report: dict[str, list[Figure]] = {}
    for name in options.groups or GROUPS:
        report[name] = measure(name)
        if not options.json:
            print(lines(name, report[name]), flush=True)
    if options.json:
        print(json.dumps({name: [f.as_json() for f in found] for name, found in report.items()}, indent=2))
    missed = [figure for found in report.values() for figure in found if not figure.ok]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
