"""Speed of the tools and size of the code for one network.

Times are wall times of whole processes, the median of several runs after one that warms the file cache.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compile_time import HTVM
from benchmarks.figure import Figure

MODEL = "zoo:resnet8"


def figures(runs: int = 5) -> list[Figure]:
    """Compiling, running and starting."""
    with tempfile.TemporaryDirectory() as folder:
        compiling = seconds([*HTVM, "compile", MODEL, "-o", str(Path(folder) / "out")], runs)
    wall, report = inference(MODEL, runs)
    return [
        Figure(f"htvm compile {MODEL}", compiling, "s", 3.0),
        Figure(f"one inference of {MODEL}, wall time", wall, "s", 2.0),
        Figure(f"code of {MODEL}, RV32IMC -O2, without weights", report["code_bytes"] / 1000, "kB", 24.0),
        Figure("htvm --help", seconds([*HTVM, "--help"], runs), "s", 0.3),
    ]


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
    with Board.build(compiled.target, compiled.files, compiled.report["interface"], inputs, outputs) as board:
        for _ in range(runs + 1):
            started = time.perf_counter()
            board.run(samples.inputs)
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), report
