"""``python -m benchmarks``: speed and size of the compiler and of what it generates, each with its bar.

Times are wall times of whole processes, the median of several runs after one that warms the file cache. Cycles come
from the virtual SoC and are a model's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HTVM = [sys.executable, "-m", "htvm_ir.tools"]


@dataclass(frozen=True)
class Figure:
    """One measured figure and the most it should be."""

    name: str
    value: float
    unit: str
    bar: float

    def line(self) -> str:
        """For people."""
        verdict = "ok" if self.value <= self.bar else "ABOVE THE BAR"
        return f"{self.name:<48} {self.value:>10.3f} {self.unit:<6} bar {self.bar:g} {self.unit}: {verdict}"


def seconds(command: Sequence[str], runs: int) -> float:
    """Median wall time of a command, after one run that does not count."""
    times: list[float] = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def inference(model: str, runs: int) -> tuple[float, dict[str, Any]]:
    """Median wall time of one inference on the virtual SoC, the build left out, and the run's report."""
    from htvm_ir.driver.compile import compile_model
    from htvm_ir.driver.edges import edges
    from htvm_ir.driver.execute import execute
    from htvm_ir.driver.harness import Board
    from htvm_ir.driver.samples import load_samples

    compiled = compile_model(model)
    inputs, outputs = edges(compiled.module)
    samples = load_samples("random:0", inputs, outputs, 1)
    report = execute(compiled, "default", samples).report
    times: list[float] = []
    with Board.build(compiled.target, compiled.files, "default", inputs, outputs) as board:
        for _ in range(runs + 1):
            started = time.perf_counter()
            board.run(samples.inputs)
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), report


def figures(model: str, runs: int) -> list[Figure]:
    """All figures for one network."""
    with tempfile.TemporaryDirectory() as folder:
        compiling = seconds([*HTVM, "compile", model, "-o", str(Path(folder) / "out")], runs)
    wall, report = inference(model, runs)
    return [
        Figure(f"htvm compile {model}", compiling, "s", 3.0),
        Figure(f"one inference of {model}, wall time", wall, "s", 2.0),
        Figure(f"code of {model}, RV32IMC -O2, without weights", report["code_bytes"] / 1000, "kB", 24.0),
        Figure("htvm --help", seconds([*HTVM, "--help"], runs), "s", 0.3),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--model", default="zoo:resnet8")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = figures(options.model, options.runs)
    if options.json:
        print(json.dumps([asdict(figure) for figure in measured], indent=2))
    else:
        print("\n".join(figure.line() for figure in measured))


if __name__ == "__main__":
    main()
